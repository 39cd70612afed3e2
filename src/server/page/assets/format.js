// Numbers, money and times as people read them.

const LOCALE = 'en-US';
const NANOS = 1e9;
const COUNT = new Intl.NumberFormat(LOCALE);
const SHORT = new Intl.NumberFormat(LOCALE, { notation: 'compact', maximumFractionDigits: 1 });

const TASKS = {
  title_generation: 'Chat titles',
  tags_generation: 'Tags',
  follow_up_generation: 'Follow-ups',
  query_generation: 'Search queries',
  image_prompt_generation: 'Image prompts',
  autocomplete_generation: 'Autocomplete',
  context_compaction: 'Context summaries',
  emoji_generation: 'Emoji',
  moa_response_generation: 'Merged answers',
  function_calling: 'Function calling',
  memory_review: 'Memory review',
};

const SOURCES = {
  hit: 'Repeat',
  miss: 'Claude',
  collapsed: 'Joined',
  refresh: 'Claude, anew',
  bypass: 'Claude, not kept',
  replay: 'Fixture',
  refused: 'Refused',
  upstream: 'Claude',
};

const OUTCOMES = {
  complete: 'Complete',
  failed: 'Failed',
  cut: 'Cut off',
  stopped: 'Stopped',
  lost: 'Lost',
  refused: 'Refused',
};

export const count = (n) => COUNT.format(n);
export const counted = (n, noun) => `${count(n)} ${noun}${n === 1 ? '' : 's'}`;
export const shortCount = (n) => (n < 10_000 ? count(n) : SHORT.format(n));
export const taskName = (task) => (task === null ? 'Chats and other calls' : (TASKS[task] ?? task));
export const sourceName = (source) => SOURCES[source] ?? source;
export const outcomeName = (outcome) => OUTCOMES[outcome] ?? outcome;

/** A fraction in percent. One above zero is never shown as 0 %, nor one below 1 as 100 %. */
export function percent(part) {
  if (part > 0 && part < 0.005) return '<1%';
  if (part < 1 && part > 0.995) return '>99%';
  return `${Math.round(part * 100)}%`;
}

/** An amount in dollars: cents from a dollar on, more digits below, so that no payment reads as zero. */
export function dollars(amount) {
  const size = Math.abs(amount);
  let digits = 2;
  if (size > 0 && size < 1) digits = size >= 0.00005 ? 4 : 9;
  const text = size.toLocaleString(LOCALE, { minimumFractionDigits: Math.min(digits, 4), maximumFractionDigits: digits });
  return `${amount < 0 ? '−' : ''}$${text}`;
}

/** A limit in dollars, as it was set. */
export const limit = (amount) => `$${amount.toLocaleString(LOCALE, { minimumFractionDigits: 2, maximumFractionDigits: 9 })}`;

/** Money of a report: "≥" where calls ended early, "unpriced" where nothing is known. */
export function money(sum) {
  if (sum.nano_dollars === null) return 'unpriced';
  return `${sum.at_least > 0 ? '≥ ' : ''}${dollars(sum.nano_dollars / NANOS)}${sum.unpriced > 0 ? ' +?' : ''}`;
}

/** What the marks of an amount mean, and the exact amount. */
export function moneyDetails(sum) {
  const parts = [];
  if (sum.nano_dollars !== null) parts.push(`$${(sum.nano_dollars / NANOS).toFixed(9)}`);
  if (sum.at_least > 0) parts.push(`${counted(sum.at_least, 'call')} ended early and cost at least this`);
  if (sum.unpriced > 0) parts.push(`${counted(sum.unpriced, 'call')} without a known price`);
  return parts.join('; ');
}

/** The sum of amounts of money. */
export function sum(amounts) {
  const known = amounts.filter((one) => one.nano_dollars !== null);
  const add = (field) => amounts.reduce((all, one) => all + one[field], 0);
  return {
    nano_dollars: known.length === 0 ? null : known.reduce((all, one) => all + one.nano_dollars, 0),
    at_least: add('at_least'),
    unpriced: add('unpriced'),
  };
}

/** The known amount in dollars. */
export const known = (amount) => (amount.nano_dollars ?? 0) / NANOS;

/** Milliseconds in the unit that leaves few digits. */
export function duration(ms) {
  if (ms === null || ms === undefined) return '–';
  if (ms < 1) return '<1 ms';
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 100_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${count(Math.round(ms / 60_000))} min`;
}

/** A moment in the time zone of the server. */
export function moment(text, timeZone) {
  const options = { dateStyle: 'medium', timeStyle: 'medium', timeZone: timeZone ?? undefined };
  return new Intl.DateTimeFormat(LOCALE, options).format(new Date(text));
}

/** A day, `2026-11-30`, as `Nov 30`. */
export function day(text) {
  const date = new Date(`${text}T00:00:00Z`);
  if (Number.isNaN(date.getTime())) return text;
  return new Intl.DateTimeFormat(LOCALE, { month: 'short', day: 'numeric', timeZone: 'UTC' }).format(date);
}

/** A user as people know it: the name, else the mail, else the id. */
export function userName(of) {
  return of.user_name ?? of.user_email ?? of.user ?? 'No user stated';
}
