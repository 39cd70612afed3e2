// The calls behind a figure, the newest first.

import { get } from '../api.js';
import { callColumns } from '../call_columns.js';
import { notice, table } from '../components.js';
import { el, newId } from '../dom.js';
import * as format from '../format.js';
import { periodOf, periodPicker } from '../period.js';
import { changed, href } from '../router.js';

export const title = 'Calls';
export const hasPeriod = true;

/** The filters of an address: their names, and their values as people read them. An empty value: not stated. */
const FILTERS = {
  user: ['User', (value) => value || 'not stated'],
  chat: ['Chat', (value) => value || 'not stated'],
  model: ['Model', (value) => value],
  task: ['Task', (value) => format.taskName(value || null)],
  key: ['Client key', (value) => value || 'none'],
  tag: ['Tag', (value) => value],
  answered_by: ['Answered by', format.sourceName],
  outcome: ['Outcome', format.outcomeName],
  error: ['Error', (value) => value || 'any'],
  saved_by: ['Saved by', (value) => (value === 'any' ? 'anything' : 'the prompt cache')],
};

const CHOICES = {
  answered_by: ['upstream', 'hit', 'collapsed', 'miss', 'refresh', 'bypass', 'replay', 'refused'],
  outcome: ['complete', 'failed', 'cut', 'stopped', 'lost', 'refused'],
};

export async function show({ params, signal, setup }) {
  const filters = Object.fromEntries(Object.keys(FILTERS).map((name) => [name, params.get(name) ?? undefined]));
  const before = params.get('before') ?? undefined;
  const page = await get('calls', { ...periodOf(params), ...filters, before }, signal);
  return el(
    'div',
    {},
    el('div', { class: 'view-head' }, el('h1', {}, 'Calls'), periodPicker('calls', params, setup.timezone)),
    chips(params, filters, page.calls),
    page.calls.length === 0 ? notice('No such calls in this period.') : list(page.calls, setup),
    pager(params, before, page.older),
  );
}

/** The filters that are set, each with a link that takes it away, and menus for two of them. */
function chips(params, filters, calls) {
  const set = Object.entries(filters).filter(([name, value]) => value !== undefined && !(name in CHOICES));
  const without = (name) => href('calls', changed(params, { [name]: undefined, before: undefined }));
  const shown = set.map(([name, value]) => {
    const [label, read] = FILTERS[name];
    const text = name === 'user' && value && calls[0] ? format.userName({ ...calls[0], user: value }) : read(value);
    return el(
      'li',
      { class: 'chip' },
      `${label}: ${text} `,
      el('a', { href: without(name), 'aria-label': `Remove the filter ${label}: ${text}` }, '×'),
    );
  });
  const menus = Object.entries(CHOICES).map(([name, choices]) => {
    const id = newId(name);
    const [label, read] = FILTERS[name];
    const choose = (event) => {
      location.hash = href('calls', changed(params, { [name]: event.target.value || undefined, before: undefined }));
    };
    const options = choices.map((value) => el('option', { value, selected: value === filters[name] }, value === 'miss' ? 'Claude, first time' : read(value)));
    return el('span', { class: 'menu' }, el('label', { for: id }, label), el('select', { id, on: { change: choose } }, el('option', { value: '' }, 'Any'), options));
  });
  return el('div', { class: 'filters' }, menus, shown.length > 0 && el('ul', { class: 'chips', 'aria-label': 'Filters' }, shown));
}

function list(calls, setup) {
  const tokens = (call) => call.input + call.cache_write_5m + call.cache_write_1h + call.cache_read;
  const { time, user, model, task, answeredBy, outcome, cost, saved, end } = callColumns(setup);
  return table('Calls, the newest first', [
    time, user, model, task, answeredBy, outcome,
    { name: 'Tokens in', isNumber: true, cell: (call) => format.count(tokens(call)) },
    { name: 'Out', isNumber: true, cell: (call) => format.count(call.output) },
    cost, saved,
    { name: 'First byte', isNumber: true, cell: (call) => format.duration(call.ttft_ms) },
    end,
  ], calls);
}

function pager(params, before, older) {
  if (before === undefined && older === null) return null;
  return el(
    'nav',
    { class: 'pager', 'aria-label': 'Pages' },
    before !== undefined && el('a', { href: href('calls', changed(params, { before: undefined })) }, 'Newest'),
    older !== null && el('a', { href: href('calls', changed(params, { before: older })) }, 'Older'),
  );
}
