// Current activity: running calls, what they write, and calls as they end.

import { get, post } from '../api.js';
import { callColumns } from '../call_columns.js';
import { card, notice, table } from '../components.js';
import { el, newId } from '../dom.js';
import * as format from '../format.js';
import { href } from '../router.js';

export const title = 'Live';

/** Most ended calls that are shown. */
const MOST_ENDED = 50;
/** Most characters of an answer that are shown; the newest stay. */
const MOST_SHOWN = 200_000;
/** Least time between two drawings of the ended calls. */
const DRAW_MS = 250;
/** Time until the next try, where the browser makes none by itself. */
const RETRY_MS = 3000;

/** Listens to a stream of events below `/page/` until `signal` aborts. Returns what closes it. */
function listen(path, listeners) {
  const source = new EventSource(`/page/${path}`);
  for (const [name, listener] of Object.entries(listeners)) {
    // `error` is of the connection, and has no content.
    source.addEventListener(name, (event) => listener(event.data === undefined ? source : JSON.parse(event.data)));
  }
  return () => source.close();
}

export function show({ signal, setup }) {
  const state = el('p', { class: 'live-state', role: 'status' }, 'Connecting…');
  const running = el('div', { class: 'running' });
  const ended = el('div', {});
  const calls = new Map();
  let newest = [];
  let more = 0;
  let close = () => {};
  let retry;
  let drawing;
  let isStale = false;

  const say = (text) => {
    if (state.textContent !== text) state.textContent = text;
  };

  const drawEnded = () => {
    isStale = false;
    ended.replaceChildren(
      newest.length === 0 ? notice('No call has ended yet.') : endedList(newest, setup),
    );
  };

  /** Draws the ended calls in a moment, but not under the focus of somebody, who would lose it. */
  const drawEndedSoon = () => {
    isStale = true;
    drawing ??= setTimeout(() => {
      drawing = undefined;
      if (!ended.contains(document.activeElement)) drawEnded();
    }, DRAW_MS);
  };

  const drawRunning = () => {
    running.querySelector(':scope > .notice')?.remove();
    const rest = more > 0 && notice(`${format.counted(more, 'older call')} also running.`);
    if (rest) running.append(rest);
    else if (calls.size === 0) running.append(notice('Nothing is running.'));
  };

  const begin = (told) => {
    const known = calls.get(told.exchange);
    if (known) {
      known.update(told);
      return;
    }
    const row = runningCall(told);
    calls.set(told.exchange, row);
    running.prepend(row.element);
  };

  const drop = (exchange) => {
    const row = calls.get(exchange);
    calls.delete(exchange);
    row?.leave();
  };

  const reconcile = (told) => {
    more = told.more;
    const now = new Set(told.running.map(({ exchange }) => exchange));
    for (const exchange of [...calls.keys()]) if (!now.has(exchange)) drop(exchange);
    told.running.forEach(begin);
    drawRunning();
  };

  const end = (call) => {
    for (const [exchange, row] of calls) if (row.call === call.id) drop(exchange);
    newest = [call, ...newest.filter(({ id }) => id !== call.id)].slice(0, MOST_ENDED);
    drawRunning();
    drawEndedSoon();
  };

  const lost = async (source) => {
    say('The connection is lost. Trying again…');
    if (source.readyState !== EventSource.CLOSED) return;
    close();
    try {
      const { signed_in: signedIn } = await get('session', {}, signal);
      if (!signedIn) {
        location.reload();
        return;
      }
    } catch {
      // Reprise does not answer yet.
    }
    if (!signal.aborted && !document.hidden) retry = setTimeout(connect, RETRY_MS);
  };

  function connect() {
    clearTimeout(retry);
    close();
    close = listen('live', {
      snapshot: (told) => {
        newest = told.ended;
        reconcile(told);
        drawEnded();
        say('Connected.');
      },
      running: reconcile,
      began: (told) => {
        begin(told);
        drawRunning();
      },
      ended: end,
      error: lost,
    });
  }

  const pause = () => {
    if (document.hidden) {
      clearTimeout(retry);
      close();
      for (const row of calls.values()) row.pause();
      say('Paused while the window is hidden.');
    } else {
      say('Connecting…');
      connect();
      for (const row of calls.values()) row.resume();
    }
  };

  const clock = setInterval(() => {
    for (const row of calls.values()) row.tick();
    if (isStale) drawEndedSoon();
  }, 1000);
  document.addEventListener('visibilitychange', pause);
  signal.addEventListener('abort', () => {
    clearInterval(clock);
    clearTimeout(retry);
    clearTimeout(drawing);
    document.removeEventListener('visibilitychange', pause);
    close();
    for (const row of calls.values()) row.pause();
  });
  if (document.hidden) say('Paused while the window is hidden.');
  else connect();
  return el(
    'div',
    {},
    el('div', { class: 'view-head' }, el('h1', {}, 'Live'), state),
    card('Running', running),
    card('Ended', ended),
  );
}

