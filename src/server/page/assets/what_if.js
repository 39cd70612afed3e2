// The cost that a session would have had with another model, as `reprise sessions show --what-if` has it.

import { get } from './api.js';
import { amount } from './components.js';
import { el, newId } from './dom.js';
import * as format from './format.js';

/**
 * A menu of models and the cost with the chosen one. `chosen` is the model in the address, `onChoose` puts another one
 * there; undefined is none.
 */
export function whatIf({ session, models, chosen, onChoose, signal }) {
  const told = el('div', { role: 'status' });
  let asked;
  const show = async (model) => {
    // Of several choices, the last one counts.
    asked = model;
    if (model === undefined) {
      told.replaceChildren();
      return;
    }
    told.replaceChildren(el('p', { class: 'hint' }, 'Computing…'));
    let content;
    try {
      content = result(await get(`sessions/${encodeURIComponent(session.id)}/what-if`, { model }, signal));
    } catch (error) {
      if (error.name === 'AbortError') return;
      content = el('p', { class: 'problem' }, error.message);
    }
    if (asked === model) told.replaceChildren(content);
  };
  const known = models.map(({ id, name }) => [id, name]);
  if (chosen !== undefined && !models.some(({ id }) => id === chosen)) known.unshift([chosen, chosen]);
  const options = known.map(([id, name]) => el('option', { value: id, selected: id === chosen }, name));
  const choose = (event) => {
    const model = event.target.value || undefined;
    onChoose(model);
    show(model);
  };
  const id = newId('what-if');
  if (chosen !== undefined) show(chosen);
  return el(
    'div',
    { class: 'what-if' },
    el('span', { class: 'menu' }, el('label', { for: id }, 'Cost with another model'), el('select', { id, on: { change: choose } }, el('option', { value: '' }, 'None'), options)),
    told,
  );
}

function result({ model, calls, cost, repriced, difference, prices_as_of: day, unexplained }) {
  if (calls === 0) return el('p', { class: 'hint' }, 'Nothing was paid, so there is nothing to compute again.');
  const sign = difference.nano_dollars > 0 ? '+' : '';
  const marks = [
    cost.unpriced > 0 && `${format.counted(cost.unpriced, 'call')} had no known price; the difference leaves them out.`,
    cost.at_least > 0 && `At least this much, because ${format.counted(cost.at_least, 'call')} ended early.`,
    unexplained > 0 && `No price explains what ${format.counted(unexplained, 'call')} cost; they stay as they are.`,
  ].filter(Boolean);
  return el(
    'div',
    {},
    el('p', { class: 'what-if-cost' }, el('strong', {}, amount(repriced)), ' instead of ', amount(cost), ' (', sign, amount(difference), ')'),
    el('p', { class: 'hint' }, `An estimate: the same tokens, prompt cache included, at the prices of ${model} of ${day}. Another model counts and answers in other numbers of tokens.`),
    marks.map((text) => el('p', { class: 'hint' }, text)),
  );
}
