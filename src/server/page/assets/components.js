// Parts that views are made of.

import { el, newId } from './dom.js';
import { money, moneyDetails } from './format.js';

/** A section with a heading. */
export function card(title, ...content) {
  const id = newId('card');
  return el('section', { class: 'card', 'aria-labelledby': id }, el('h2', { id }, title), content);
}

/** A figure with its name; `href` leads to the calls behind it. */
export function figure(name, value, { href, title, details = [], kind } = {}) {
  const shown = href ? el('a', { href, title }, value) : el('span', { title }, value);
  return el(
    'div',
    { class: kind ? `figure ${kind}` : 'figure' },
    el('dt', {}, name),
    el('dd', {}, el('span', { class: 'value' }, shown), el('span', { class: 'details' }, details)),
  );
}

/** An amount of money, as a link if there is a place that it leads to. */
export function amount(sum, href) {
  const title = moneyDetails(sum);
  return href ? el('a', { href, title }, money(sum)) : el('span', { title }, money(sum));
}

/**
 * A table. Columns are `{ name, isNumber, cell }`; `cell` makes the content for a row. The first column names the row.
 * It scrolls by itself where it is too wide, also by keyboard.
 */
export function table(caption, columns, rows) {
  const kind = (column) => (column.isNumber ? 'number' : undefined);
  const head = columns.map((column) => el('th', { scope: 'col', class: kind(column) }, column.name));
  const body = rows.map((row) =>
    el(
      'tr',
      {},
      columns.map((column, at) =>
        at === 0
          ? el('th', { scope: 'row' }, column.cell(row))
          : el('td', { class: kind(column) }, column.cell(row)),
      ),
    ),
  );
  return el(
    'div',
    { class: 'scrolls', role: 'region', tabindex: '0', 'aria-label': caption },
    el(
      'table',
      {},
      el('caption', { class: 'unseen' }, caption),
      el('thead', {}, el('tr', {}, head)),
      el('tbody', {}, body),
    ),
  );
}

/** A bar for a fraction from 0 to 1; a text beside it tells the same. */
export function bar(fraction, kind = '') {
  const width = `${Math.max(0, Math.min(1, fraction)) * 100}%`;
  return el(
    'span',
    { class: `bar ${kind}`, 'aria-hidden': 'true' },
    el('span', { style: { width } }),
  );
}

/** A part that is closed at first. `make` returns its content, or a promise of it, each time that it is opened. */
export function disclosure(heading, make) {
  const place = el('div', {});
  const element = el('details', { class: 'disclosure' }, el('summary', {}, heading), place);
  const open = async () => {
    if (!element.open) {
      place.replaceChildren();
      return;
    }
    place.replaceChildren(el('p', { class: 'hint', role: 'status' }, 'Loading…'));
    let content;
    try {
      content = await make();
    } catch (error) {
      if (error.name === 'AbortError') return;
      content = el('p', { class: 'problem', role: 'alert' }, error.message);
    }
    if (element.open) place.replaceChildren(...[content].flat(Infinity).filter(Boolean));
  };
  element.addEventListener('toggle', open);
  return element;
}

/** A short text with a button that copies it. */
export function copyable(name, text) {
  const told = el('span', { class: 'told', role: 'status' });
  const code = el('code', {}, text);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      told.textContent = 'Copied';
    } catch {
      // Not by HTTPS: the text is marked, to be copied by hand.
      getSelection().selectAllChildren(code);
      told.textContent = 'Press Ctrl+C to copy';
    }
  };
  return el(
    'div',
    { class: 'copyable' },
    code,
    el('button', { type: 'button', 'aria-label': `Copy ${name}`, on: { click: copy } }, 'Copy'),
    told,
  );
}

/** A message in the place of a view or of a part. */
export function notice(text, kind = 'plain') {
  return el('p', { class: `notice ${kind}`, role: kind === 'error' ? 'alert' : undefined }, text);
}

/** The first rows of a list, and a button for the rest. `draw` makes the element of some rows. */
export function shortened(rows, most, draw) {
  if (rows.length <= most) return draw(rows);
  const place = el('div', {});
  const showAll = () => {
    place.replaceChildren(draw(rows));
    place.querySelector('[tabindex]')?.focus();
  };
  const more = el('button', { type: 'button', class: 'quiet', on: { click: showAll } }, `Show all ${rows.length}`);
  place.append(draw(rows.slice(0, most)), more);
  return place;
}