/** The row of a running call: what it is, what it writes, and a button that stops it. */
function runningCall(first) {
  let told = first;
  let began;
  const path = `live/${encodeURIComponent(first.exchange)}`;
  const { call } = first;
  const what = call.task === null ? call.model : `${format.taskName(call.task)}, ${call.model}`;
  const name = `${what}, ${format.userName(call)}`;
  const phase = el('span', { class: 'chip' });
  const time = el('span', { class: 'seconds' });
  const others = el('span', { class: 'hint' });
  const id = newId('answer');
  const written = el('div', { class: 'written', id, hidden: true, tabindex: '0', role: 'region', 'aria-label': `Answer of ${name}` });
  const read = el('button', { type: 'button', class: 'quiet', 'aria-expanded': 'false', 'aria-controls': id, 'aria-label': `Read along: ${name}` }, 'Read along');
  const actions = el('div', { class: 'actions' });
  const problem = el('p', { class: 'problem', role: 'alert' });
  const element = el(
    'article',
    { class: 'running-call', 'aria-label': name },
    el(
      'div',
      { class: 'running-head' },
      el('div', {}, el('strong', {}, call.model), ' ', phase, ' ', time, el('div', { class: 'hint' }, el('span', {}, format.userName(call)), call.task !== null && [' · ', el('span', {}, format.taskName(call.task))], ' ', others)),
      actions,
    ),
    problem,
    written,
  );
  let close = () => {};
  let isOpen = false;
  let shown = 0;

  let isAsking = false;

  const update = (now) => {
    const isNew = now.stoppable !== told.stoppable;
    told = { ...now, begun: now.begun || told.begun };
    if (isNew && !isAsking) offer();
    began = performance.now() - told.age_ms;
    phase.textContent = told.begun ? 'Writing' : 'Waiting for Claude';
    others.textContent = told.readers > 1 ? `· ${format.counted(told.readers, 'client')}` : '';
    tick();
  };
  const tick = () => {
    time.textContent = `${format.count(Math.max(0, Math.floor((performance.now() - began) / 1000)))} s`;
  };

  const add = ({ kind, text }) => {
    const atEnd = written.scrollHeight - written.scrollTop - written.clientHeight < 40;
    written.querySelector('.hint')?.remove();
    const last = written.lastElementChild;
    if (last?.classList.contains(kind) && kind !== 'tool') last.append(text);
    else written.append(el('p', { class: kind }, kind === 'tool' ? `Calls the tool ${text}` : text));
    shown += text.length;
    // Too much to keep: whole paragraphs go, the oldest first.
    while (shown > MOST_SHOWN && written.childElementCount > 1) {
      shown -= written.firstElementChild.textContent.length;
      written.firstElementChild.remove();
    }
    if (atEnd) written.scrollTop = written.scrollHeight;
  };
  const follow = () => {
    shown = 0;
    written.replaceChildren(el('p', { class: 'hint' }, 'Nothing is written yet.'));
    const over = (text) => () => {
      close();
      if (text) written.append(el('p', { class: 'hint' }, text));
    };
    // After an interruption, the answer comes from its beginning again.
    close = listen(path, {
      open: () => {
        shown = 0;
        written.replaceChildren(el('p', { class: 'hint' }, 'Nothing is written yet.'));
      },
      written: add,
      end: over('The answer has ended.'),
      cut: over('The rest of the answer is too long to be shown here.'),
      error: (source) => {
        if (source.readyState === EventSource.CLOSED) over('The answer cannot be read along now.')();
      },
    });
  };
  const toggle = () => {
    isOpen = !isOpen;
    written.hidden = !isOpen;
    read.setAttribute('aria-expanded', String(isOpen));
    const does = isOpen ? 'Close' : 'Read along';
    read.textContent = does;
    read.setAttribute('aria-label', `${does}: ${name}`);
    close();
    if (isOpen) follow();
  };

  const ask = () => {
    const keep = el('button', { type: 'button', class: 'quiet', on: { click: () => { offer(); actions.querySelector('.stop')?.focus(); } } }, 'Keep it running');
    const sure = el('button', { type: 'button', class: 'danger', on: { click: stop } }, 'Stop it');
    isAsking = true;
    actions.replaceChildren(el('span', {}, 'Stop this answer? Its client gets an error.'), sure, keep);
    sure.focus();
  };
  const stop = async () => {
    actions.replaceChildren(el('span', { class: 'hint', role: 'status' }, 'Stopping…'));
    try {
      await post(`${path}/stop`);
    } catch (error) {
      // It has ended meanwhile, and leaves by itself.
      if (error.code !== 'not_running') {
        problem.textContent = error.message;
        offer();
      }
    }
  };
  const offer = () => {
    isAsking = false;
    const button = el('button', { type: 'button', class: 'quiet stop', 'aria-label': `Stop: ${name}`, on: { click: ask } }, 'Stop');
    actions.replaceChildren(...(told.readable ? [read] : []), ...(told.stoppable ? [button] : []));
  };
  read.addEventListener('click', toggle);
  update(first);
  offer();
  return {
    element,
    call: call.id,
    update,
    tick,
    pause: () => close(),
    resume: () => {
      if (isOpen) follow();
    },
    /** The call has ended. What somebody reads stays until it is closed. */
    leave: () => {
      if (!isOpen) {
        close();
        element.remove();
        return;
      }
      phase.textContent = 'Ended';
      const dismiss = () => {
        close();
        element.remove();
      };
      const link = el('a', { href: href(`calls/${call.id}`) }, 'The call');
      actions.replaceChildren(link, el('button', { type: 'button', class: 'quiet', on: { click: dismiss } }, 'Close'));
    },
  };
}

const endedList = (calls, setup) => table('Ended calls, the newest first', Object.values(callColumns(setup)), calls);
