// The sessions: what was talked about, the newest first, and the search in what was said.

import { get } from '../api.js';
import { amount, notice, table } from '../components.js';
import { el, newId } from '../dom.js';
import * as format from '../format.js';
import { periodOf, periodPicker } from '../period.js';
import { changed, href } from '../router.js';
import * as setupView from './setup.js';

export const title = 'Sessions';
export const hasPeriod = true;

/** The filters of an address, besides the words: their names, and their values as people read them. */
const FILTERS = {
  user: ['User', (value, sessions) => format.userName(sessions.find(({ user }) => user === value) ?? { user: value })],
  model: ['Model', (value) => value],
  task: ['Task', format.taskName],
};

/** Without words, the sessions; with words, those in which they were said. */
export async function show({ params, signal, setup }) {
  if (!setup.has_calls) return setupView.show({ setup });
  const names = [...Object.keys(FILTERS), 'words', 'after'];
  const query = Object.fromEntries(names.map((name) => [name, params.get(name) || undefined]));
  let page;
  let problem;
  try {
    page = await get('sessions', { ...periodOf(params), ...query }, signal);
  } catch (error) {
    if (error.code !== 'not_searchable') throw error;
    [page, problem] = [{ sessions: [], next: null }, error.message];
  }
  return el(
    'div',
    {},
    el('div', { class: 'view-head' }, el('h1', {}, 'Sessions'), periodPicker('sessions', params, setup.timezone)),
    searchForm(params, query.words),
    chips(params, query, page.sessions),
    problem && notice(problem, 'error'),
    page.sessions.length > 0 && list(page.sessions, params, setup),
    page.sessions.length === 0 && !problem && notice(empty(query)),
    pager(params, query.after, page),
  );
}

function empty({ words, after }) {
  if (after !== undefined) return 'No more sessions.';
  return words === undefined ? 'No such sessions in this period.' : 'Nobody said this in this period.';
}

function searchForm(params, words) {
  const input = el('input', { id: newId('words'), type: 'search', name: 'words', value: words ?? '', autocomplete: 'off' });
  const hintId = newId('hint');
  input.setAttribute('aria-describedby', hintId);
  const submit = (event) => {
    event.preventDefault();
    location.hash = href('sessions', changed(params, { words: input.value.trim() || undefined, after: undefined }));
  };
  return el(
    'form',
    { class: 'search', role: 'search', on: { submit } },
    el('label', { for: input.id }, 'Search what was said'),
    el('div', { class: 'search-line' }, input, el('button', { type: 'submit', class: 'primary' }, 'Search')),
    el('p', { id: hintId, class: 'hint' }, 'All words in one turn. "Several words" in quotes follow each other; beg* is any word that begins so.'),
  );
}

function chips(params, query, sessions) {
  const set = Object.keys(FILTERS).filter((name) => query[name] !== undefined);
  if (set.length === 0) return null;
  const without = (name) => href('sessions', changed(params, { [name]: undefined, after: undefined }));
  const shown = set.map((name) => {
    const [label, read] = FILTERS[name];
    const text = `${label}: ${read(query[name], sessions)}`;
    return el('li', { class: 'chip' }, `${text} `, el('a', { href: without(name), 'aria-label': `Remove the filter ${text}` }, '×'));
  });
  return el('ul', { class: 'chips filters', 'aria-label': 'Filters' }, shown);
}

function list(sessions, params, setup) {
  const narrowed = (filter) => href('sessions', changed(params, { ...filter, after: undefined }));
  return table('Sessions, those that were used last first', [
    {
      name: 'Title',
      cell: (session) => [
        el('a', { href: href(`sessions/${encodeURIComponent(session.id)}`) }, session.title || 'No title'),
        session.excerpt && el('div', { class: 'excerpt', dir: 'auto' }, session.excerpt),
      ],
    },
    { name: 'User', cell: (session) => (session.user === null ? '–' : el('a', { href: narrowed({ user: session.user }) }, format.userName(session))) },
    { name: 'Turns', isNumber: true, cell: (session) => format.count(session.turns) },
    { name: 'Cost', isNumber: true, cell: (session) => amount(session.cost) },
    { name: 'Models', cell: (session) => session.models.map((model, at) => [at > 0 && ', ', el('a', { href: narrowed({ model }) }, model)]) },
    { name: 'Last used', cell: (session) => el('time', { datetime: session.last }, format.moment(session.last, setup.timezone)) },
  ], sessions);
}

function pager(params, after, { next, more }) {
  if (after === undefined && !next) return null;
  return el(
    'nav',
    { class: 'pager', 'aria-label': 'Pages' },
    after !== undefined && el('a', { href: href('sessions', changed(params, { after: undefined })) }, 'Newest'),
    next && el('a', { href: href('sessions', changed(params, { after: next })) }, more > 0 ? `Older (${format.count(more)})` : 'Older'),
  );
}
