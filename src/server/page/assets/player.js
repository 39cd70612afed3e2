// Plays an answer back: the blocks of one answer, with the texts that had come at a time.

import { el, newId } from './dom.js';
import * as format from './format.js';

const SPEEDS = [1, 2, 4, 10];
/** Positions of the seek bar; a key moves it by one `STEP`. */
const POSITIONS = 1000;
const STEP = 5;
/** Milliseconds between two pictures for people who want less motion. */
const CALM_MS = 1000;

/**
 * A player of the answer `playback`. `block` makes the element of `{ kind, name }`, and `fill` writes a text into it. It
 * stops when it is taken out of the document.
 */
export function player({ playback, block, fill, onClose }) {
  const { duration_us: duration } = playback;
  const blocks = playback.blocks.map((played) => ({ ...played, element: block(played), shown: null }));
  for (const { element } of blocks) {
    // What is folded would come unseen.
    if (element.localName === 'details') element.open = true;
  }
  const place = el('div', { class: 'played' }, blocks.map(({ element }) => element));
  let at = 0;
  let speed = 1;
  let timer = null;

  const show = () => {
    for (const one of blocks) {
      const isThere = one.start_us <= at;
      one.element.hidden = !isThere;
      if (!isThere) continue;
      // Steps come in order: the first one that is later ends them.
      const later = one.steps.findIndex(([time]) => time > at);
      const count = later < 0 ? one.steps.length : later;
      if (count === one.shown) continue;
      one.shown = count;
      fill(one.element, one, one.steps.slice(0, count).map(([, text]) => text).join(''));
    }
    const open = blocks.findLast((one) => one.start_us <= at && (one.end_us === null || one.end_us > at));
    for (const one of blocks) one.element.classList.toggle('arriving', one === open && at < duration);
    seek.value = duration > 0 ? Math.round((at / duration) * POSITIONS) : POSITIONS;
    const told = `${format.duration(at / 1000)} of ${format.duration(duration / 1000)}`;
    seek.setAttribute('aria-valuetext', told);
    clock.textContent = told;
  };

  const pause = () => {
    if (timer !== null) timer.cancel();
    timer = null;
    button.textContent = at >= duration ? 'Play again' : 'Play';
  };

  const wait = (then) => {
    if (matchMedia('(prefers-reduced-motion: reduce)').matches) {
      const id = setTimeout(then, CALM_MS);
      return { cancel: () => clearTimeout(id) };
    }
    const id = requestAnimationFrame(then);
    return { cancel: () => cancelAnimationFrame(id) };
  };

  const play = () => {
    if (at >= duration) at = 0;
    button.textContent = 'Pause';
    let last = performance.now();
    const tick = () => {
      if (!place.isConnected) return;
      const now = performance.now();
      at = Math.min(duration, at + (now - last) * 1000 * speed);
      last = now;
      show();
      if (at >= duration) pause();
      else timer = wait(tick);
    };
    timer = wait(tick);
    show();
  };

  const button = el('button', { type: 'button', class: 'primary', on: { click: () => (timer === null ? play() : pause()) } }, 'Play');
  const seek = el('input', {
    type: 'range', class: 'seek', min: 0, max: POSITIONS, step: STEP, value: 0, 'aria-label': 'Position',
    on: {
      input: () => {
        at = (Number(seek.value) / POSITIONS) * duration;
        show();
        if (timer === null) pause();
      },
    },
  });
  const clock = el('span', { class: 'clock' });
  const speedId = newId('speed');
  const speeds = el(
    'select',
    { id: speedId, on: { change: () => { speed = Number(speeds.value); } } },
    SPEEDS.map((one) => el('option', { value: one }, `${one}×`)),
  );
  const controls = el(
    'div',
    { class: 'player', role: 'group', 'aria-label': 'Playback' },
    button,
    seek,
    clock,
    el('label', { for: speedId, class: 'unseen' }, 'Speed'),
    speeds,
    el('button', { type: 'button', class: 'quiet', on: { click: () => { pause(); onClose(); } } }, 'Close'),
  );
  show();
  return { element: el('div', { class: 'playback' }, controls, place), play, focus: () => button.focus() };
}
