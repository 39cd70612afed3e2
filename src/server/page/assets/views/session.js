// One session: the chat as it was, with its branches, how each turn was answered, and its answers played back.

import { get } from '../api.js';
import { branches } from '../branches.js';
import { amount, notice, table } from '../components.js';
import { deletion } from '../deletion.js';
import { el } from '../dom.js';
import { fixtureExport } from '../export.js';
import * as format from '../format.js';
import { markdown } from '../markdown.js';
import { player } from '../player.js';
import { prose } from '../prose.js';
import { changed, href } from '../router.js';
import { whatIf } from '../what_if.js';

export const title = 'Session';

/** Length from which a string in a request is shortened, in characters, and what is shown of it. */
const LONGEST = 4000;
const SHOWN = 400;

/** Shown in place of redacted thinking. */
const HIDDEN = 'Thinking that Anthropic shows to nobody.';

export async function show({ params, rest, signal, setup }) {
  const session = await get(`sessions/${encodeURIComponent(rest[0])}`, {}, signal);
  const tasks = session.turns.filter((turn) => turn.task !== null);
  let shown = params;
  // The address leads to what is shown.
  const readdress = (changes) => {
    shown = changed(shown, changes);
    history.replaceState(null, '', href(`sessions/${encodeURIComponent(session.id)}`, shown));
  };
  return el(
    'div',
    { class: 'session' },
    el('p', { class: 'hint' }, el('a', { href: href('sessions') }, 'All sessions')),
    el('h1', { dir: 'auto' }, session.title || 'No title'),
    summary(session, setup),
    tools({ session, params, setup, signal, readdress }),
    chat({ session, params, setup, signal, readdress }),
    tasks.length > 0 && background(tasks),
  );
}

function summary(session, setup) {
  const { tokens } = session;
  const prompt = tokens.input + tokens.cache_write_5m + tokens.cache_write_1h + tokens.cache_read;
  const parts = [
    session.user !== null && el('a', { href: href('sessions', { since: '', user: session.user }) }, format.userName(session)),
    el('time', { datetime: session.began }, format.moment(session.began, setup.timezone)),
    format.counted(session.turns.filter(({ task }) => task === null).length, 'turn'),
    amount(session.cost),
    `${format.shortCount(prompt)} tokens in, ${format.shortCount(tokens.output)} out`,
    session.models.join(', '),
  ].filter(Boolean);
  return el('p', { class: 'hint facts' }, parts.map((part) => el('span', {}, part)));
}

/** What can be done with the whole session. */
function tools({ session, params, setup, signal, readdress }) {
  return el(
    'div',
    { class: 'card session-tools' },
    whatIf({
      session,
      models: setup.priced_models,
      chosen: params.get('what_if') ?? undefined,
      onChoose: (model) => readdress({ what_if: model }),
      signal,
    }),
    fixtureExport({ session, signal }),
    setup.may_delete && deletion({
      heading: 'Delete this session',
      of: { session: session.id },
      about: 'What was said in this session is deleted from the ledger. It cannot be brought back.',
    }),
  );
}

function chat({ session, params, setup, signal, readdress }) {
  const { path, choiceOf } = branches(session.turns);
  const chosen = choiceOf(Number(params.get('turn')));
  const place = el('div', { class: 'chat' });
  const choose = (group, turn, by) => {
    chosen.set(group, turn.number);
    readdress({ turn: turn.number });
    draw();
    const buttons = place.querySelector(`[data-turn="${turn.number}"]`)?.querySelectorAll('.branch button') ?? [];
    const wanted = by < 0 ? buttons[0] : buttons[1];
    (wanted?.disabled ? [...buttons].find((button) => !button.disabled) : wanted)?.focus();
  };
  const draw = () => {
    place.replaceChildren(...path(chosen).map(({ turn, group, siblings }) =>
      el(
        'article',
        { class: 'turn', 'data-turn': turn.number, 'aria-label': `Turn ${turn.number}` },
        siblings.length > 1 && branchSwitch(turn, siblings, (sibling, by) => choose(group, sibling, by)),
        asked(turn),
        answer(turn, setup, signal),
      ),
    ));
  };
  draw();
  return place;
}

