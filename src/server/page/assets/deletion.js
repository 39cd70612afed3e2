// Deletion of what was said in a session or by a user: first the figures, then the word that confirms it.

import { post } from './api.js';
import { disclosure } from './components.js';
import { el, newId } from './dom.js';
import * as format from './format.js';

/** The word that confirms a deletion. */
const WORD = 'delete';

/** The extents of a deletion: whether totals go too, their names, and what each means. */
const EXTENTS = [
  [false, 'Messages and answers', 'Times, models, tokens, costs and ids stay, so that reports stay as they are.'],
  [true, 'Everything, costs too', 'Reports no longer count these calls.'],
];

/**
 * A part that can be opened, with a form that deletes. `of` names the session or the user as the server takes it, `about` says
 * in a sentence what it is.
 */
export function deletion({ heading, of, about }) {
  return disclosure(heading, () => form(of, about));
}

function form(of, about) {
  let totals = false;
  let asked = 0;
  const figures = el('div', { class: 'figures-of-deletion', role: 'status' });
  const problem = el('p', { class: 'problem', role: 'alert' });
  const word = el('input', { id: newId('word'), type: 'text', autocomplete: 'off', on: { input: () => allow() } });
  const sure = el('button', { type: 'submit', class: 'danger' }, 'Delete for ever');
  let deletes = false;
  const allow = () => {
    sure.disabled = !deletes || word.value.trim().toLowerCase() !== WORD;
  };
  const look = async () => {
    asked += 1;
    const turn = asked;
    deletes = false;
    allow();
    problem.textContent = '';
    figures.replaceChildren(el('p', { class: 'hint' }, 'Counting…'));
    try {
      const report = await post('deletion', { of, totals, dry_run: true });
      if (turn !== asked) return;
      deletes = isSomething(report);
      figures.replaceChildren(...(deletes ? lines('This would delete', report) : [el('p', {}, 'There is nothing to delete.')]));
      allow();
    } catch (error) {
      if (turn !== asked) return;
      figures.replaceChildren();
      problem.textContent = error.message;
    }
  };
  const name = newId('extent');
  const extents = EXTENTS.map(([value, label, meaning]) => {
    const choose = () => {
      totals = value;
      look();
    };
    const input = el('input', { type: 'radio', name, checked: value === totals, on: { change: choose } });
    return el('label', { class: 'extent' }, input, el('span', {}, el('strong', {}, label), el('span', { class: 'hint' }, meaning)));
  });
  const place = el('div', {});
  const submit = async (event) => {
    event.preventDefault();
    if (sure.disabled) return;
    for (const control of place.querySelectorAll('input, button')) control.disabled = true;
    problem.textContent = '';
    sure.textContent = 'Deleting…';
    try {
      const report = await post('deletion', { of, totals, dry_run: false });
      const done = el('div', { role: 'status', tabindex: '-1' }, lines('Deleted', report));
      place.replaceChildren(done);
      done.focus();
    } catch (error) {
      for (const control of place.querySelectorAll('input, button')) control.disabled = false;
      sure.textContent = 'Delete for ever';
      problem.textContent = error.message;
      allow();
    }
  };
  place.append(
    el('p', {}, about),
    el(
      'form',
      { class: 'deletion', on: { submit } },
      el('fieldset', {}, el('legend', {}, 'What to delete'), extents),
      figures,
      el('label', { for: word.id }, `Type “${WORD}” to confirm`),
      el('div', { class: 'confirm' }, word, sure),
      problem,
    ),
  );
  allow();
  look();
  return place;
}

const isSomething = ({ calls, exchanges, bodies, requests, user_names: names }) =>
  calls + exchanges + bodies + requests + names > 0;

/** The report of a deletion in words. */
function lines(heading, { calls, exchanges, bodies, requests, user_names: names, kept }) {
  const gone = [
    calls + exchanges > 0 && `${format.counted(calls, 'call')} and ${format.counted(exchanges, 'exchange')} with Claude, with their costs`,
    bodies > 0 && `the request and the answer of ${format.counted(bodies, 'exchange')} with Claude`,
    requests > 0 && `${format.counted(requests, 'request')} as the client sent it`,
    names > 0 && `${format.counted(names, 'name')} of users of whom no call is left`,
  ].filter(Boolean);
  const stays = [
    kept?.calls > 0 && `${format.counted(kept.calls, 'call')} with times, models, tokens, costs, tags and ids`,
    kept?.answers > 0 && `${format.counted(kept.answers, 'answer')}, newer or asked for by somebody else first`,
  ].filter(Boolean);
  const list = (items) => el('ul', {}, items.map((text) => el('li', {}, text)));
  return [
    el('p', {}, gone.length > 0 ? `${heading}:` : 'Nothing was left to delete.'),
    gone.length > 0 && list(gone),
    stays.length > 0 && [el('p', {}, 'This stays:'), list(stays)],
    el('p', { class: 'hint' }, 'Backups, exports, fixtures and the client’s own history have what they had.'),
  ].flat().filter(Boolean);
}
