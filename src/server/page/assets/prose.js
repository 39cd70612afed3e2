// Texts of people and models: as they are, with the code in them set apart. No markup is made of them.

import { el } from './dom.js';

const FENCE = /^ {0,3}(`{3,}|~{3,})(.*)$/;

/** True if a line ends the code that a fence began. */
function ends(line, fence) {
  const text = line.trim();
  return text.length >= fence.length && text === fence[0].repeat(text.length);
}

/** The elements of a text: paragraphs as they were written, and code between fences. */
export function prose(text) {
  const parts = [];
  let lines = [];
  let fence = null;
  const put = (isCode) => {
    const whole = lines.join('\n');
    if (isCode) parts.push(el('pre', { class: 'code', tabindex: '0' }, el('code', {}, whole)));
    else if (whole.trim() !== '') parts.push(el('div', { class: 'prose', dir: 'auto' }, whole.replace(/^\n+|\s+$/g, '')));
    lines = [];
  };
  for (const line of text.split('\n')) {
    const begins = fence === null ? FENCE.exec(line) : null;
    if (begins && !(begins[1][0] === '`' && begins[2].includes('`'))) {
      put(false);
      [, fence] = begins;
    } else if (fence !== null && ends(line, fence)) {
      put(true);
      fence = null;
    } else {
      lines.push(line);
    }
  }
  // Code whose end has not come yet is code.
  put(fence !== null);
  return parts;
}