function branchSwitch(turn, siblings, choose) {
  const at = siblings.indexOf(turn);
  const step = (by, name, sign) =>
    el('button', {
      type: 'button', class: 'quiet', 'aria-label': name, disabled: !siblings[at + by],
      on: { click: () => choose(siblings[at + by], by) },
    }, sign);
  let how = 'Asked first';
  if (turn.branch?.again !== undefined) how = 'Asked again';
  if (turn.branch?.edited !== undefined) how = 'Edited';
  return el(
    'div',
    { class: 'branch', role: 'group', 'aria-label': `Branches at turn ${siblings[0].number}` },
    step(-1, 'The branch before', '‹'),
    el('span', { role: 'status' }, `${at + 1} of ${siblings.length}`),
    step(1, 'The next branch', '›'),
    el('span', { class: 'hint' }, how),
  );
}

function asked(turn) {
  const content = [
    turn.question !== null && prose(turn.question),
    turn.attachments.map((file) => attachment(turn.call, file)),
    turn.attachments.length === 0 && turn.media.map((kind) => el('p', { class: 'hint' }, `[${kind}]`)),
  ].flat(Infinity).filter(Boolean);
  const isEmpty = content.length === 0;
  const nothing = turn.request_is_kept ? 'No text.' : 'The request is not kept.';
  return [
    turn.results.map((result) =>
      el(
        'details',
        { class: 'result' },
        el('summary', {}, `Result of ${result.tool ?? 'a tool'}`),
        el('pre', { class: 'code', tabindex: '0' }, result.content),
      ),
    ),
    (!isEmpty || turn.results.length === 0) &&
      el(
        'section',
        { class: 'bubble person', 'aria-label': 'Question' },
        isEmpty ? el('p', { class: 'hint' }, nothing) : content,
      ),
  ];
}

const PICTURES = ['image/png', 'image/jpeg', 'image/gif', 'image/webp'];

function attachment(call, file) {
  const name = file.name ?? file.kind;
  if (file.hash === null) {
    return el('p', { class: 'file' }, `${name}: ${file.elsewhere ? `not in the request, but at ${file.elsewhere}` : 'cannot be read'}`);
  }
  const address = `/page/calls/${call}/attachments/${file.hash}`;
  const size = `${format.count(Math.ceil(file.bytes / 1000))} kB`;
  if (PICTURES.includes(file.media_type)) {
    return el('a', { class: 'picture', href: address, download: true, title: `${name}, ${size}: save` }, el('img', { src: address, alt: file.name ?? 'Picture of the question', loading: 'lazy' }));
  }
  return el('p', { class: 'file' }, el('a', { href: address, download: true }, name), ` ${file.media_type}, ${size}`);
}

/** The element of a block, which `fill` writes the text into. */
function block({ kind, name }) {
  const body = el('div', { class: 'body' });
  if (kind === 'text') return el('div', { class: 'block' }, body);
  if (kind === 'thinking' || kind === 'redacted_thinking') {
    return el('details', { class: 'block thinking' }, el('summary', {}, 'Thinking'), body);
  }
  const heading = kind === 'tool_call' ? `Calls ${name}` : `${name ?? 'Another part'}`;
  return el('details', { class: 'block tool', open: kind === 'tool_call' }, el('summary', {}, heading), body);
}

/** Writes a text into the element of a block. */
function fill(element, { kind }, text) {
  const body = element.querySelector('.body');
  if (kind === 'text') body.replaceChildren(...markdown(text));
  else if (kind === 'thinking') body.replaceChildren(...prose(text));
  else if (kind === 'redacted_thinking') body.textContent = HIDDEN;
  else body.replaceChildren(el('pre', { class: 'code', tabindex: '0' }, text));
}

function whole(one) {
  const name = one.name ?? one.block?.name ?? one.block?.type;
  const element = block({ kind: one.kind, name });
  fill(element, one, one.text ?? one.input ?? JSON.stringify(one.block ?? null, null, 2));
  return element;
}

function absence(turn) {
  if (turn.error !== null) return el('p', { class: 'problem' }, turn.error);
  if (turn.blocks.length > 0) return null;
  if (turn.answer_is_kept) return el('p', { class: 'hint' }, 'No text.');
  return el('p', { class: 'hint' }, turn.outcome === 'complete' ? 'The answer is not kept.' : 'Nothing came.');
}

