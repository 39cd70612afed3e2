// Answers as Markdown. The library only tells the parts of a text; the elements are made here, of a few harmless kinds, so
// that HTML in an answer stays text, and an address in it is shown and leads nowhere.

import { el } from './dom.js';
import { prose } from './prose.js';
import { lexer } from './vendor/marked.js';

const OPTIONS = { gfm: true, breaks: true };
/** Length from which a text is not taken apart, in characters. */
const LONGEST = 200_000;

const inline = (tokens = []) => tokens.map(span);

function span(token) {
  switch (token.type) {
    case 'strong': return el('strong', {}, inline(token.tokens));
    case 'em': return el('em', {}, inline(token.tokens));
    case 'del': return el('s', {}, inline(token.tokens));
    case 'codespan': return el('code', {}, token.text);
    case 'br': return el('br');
    case 'link': return [inline(token.tokens), token.text === token.href ? '' : ` (${token.href})`];
    case 'image': return `[${token.text || 'picture'}] (${token.href})`;
    case 'text': return token.tokens ? inline(token.tokens) : token.text;
    case 'escape': return token.text;
    case 'checkbox': return checkbox(token);
    default: return token.raw;
  }
}

function cells(tag, row, align) {
  return row.map((cell, at) => el(tag, { class: align[at] === 'right' ? 'number' : undefined }, inline(cell.tokens)));
}

function block(token) {
  switch (token.type) {
    case 'space': case 'def': return [];
    // Below the headings of the page itself.
    case 'heading': return el(`h${Math.min(6, token.depth + 2)}`, {}, inline(token.tokens));
    case 'paragraph': return el('p', {}, inline(token.tokens));
    case 'text': return token.tokens ? inline(token.tokens) : token.text;
    case 'code': return el('pre', { class: 'code', tabindex: '0' }, el('code', {}, token.text));
    case 'blockquote': return el('blockquote', {}, token.tokens.map(block));
    case 'hr': return el('hr');
    case 'checkbox': return checkbox(token);
    case 'list': return el(token.ordered ? 'ol' : 'ul', { start: token.start || undefined }, token.items.map(item));
    case 'table': return el('div', { class: 'scroll', tabindex: '0' }, el('table', {},
      el('thead', {}, el('tr', {}, cells('th', token.header, token.align))),
      el('tbody', {}, token.rows.map((row) => el('tr', {}, cells('td', row, token.align))))));
    default: return el('p', {}, token.raw);
  }
}

const item = ({ tokens }) => el('li', {}, tokens.map(block));

const checkbox = ({ checked }) => (checked ? '☑ ' : '☐ ');

/** The elements of a text in Markdown. One that cannot be taken apart is shown as it is. */
export function markdown(text) {
  if (text.length > LONGEST) return prose(text);
  try {
    return [el('div', { class: 'markdown', dir: 'auto' }, lexer(text, OPTIONS).map(block))];
  } catch {
    // Nested deeper than the browser can follow.
    return prose(text);
  }
}
