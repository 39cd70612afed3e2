// The period of a view, in the words of `reprise stats --since` and `--until`, and the control that changes it.

import { el, newId } from './dom.js';
import { changed, href } from './router.js';

const PRESETS = [
  ['Today', 'today'],
  ['7 days', '7d'],
  ['30 days', '30d'],
  ['90 days', '90d'],
  ['All time', ''],
];
/** The period of an address that names none. */
export const DEFAULT = '30d';
/** Another period begins with its first page. */
const FIRST_PAGE = { before: undefined, after: undefined };
const DAY_MS = 86_400_000;

/** The period in the parameters of an address; 30 days where there is none. */
export function periodOf(params) {
  return { since: params.get('since') ?? DEFAULT, until: params.get('until') ?? undefined };
}

/** The date of today in a time zone, `2026-11-30`. */
function today(timeZone) {
  const options = { timeZone: timeZone ?? undefined, year: 'numeric', month: '2-digit', day: '2-digit' };
  return new Intl.DateTimeFormat('en-CA', options).format(new Date());
}

const shifted = (date, days) =>
  new Date(Date.parse(`${date}T00:00:00Z`) + days * DAY_MS).toISOString().slice(0, 10);

const isDate = (text) => /^\d{4}-\d{2}-\d{2}$/.test(text ?? '');

/** The first and the last day of a period; null: the words do not tell. */
export function daysOf({ since, until }, timeZone) {
  const named = (text) => {
    if (isDate(text)) return text;
    if (text === 'today') return today(timeZone);
    if (text === 'yesterday') return shifted(today(timeZone), -1);
    const ago = /^(\d{1,4})d$/.exec(text ?? '');
    return ago ? shifted(today(timeZone), -Number(ago[1])) : null;
  };
  const [first, last] = [named(since), until ? named(until) : today(timeZone)];
  return first && last && first <= last ? [first, last] : null;
}

/** All days from the first to the last. */
export function eachDay(first, last) {
  const days = [];
  for (let day = first; day <= last; day = shifted(day, 1)) days.push(day);
  return days;
}

/** The control: links for usual periods, and a form for two days. `timeZone` is that of the server. */
export function periodPicker(path, params, timeZone) {
  const { since, until } = periodOf(params);
  const isPreset = until === undefined && PRESETS.some(([, value]) => value === since);
  const links = PRESETS.map(([name, value]) =>
    el(
      'a',
      {
        class: 'segment',
        href: href(path, changed(params, { since: value, until: undefined, ...FIRST_PAGE })),
        'aria-current': !until && value === since ? 'true' : undefined,
      },
      name,
    ),
  );
  const days = daysOf({ since, until }, timeZone) ?? [today(timeZone), today(timeZone)];
  const [from, to] = ['from', 'to'].map((name, at) =>
    el('input', { id: newId(name), type: 'date', name, value: days[at], required: true }),
  );
  const problem = el('p', { class: 'problem', role: 'alert' });
  const submit = (event) => {
    event.preventDefault();
    if (to.value < from.value) {
      problem.textContent = 'The last day is before the first.';
      to.focus();
      return;
    }
    location.hash = href(path, changed(params, { since: from.value, until: to.value, ...FIRST_PAGE }));
  };
  const form = el(
    'form',
    { class: 'dates', on: { submit } },
    el('label', { for: from.id }, 'First day'),
    from,
    el('label', { for: to.id }, 'Last day'),
    to,
    el('button', { type: 'submit', class: 'primary' }, 'Show'),
    problem,
  );
  const other = el(
    'details',
    { class: 'other-period' },
    el('summary', { class: 'segment', 'data-current': isPreset ? undefined : 'true' }, 'Dates…'),
    form,
  );
  other.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || !other.open) return;
    other.open = false;
    other.querySelector('summary').focus();
  });
  return el('nav', { class: 'period', 'aria-label': 'Period' }, links, other);
}
