// One call: how it was answered, at which cost, and what translation changed.

import { get } from '../api.js';
import { card, notice } from '../components.js';
import { el } from '../dom.js';
import * as format from '../format.js';

export const title = 'Call';

const isMoney = (value) => value !== null && typeof value === 'object' && 'nano_dollars' in value;

/** A value of a report as text. */
function text(name, value, setup) {
  if (value === null || value === '') return null;
  if (isMoney(value)) return format.money(value);
  if (Array.isArray(value)) return value.length > 0 ? value.map((one) => (typeof one === 'object' ? JSON.stringify(one) : one)).join(', ') : null;
  if (typeof value === 'object') return JSON.stringify(value);
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (name.endsWith('_ms')) return format.duration(value);
  if (name === 'at' || name.endsWith('_at')) return format.moment(value, setup.timezone);
  return typeof value === 'number' ? format.count(value) : value;
}

const label = (name) => {
  const words = name.replace(/_ms$/, '').replaceAll('_', ' ').replace('ttft', 'time to first byte');
  return words[0].toUpperCase() + words.slice(1);
};

function fields(report, setup) {
  const known = Object.entries(report).map(([name, value]) => [name, text(name, value, setup)]);
  return el(
    'dl',
    { class: 'fields' },
    known.filter(([, value]) => value !== null).map(([name, value]) => [el('dt', {}, label(name)), el('dd', {}, value)]),
  );
}

export async function show({ rest, signal, setup }) {
  const details = await get(`calls/${encodeURIComponent(rest[0])}`, {}, signal);
  const { call, notes, exchanges } = details;
  return el(
    'div',
    {},
    el('h1', {}, 'Call'),
    call ? card('How it was answered', fields(call, setup)) : notice('The call is not in the ledger any more.'),
    Array.isArray(notes) && notes.length > 0 &&
      card('What translation changed', el('ul', {}, notes.map((note) => el('li', {}, typeof note === 'string' ? note : JSON.stringify(note))))),
    exchanges.map((exchange, at) => {
      const { tokens, bill, ...plain } = exchange;
      return card(exchanges.length > 1 ? `Exchange ${at + 1}` : 'Exchange with Claude', fields({ ...plain, ...tokens }, setup));
    }),
  );
}
