// Charts as SVG. A chart has a name, a description and, from whoever draws it, a table of its figures.

import { el, newId, svg } from './dom.js';

const HEIGHT = 240;
/** On the right is room for half of a label. */
const MARGIN = { top: 12, right: 26, bottom: 24 };
/** The width of a character beside the axis, about. */
const CHARACTER = 7.2;
const TICKS = 4;
const MIN_LABEL_WIDTH = 52;

/** A round step of at most so many ticks. */
function stepOf(range) {
  const rough = range / TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough);
}

/** The ticks of an axis that holds these values. */
function ticksOf(low, high) {
  if (high === low) return [0, 1];
  const step = stepOf(high - low);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, at) => (first + at) * step);
}

/** The rectangles of a stack: positive parts go up, negative ones down. */
function stacked(parts) {
  let [up, down] = [0, 0];
  return parts.map((value) => {
    const from = value < 0 ? down : up;
    if (value < 0) down += value;
    else up += value;
    return [from, from + value];
  });
}

/**
 * Draws columns over time. `stacks` are the columns beside each other at each point, each a list of series
 * `{ name, kind, values }` on top of each other. `format` writes a value, `href` is the place that a point leads to.
 */
export function columns({ title, description, labels, stacks, format, tickFormat, href }) {
  const place = el('div', { class: 'chart' });
  const tip = el('div', { class: 'tip', hidden: true, 'aria-hidden': 'true' });
  const series = stacks.flat();
  const rectangles = stacks.map((stack) => labels.map((_, at) => stacked(stack.map((one) => one.values[at]))));
  const bounds = rectangles.flat(2).flat();
  const ticks = ticksOf(Math.min(0, ...bounds), Math.max(0, ...bounds));
  const [low, high] = [ticks[0], ticks[ticks.length - 1]];
  const longest = Math.max(...ticks.map((tick) => tickFormat(tick).length));
  const left = Math.max(40, longest * CHARACTER + 12);

  const show = (at, x, width) => {
    tip.replaceChildren(
      el('strong', {}, labels[at]),
      ...series.map((one) =>
        el('span', {}, el('i', { class: `swatch ${one.kind}` }), `${one.name} ${format(one.values[at])}`),
      ),
    );
    tip.hidden = false;
    const start = Math.min(Math.max(0, x - tip.offsetWidth / 2), width - tip.offsetWidth);
    tip.style.setProperty('left', `${start}px`);
  };

  const draw = (width) => {
    const [titleId, descriptionId] = [newId('title'), newId('description')];
    const inner = Math.max(1, width - left - MARGIN.right);
    const y = (value) =>
      MARGIN.top + ((high - value) / (high - low)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
    const slot = inner / labels.length;
    const gap = Math.min(8, slot * 0.2);
    const column = Math.min(36, (slot - gap) / stacks.length);
    const every = Math.ceil(MIN_LABEL_WIDTH / slot);
    const lines = ticks.map((tick) => [
      svg('line', { class: tick === 0 ? 'axis' : 'grid', x1: left, x2: width - MARGIN.right, y1: y(tick), y2: y(tick) }),
      svg('text', { x: left - 8, y: y(tick) + 4, 'text-anchor': 'end' }, tickFormat(tick)),
    ]);
    const points = labels.map((label, at) => {
      const middle = left + slot * (at + 0.5);
      const first = middle - (column * stacks.length) / 2;
      const shapes = stacks.flatMap((stack, side) =>
        stack.map((one, part) => {
          const [from, to] = rectangles[side][at][part];
          const [top, bottom] = [y(Math.max(from, to)), y(Math.min(from, to))];
          // A value that is not zero is seen.
          const height = from === to ? 0 : Math.max(1, bottom - top);
          return svg('rect', { class: one.kind, x: first + side * column, y: top, width: Math.max(1, column - 1), height });
        }),
      );
      const whole = svg('rect', {
        class: 'point', x: left + slot * at, y: MARGIN.top, width: slot, height: HEIGHT - MARGIN.top - MARGIN.bottom,
        on: {
          pointerenter: () => show(at, middle, width),
          pointerleave: () => { tip.hidden = true; },
          click: () => { location.hash = href(at); },
        },
      });
      const isNamed = at % every === 0;
      return [whole, shapes, isNamed && svg('text', { x: middle, y: HEIGHT - 6, 'text-anchor': 'middle' }, label)];
    });
    return svg(
      'svg',
      { role: 'img', 'aria-labelledby': `${titleId} ${descriptionId}`, viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT },
      svg('title', { id: titleId }, title),
      svg('desc', { id: descriptionId }, description),
      lines,
      points,
    );
  };

  let drawn = 0;
  new ResizeObserver(([{ contentRect }]) => {
    const width = Math.floor(contentRect.width);
    if (width === drawn || width === 0) return;
    drawn = width;
    tip.hidden = true;
    place.replaceChildren(draw(width), tip);
  }).observe(place);
  return place;
}

/** The names of series and their kinds; `content` is told beside a name. */
export function legend(series) {
  return el(
    'ul',
    { class: 'legend' },
    series.map(({ name, kind, content }) =>
      el('li', {}, el('i', { class: `swatch ${kind}`, 'aria-hidden': 'true' }), el('span', {}, name), content),
    ),
  );
}
