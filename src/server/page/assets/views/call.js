// One call: who asked, how it was answered, at which cost, and what translation changed.

import { get } from '../api.js';
import { amount, card, notice } from '../components.js';
import { el } from '../dom.js';
import * as format from '../format.js';
import { href } from '../router.js';

export const title = 'Call';

const TOKENS = [
  ['Prompt', 'input'],
  ['Written to the prompt cache for 5 minutes', 'cache_write_5m'],
  ['Written to the prompt cache for an hour', 'cache_write_1h'],
  ['Read from the prompt cache', 'cache_read'],
  ['Answer', 'output'],
  ['of it thinking', 'thinking'],
];

/** Names and values; what is not known is left out. */
function fields(pairs) {
  const known = pairs.filter(([, value]) => ![null, undefined, false, ''].includes(value));
  return el('dl', { class: 'fields' }, known.map(([name, value]) => [el('dt', {}, name), el('dd', {}, value)]));
}

/** A value of a report that has no place of its own, as text. */
function text(value) {
  if (value === null || value === '' || (Array.isArray(value) && value.length === 0)) return null;
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** Everything of a report, for who needs it. */
function technical(report) {
  return el(
    'details',
    { class: 'behind' },
    el('summary', {}, 'Technical details'),
    fields(Object.entries(report).map(([name, value]) => [el('code', {}, name), text(value)])),
  );
}

const tokens = (counts) =>
  TOKENS.filter(([, kind]) => counts[kind] > 0).map(([name, kind]) => [name, format.counted(counts[kind], 'token')]);

function asked(call, setup) {
  const link = (filter, name) => el('a', { href: href('calls', { since: '', ...filter }) }, name);
  return card(
    'Asked',
    fields([
      ['Time', el('time', { datetime: call.at }, format.moment(call.at, setup.timezone))],
      ['User', call.user && link({ user: call.user }, format.userName(call))],
      ['Chat', call.chat && link({ chat: call.chat }, call.chat)],
      ['Session', call.chat && call.answered_by !== 'refused' && el('a', { href: href(`sessions/${encodeURIComponent(call.chat)}`) }, 'What was said')],
      ['Task', call.task && format.taskName(call.task)],
      ['Program', call.client],
      ['Client key', call.key && link({ key: call.key }, call.key)],
      ['Tags', call.tags.join(', ')],
    ]),
  );
}

/** Why less was read from the prompt cache than it had. */
function missed(miss) {
  const at = miss.place ? `, at ${miss.place}` : '';
  const words = {
    part: () => `the request differs from the one before in ${miss.part}${at}`,
    message: () => `message ${miss.position + 1} of ${miss.of} ${miss.place === null ? 'is not there any more' : `differs${at}`}`,
    expired: () => 'the cache did not keep it so long',
    not_marked: () => 'no part of this request asks for caching',
    not_kept: () => 'a request is not kept any more, so nobody can tell',
    unknown: () => 'nothing differs; Anthropic did not keep it as long as promised',
  };
  return words[miss.reason]?.() ?? miss.reason;
}

function promptCache(cache) {
  if (cache === null) return null;
  const { read, cached, seconds_between: seconds, previous, miss } = cache;
  return [
    `${format.count(read)} of ${format.counted(cached, 'token')} of `,
    el('a', { href: href(`calls/${previous}`) }, 'the turn before'),
    ` were read, ${format.duration(seconds * 1000)} later`,
    miss && `: ${missed(miss)}`,
  ];
}

function answered({ call, why, asked_before: before, prompt_cache: cache }) {
  const outcome = `${format.outcomeName(call.outcome)}${call.error ? `: ${call.error}` : ''}`;
  return card(
    'Answered',
    fields([
      ['Model', call.model],
      ['By', format.sourceName(call.answered_by)],
      ['Asked because', why],
      ['Asked before', before && el('a', { href: href(`calls/${before}`) }, 'The call that asked for the same')],
      ['Prompt cache', promptCache(cache)],
      ['Outcome', outcome],
      ['First byte after', call.ttft_ms !== null && format.duration(call.ttft_ms)],
      ['End after', call.total_ms !== null && format.duration(call.total_ms)],
      ['Cost', amount(call.cost)],
      ['Saved', amount(call.saved)],
      ...tokens(call),
    ]),
    technical(call),
  );
}

function upstream(exchange, heading, setup) {
  return card(
    heading,
    fields([
      ['Model', exchange.model_served ?? exchange.model_asked],
      ['Began', format.moment(exchange.opened_at, setup.timezone)],
      ['Outcome', format.outcomeName(exchange.outcome)],
      ['Error', exchange.error ?? exchange.error_kind],
      ['Requests', exchange.tries > 1 ? format.count(exchange.tries) : null],
      ['Cost', amount(exchange.cost)],
      ['Answers repeats', exchange.servable ? 'yes' : 'no'],
    ]),
    technical(exchange),
  );
}

export async function show({ rest, signal, setup }) {
  const details = await get(`calls/${encodeURIComponent(rest[0])}`, {}, signal);
  const { call, notes, exchanges } = details;
  const heading = (at) => (exchanges.length > 1 ? `Part ${at + 1} of Claude's answer` : "Claude's answer");
  return el(
    'div',
    {},
    el('h1', {}, 'Call'),
    el(
      'div',
      { class: 'columns' },
      call ? [asked(call, setup), answered(details)] : notice('The call is not in the ledger any more.'),
      Array.isArray(notes) && notes.length > 0 && card('Changed in translation', el('ul', {}, notes.map((note) => el('li', {}, text(note))))),
      exchanges.map((exchange, at) => upstream(exchange, heading(at), setup)),
    ),
  );
}
