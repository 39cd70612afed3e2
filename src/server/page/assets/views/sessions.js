// The sessions: what was talked about, the newest first, and the search in what was said.

import { get } from '../api.js';
import { amount, notice, table } from '../components.js';
import { deletion } from '../deletion.js';
import { el, newId } from '../dom.js';
import * as format from '../format.js';
import { periodOf, periodPicker } from '../period.js';
import { changed, href } from '../router.js';
import * as setupView from './setup.js';

export const title = 'Sessions';
export const hasPeriod = true;

/** The filters of an address, besides the words: their names, and their values as people read them. */
const FILTERS = {
  // All sessions of the list are those of the user.
  user: ['User', (value, sessions) => format.userName(sessions[0] ?? { user: value })],
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
    page = { sessions: [], next: null };
    if (error.code === 'not_searchable') problem = notice(error.message, 'error');
    else if (error.code === 'ambiguous_user') problem = await namesakes(params, query.user, signal);
    else throw error;
  }
  return el(
    'div',
    {},
    el('div', { class: 'view-head' }, el('h1', {}, 'Sessions'), periodPicker('sessions', params, setup.timezone)),
    searchForm(params, query),
    chips(params, query, page.sessions),
    problem,
    page.sessions.length > 0 && list(page.sessions, params, setup),
    page.sessions.length === 0 && !problem && notice(empty(query)),
    pager(params, query.after, page),
    query.user !== undefined && page.sessions.length > 0 && setup.may_delete && userDeletion(page.sessions[0]),
  );
}

/** Deletes what a user said, in whatever period. */
function userDeletion(session) {
  const name = format.userName(session);
  return el('div', { class: 'card' }, deletion({
    heading: `Delete what ${name} said`,
    of: { user: session.user },
    about: `What ${name} (${session.user}) said in any session and period, and what Claude answered, is deleted from the ledger. It cannot be brought back.`,
  }));
}

/** The users that have the same name, each with a link to the sessions of that one. */
async function namesakes(params, named, signal) {
  const { users } = await get('users', { named }, signal);
  const link = (user) => el('a', { href: href('sessions', changed(params, { user: user.user, after: undefined })) }, user.user);
  const item = (user) => el('li', {}, format.userName(user), user.user_email && user.user_name ? `, ${user.user_email}` : '', ': ', link(user));
  return el(
    'div',
    { class: 'notice', role: 'alert' },
    el('p', {}, `${format.counted(users.length, 'user')} have the name ${named}. Choose one by the id:`),
    el('ul', {}, users.map(item)),
  );
}

function empty({ words, after }) {
  if (after !== undefined) return 'No more sessions.';
  return words === undefined ? 'No such sessions in this period.' : 'Nobody said this in this period.';
}

function searchForm(params, query) {
  const field = (name) => el('input', { id: newId(name), type: 'search', name, value: query[name] ?? '', autocomplete: 'off' });
  const [input, user] = ['words', 'user'].map(field);
  const hintId = newId('hint');
  input.setAttribute('aria-describedby', hintId);
  const submit = (event) => {
    event.preventDefault();
    const [words, named] = [input, user].map(({ value }) => value.trim() || undefined);
    location.hash = href('sessions', changed(params, { words, user: named, after: undefined }));
  };
  return el(
    'form',
    { class: 'search', role: 'search', on: { submit } },
    el(
      'div',
      { class: 'search-line' },
      el('div', { class: 'field' }, el('label', { for: input.id }, 'Search what was said'), input),
      el('div', { class: 'field user' }, el('label', { for: user.id }, 'User: name, mail or id'), user),
      el('button', { type: 'submit', class: 'primary' }, 'Search'),
    ),
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
