// The overview: what was spent and saved, by whom, on what, and how well it went.

import { get } from '../api.js';
import { columns, legend } from '../chart.js';
import { amount, bar, card, figure, notice, shortened, table } from '../components.js';
import { el } from '../dom.js';
import * as format from '../format.js';
import { daysOf, eachDay, periodOf, periodPicker } from '../period.js';
import { href } from '../router.js';
import * as setupView from './setup.js';

export const title = 'Overview';
export const hasPeriod = true;

/** Days up to which a chart has a column for each. */
const MOST_DAYS = 100;
/** Groups of a table before "Show all". */
const MOST_GROUPS = 8;

/** The kinds of saving: their names, the parts of the report, and the calls behind them. */
const SAVINGS = [
  { name: 'Repeats', kind: 'ledger', calls: { answered_by: 'hit' } },
  { name: 'Joined calls', kind: 'collapsed', calls: { answered_by: 'collapsed' } },
  { name: 'Prompt cache', kind: 'prompt_cache', calls: { saved_by: 'prompt_cache' } },
];

/** The breakdowns: the dimension, its heading, and the name of a group. */
const BREAKDOWNS = [
  { by: 'model', heading: 'By model', column: 'Model', name: (of) => of.model },
  { by: 'user', heading: 'By user', column: 'User', name: format.userName },
  { by: 'task', heading: 'By task', column: 'Task', name: (of) => format.taskName(of.task) },
];

const savedTogether = (numbers) => format.sum(SAVINGS.map(({ kind }) => numbers.saved[kind]));
const total = (counts) => Object.values(counts).reduce((all, one) => all + one, 0);

export async function show({ params, signal, setup }) {
  if (!setup.has_calls) return setupView.show({ setup });
  const period = periodOf(params);
  const stats = (by) => get('stats', { ...period, by }, signal);
  const [days, budgets, ...breakdowns] = await Promise.all([
    stats('day'),
    get('budgets', {}, signal),
    ...BREAKDOWNS.map(({ by }) => stats(by)),
  ]);
  const toCalls = (filter) => href('calls', { ...period, ...filter });
  const head = el(
    'div',
    { class: 'view-head' },
    el('h1', {}, 'Overview'),
    periodPicker('', params, setup.timezone),
  );
  const told = el('p', { class: 'hint' }, days.period ?? 'All calls', days.pruned_before && `. Calls before ${days.pruned_before} were deleted and do not count.`);
  const budgetCard = budgets.budgets.length > 0 && showBudgets(budgets.budgets);
  if (days.total.calls === 0 && total(days.total.refused) === 0) {
    return el('div', {}, head, told, notice('No calls in this period.'), budgetCard);
  }
  return el(
    'div',
    {},
    head,
    told,
    figures(days.total, toCalls),
    await overTime(days, period, setup, signal),
    el(
      'div',
      { class: 'columns' },
      BREAKDOWNS.map((breakdown, at) => groups(breakdown, breakdowns[at].groups, toCalls)),
      budgetCard,
      problems(days.total, toCalls),
    ),
  );
}

function figures(numbers, toCalls) {
  const saved = savedTogether(numbers);
  const failed = total(numbers.errors);
  const times = (of) => (of ? `95% within ${format.duration(of.p95)}` : undefined);
  const prompt = ['input', 'cache_write_5m', 'cache_write_1h', 'cache_read'].reduce((all, kind) => all + numbers.tokens[kind], 0);
  return el(
    'dl',
    { class: 'figures' },
    figure('Spent', format.money(numbers.cost), {
      kind: 'spent', href: toCalls({ answered_by: 'upstream' }), title: format.moneyDetails(numbers.cost),
      details: `${format.shortCount(prompt)} tokens in, ${format.shortCount(numbers.tokens.output)} out`,
    }),
    figure('Saved', format.money(saved), {
      kind: 'saved', href: toCalls({ saved_by: 'any' }), title: format.moneyDetails(saved),
      details: SAVINGS.map(({ name, kind, calls }) =>
        el('span', { class: 'part' }, `${name} `, amount(numbers.saved[kind], toCalls(calls))),
      ),
    }),
    figure('Calls', format.count(numbers.calls), {
      href: toCalls({}),
      details: el('a', { href: toCalls({ answered_by: 'upstream' }) }, `${format.counted(numbers.upstream_requests, 'request')} to Claude`),
    }),
    figure('Hit rate', format.percent(numbers.hit_rate), {
      href: toCalls({ answered_by: 'hit' }), details: format.counted(numbers.answered_by.hit ?? 0, 'repeat'),
    }),
    figure('Time to first byte', format.duration(numbers.ttft_ms?.p50), {
      href: toCalls({ answered_by: 'upstream' }), details: times(numbers.ttft_ms), title: 'Median',
    }),
    figure('Time to the end', format.duration(numbers.total_ms?.p50), {
      href: toCalls({ answered_by: 'upstream' }), details: times(numbers.total_ms), title: 'Median',
    }),
    figure('Errors', format.count(failed), {
      kind: failed > 0 ? 'last bad' : 'last', href: toCalls({ error: '' }),
      details: numbers.calls > 0 ? `${format.percent(failed / numbers.calls)} of calls` : undefined,
    }),
  );
}

