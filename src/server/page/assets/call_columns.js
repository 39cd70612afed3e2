// Columns of tables of calls.

import { amount } from './components.js';
import { el } from './dom.js';
import * as format from './format.js';
import { href } from './router.js';

/** The columns that tables of calls have in common, by name. */
export function callColumns(setup) {
  const failed = (call) => call.error ?? (call.outcome === 'complete' ? null : call.outcome);
  return {
    time: {
      name: 'Time',
      cell: (call) => el('a', { href: href(`calls/${call.id}`) }, el('time', { datetime: call.at }, format.moment(call.at, setup.timezone))),
    },
    user: { name: 'User', cell: (call) => format.userName(call) },
    model: { name: 'Model', cell: (call) => call.model },
    task: { name: 'Task', cell: (call) => (call.task === null ? '–' : format.taskName(call.task)) },
    answeredBy: { name: 'Answered by', cell: (call) => el('span', { class: `source ${call.answered_by}` }, format.sourceName(call.answered_by)) },
    outcome: {
      name: 'Outcome',
      cell: (call) => (failed(call) ? el('span', { class: 'problem' }, `${format.outcomeName(call.outcome)}${call.error ? `: ${call.error}` : ''}`) : format.outcomeName(call.outcome)),
    },
    cost: { name: 'Cost', isNumber: true, cell: (call) => amount(call.cost) },
    saved: { name: 'Saved', isNumber: true, cell: (call) => amount(call.saved) },
    end: { name: 'End', isNumber: true, cell: (call) => format.duration(call.total_ms) },
  };
}