function answer(turn, setup, signal) {
  const content = el('div', { class: 'content' }, turn.blocks.map(whole), absence(turn));
  const told = el('p', { class: 'problem', role: 'alert' });
  const bodies = el('div', {});
  const button = (name, click) => el('button', { type: 'button', class: 'quiet', on: { click } }, name);
  const attempt = async (pressed, task) => {
    told.textContent = '';
    pressed.disabled = true;
    try {
      await task();
    } catch (error) {
      if (error.name !== 'AbortError') told.textContent = error.message;
    } finally {
      pressed.disabled = false;
    }
  };
  const watch = button('Play back', () => attempt(watch, async () => {
    const playback = await get(`playback/${encodeURIComponent(turn.exchange)}`, {}, signal);
    if (playback.duration_us === 0 || playback.blocks.length === 0) {
      told.textContent = 'This answer was recorded without times.';
      return;
    }
    const kept = [...content.childNodes];
    const onClose = () => {
      content.replaceChildren(...kept);
      watch.hidden = false;
      watch.focus();
    };
    const shown = player({ playback, block, fill, onClose });
    content.replaceChildren(shown.element);
    watch.hidden = true;
    shown.play();
    shown.focus();
  }));
  const compare = button('Both requests', () => attempt(compare, async () => {
    if (bodies.hasChildNodes()) {
      bodies.replaceChildren();
    } else {
      bodies.replaceChildren(requests(await get(`calls/${turn.call}/requests`, {}, signal)));
    }
    compare.setAttribute('aria-expanded', String(bodies.hasChildNodes()));
  }));
  compare.setAttribute('aria-expanded', 'false');
  return el(
    'section',
    { class: 'bubble claude', 'aria-label': 'Answer' },
    content,
    facts(turn, setup),
    notes(turn.notes),
    el('div', { class: 'actions' }, turn.exchange !== null && turn.answer_is_kept && watch, compare, el('a', { href: href(`calls/${turn.call}`) }, 'Call')),
    told,
    bodies,
  );
}

/** By whom and why it was answered, at which cost, how fast. */
function facts(turn, setup) {
  const { tokens } = turn;
  const prompt = tokens.input + tokens.cache_write_5m + tokens.cache_write_1h + tokens.cache_read;
  const parts = [
    el('time', { datetime: turn.at }, format.moment(turn.at, setup.timezone)),
    turn.model,
    el('span', { class: `source ${turn.answered_by}` }, format.sourceName(turn.answered_by)),
    turn.outcome !== 'complete' && el('span', { class: 'problem' }, format.outcomeName(turn.outcome)),
    amount(turn.cost),
    `${format.count(prompt)} tokens in, ${format.count(tokens.output)} out`,
    turn.ttft_ms !== null && `first byte after ${format.duration(turn.ttft_ms)}`,
    turn.total_ms !== null && `end after ${format.duration(turn.total_ms)}`,
    turn.same_answer_as !== null && `the answer of turn ${turn.same_answer_as}`,
    turn.why !== null && `asked because ${turn.why}`,
  ].filter(Boolean);
  return el('p', { class: 'hint facts' }, parts.map((part) => el('span', {}, part)));
}

function notes(all) {
  if (!Array.isArray(all) || all.length === 0) return null;
  const text = (note) => (note?.what === undefined ? JSON.stringify(note) : [note.field, note.what].filter(Boolean).join(': '));
  return el(
    'details',
    { class: 'behind' },
    el('summary', {}, `${format.counted(all.length, 'change')} in translation`),
    el('ul', {}, all.map((note) => el('li', {}, text(note)))),
  );
}

/** A request as JSON, with what is too long to be read shortened. */
function written(body) {
  if (body === null) return 'Not kept.';
  const short = (_, value) =>
    typeof value === 'string' && value.length > LONGEST
      ? `${value.slice(0, SHOWN)}… (${format.count(value.length - SHOWN)} more characters)`
      : value;
  return typeof body === 'string' ? short('', body) : JSON.stringify(body, short, 2);
}

function requests({ client, upstream }) {
  const one = (name, body) =>
    el('section', { 'aria-label': name }, el('h3', {}, name), el('pre', { class: 'code', tabindex: '0' }, written(body)));
  const name = (at) => (upstream.length > 1 ? `To Claude, part ${at + 1}` : 'To Claude');
  return el('div', { class: 'beside' }, one('From the client', client), upstream.map((body, at) => one(name(at), body)),
    upstream.length === 0 && notice('Nothing went to Claude.'));
}

/** The calls that the client made on its own account. */
function background(tasks) {
  const list = table('Background calls', [
    { name: 'Task', cell: (turn) => el('a', { href: href(`calls/${turn.call}`) }, format.taskName(turn.task) || 'Task') },
    { name: 'Answer', cell: (turn) => turn.answer ?? turn.error ?? '–' },
    { name: 'Answered by', cell: (turn) => format.sourceName(turn.answered_by) },
    { name: 'Cost', isNumber: true, cell: (turn) => amount(turn.cost) },
  ], tasks);
  return el('details', { class: 'card behind' }, el('summary', {}, format.counted(tasks.length, 'background call')), list);
}