/** The groups over time, without gaps: by day, or by month where there are many days. */
async function steps(days, period, setup, signal) {
  const named = days.groups.map((group) => group.of.day);
  const range = daysOf(period, setup.timezone) ?? [named[0], named[named.length - 1]];
  const all = named.length > 0 ? eachDay(range[0], range[1]) : [];
  if (all.length <= MOST_DAYS) {
    const of = new Map(days.groups.map((group) => [group.of.day, group]));
    return all.map((day) => ({ name: day, label: format.day(day), numbers: of.get(day), span: { since: day, until: day } }));
  }
  const { groups: months } = await get('stats', { ...period, by: 'month' }, signal);
  return months.map((numbers) => {
    const { month } = numbers.of;
    return { name: month, label: month, numbers, span: { since: month, until: month } };
  });
}

async function overTime(days, period, setup, signal) {
  const points = await steps(days, period, setup, signal);
  const values = (of) => points.map(({ numbers }) => (numbers ? format.known(of(numbers)) : 0));
  const spent = { name: 'Spent', kind: 'spent', values: values((numbers) => numbers.cost) };
  const saved = SAVINGS.map(({ name, kind }) => ({ name, kind, values: values((numbers) => numbers.saved[kind]) }));
  const sums = days.total;
  const chart = columns({
    title: 'Spent and saved over time',
    description: `Spent ${format.money(sums.cost)}; saved ${SAVINGS.map(({ name, kind }) => `${format.money(sums.saved[kind])} by ${name.toLowerCase()}`).join(', ')}. The table below has each figure.`,
    labels: points.map(({ label }) => label),
    stacks: [[spent], saved],
    format: format.dollars,
    tickFormat: (value) => `${value < 0 ? '−' : ''}$${Number(Math.abs(value).toPrecision(6))}`,
    href: (at) => href('calls', points[at].span),
  });
  const series = [spent, ...saved].map((one) => ({
    ...one,
    content: el('b', {}, format.money(one.kind === 'spent' ? sums.cost : sums.saved[one.kind])),
  }));
  const link = (point, filter, text) => el('a', { href: href('calls', { ...point.span, ...filter }) }, text);
  const rows = points.filter(({ numbers }) => numbers).reverse();
  const list = table('Spent and saved over time', [
    { name: 'Time', cell: (point) => link(point, {}, point.name) },
    { name: 'Spent', isNumber: true, cell: (point) => amount(point.numbers.cost, href('calls', { ...point.span, answered_by: 'upstream' })) },
    ...SAVINGS.map(({ name, kind, calls }) => ({
      name, isNumber: true, cell: (point) => amount(point.numbers.saved[kind], href('calls', { ...point.span, ...calls })),
    })),
    { name: 'Calls', isNumber: true, cell: (point) => link(point, {}, format.count(point.numbers.calls)) },
    { name: 'Hit rate', isNumber: true, cell: (point) => link(point, { answered_by: 'hit' }, format.percent(point.numbers.hit_rate)) },
    { name: 'First byte', isNumber: true, cell: (point) => link(point, { answered_by: 'upstream' }, format.duration(point.numbers.ttft_ms?.p50)) },
    { name: 'End', isNumber: true, cell: (point) => link(point, { answered_by: 'upstream' }, format.duration(point.numbers.total_ms?.p50)) },
    { name: 'Errors', isNumber: true, cell: (point) => link(point, { error: '' }, format.count(total(point.numbers.errors))) },
  ], rows);
  return card('Spent and saved over time', legend(series), chart, el('details', { class: 'behind' }, el('summary', {}, 'Show as a table'), list));
}

function groups({ by, heading, column, name }, all, toCalls) {
  const shown = all.filter((group) => group.calls > 0);
  const link = (group, filter, text, title) => el('a', { href: toCalls({ [by]: group.of[by] ?? '', ...filter }), title }, text);
  const savings = (group) => SAVINGS.map(({ name: way, kind }) => `${way} ${format.money(group.saved[kind])}`).join('; ');
  const draw = (rows) => table(heading, [
    { name: column, cell: (group) => [link(group, {}, name(group.of)), bar(group.share, 'spent')] },
    { name: 'Spent', isNumber: true, cell: (group) => amount(group.cost, toCalls({ [by]: group.of[by] ?? '', answered_by: 'upstream' })) },
    { name: 'Share', isNumber: true, cell: (group) => format.percent(group.share) },
    { name: 'Saved', isNumber: true, cell: (group) => link(group, { saved_by: 'any' }, format.money(savedTogether(group)), savings(group)) },
    { name: 'Calls', isNumber: true, cell: (group) => link(group, {}, format.count(group.calls)) },
    { name: 'Hit rate', isNumber: true, cell: (group) => link(group, { answered_by: 'hit' }, format.percent(group.hit_rate)) },
  ], rows);
  return card(heading, shortened(shown, MOST_GROUPS, draw));
}

const OWNERS = { everyone: 'Everyone', group: 'Group' };
const STATES = { fine: 'Within budget', warn: 'Nearly spent', spent: 'Spent' };

function showBudgets(budgets) {
  const row = (budget) => {
    const whose = OWNERS[budget.whose] ?? format.userName(budget);
    const spent = format.known(budget.spent);
    const filter = {
      since: budget.from, until: budget.until, user: budget.whose === 'everyone' ? undefined : (budget.user ?? ''),
      key: budget.key ?? undefined, model: budget.model ?? undefined, answered_by: 'upstream',
    };
    // Calls can be listed of one user only.
    const calls = budget.whose === 'group' ? undefined : href('calls', filter);
    const more = [budget.users?.join(', '), budget.key && `key ${budget.key}`, budget.model].filter(Boolean);
    return el(
      'li',
      { class: `budget ${budget.state}` },
      el('div', {}, el('strong', {}, whose), more.length > 0 && ` · ${more.join(' · ')}`, el('span', { class: 'chip' }, STATES[budget.state])),
      bar(budget.limit > 0 ? spent / budget.limit : 1, budget.state),
      el(
        'div',
        { class: 'details' },
        amount(budget.spent, calls),
        ` of ${format.limit(budget.limit)} a ${budget.per}`,
        format.known(budget.reserved) > 0 && `, ${format.money(budget.reserved)} reserved by running calls`,
      ),
    );
  };
  const draw = (rows) => el('ul', { class: 'budgets' }, rows.map(row));
  return card('Budgets', shortened(budgets, MOST_GROUPS, draw));
}

/** Errors and refusals by kind. */
function problems(numbers, toCalls) {
  const sorted = (counts) => Object.entries(counts).sort(([, a], [, b]) => b - a);
  const errors = sorted(numbers.errors);
  const refused = sorted(numbers.refused);
  if (errors.length + refused.length === 0) return null;
  return card(
    'Errors',
    errors.length > 0 &&
      el('ul', { class: 'counts' }, errors.map(([kind, count]) =>
        el('li', {}, el('span', {}, kind), el('a', { href: toCalls({ error: kind }), 'aria-label': `${format.counted(count, 'call')} with the error ${kind}` }, format.count(count))),
      )),
    refused.length > 0 && [
      el('h3', {}, 'Refused by Reprise'),
      el('p', { class: 'hint' }, 'These requests went nowhere and are not among the calls.'),
      el('ul', { class: 'counts' }, refused.map(([reason, count]) => el('li', {}, el('span', {}, reason), el('span', {}, format.count(count))))),
    ],
  );
}
