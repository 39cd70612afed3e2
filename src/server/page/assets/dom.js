// Makes elements. Whatever was recorded enters the document here, and only as text or as the value of a harmless
// attribute: there is no other way in.

const SVG = 'http://www.w3.org/2000/svg';
const ATTRIBUTES = new Set([
  'alt', 'autocomplete', 'autofocus', 'checked', 'class', 'colspan', 'datetime', 'dir', 'disabled', 'download', 'for', 'hidden', 'id', 'lang',
  'loading', 'max', 'min', 'name', 'open', 'required', 'role', 'scope', 'selected', 'start', 'step', 'tabindex', 'title', 'type',
  'value',
]);
/** Addresses of files in recorded requests, whose names the ledger makes. */
const FILE = /^\/page\/calls\/[0-9a-f-]+\/attachments\/[0-9a-f]+$/;
/** Addresses of the fixtures of sessions, whose ids are escaped. */
const FIXTURES = /^\/page\/sessions\/[\w%.!~*'()-]+\/fixtures$/;
const DRAWING = new Set([
  'class', 'd', 'focusable', 'height', 'id', 'role', 'rx', 'text-anchor', 'transform', 'viewBox', 'width', 'x', 'x1',
  'x2', 'y', 'y1', 'y2',
]);

function setAttributes(element, props, allowed) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === 'on') {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (name === 'style') {
      for (const [property, text] of Object.entries(value)) element.style.setProperty(property, text);
    } else if (name === 'href') {
      // Only places of this page and files: nothing that is recorded is an address.
      if (!/^#/.test(value) && !FILE.test(value) && !FIXTURES.test(value)) throw new Error(`not a place of this page: ${value}`);
      element.setAttribute('href', value);
    } else if (name === 'src') {
      if (element.localName !== 'img' || !FILE.test(value)) throw new Error(`not a file of a request: ${value}`);
      element.setAttribute('src', value);
    } else if (allowed.has(name) || /^(aria|data)-[a-z-]+$/.test(name)) {
      element.setAttribute(name, value === true ? '' : String(value));
    } else {
      throw new Error(`no such attribute here: ${name}`);
    }
  }
}

function add(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

/** Makes an element of HTML: `el('a', { href: '#/', class: 'x', on: { click } }, 'text', otherElement)`. */
export function el(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  setAttributes(element, props, ATTRIBUTES);
  return add(element, children);
}

/** Makes an element of SVG. */
export function svg(tag, props = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  setAttributes(element, props, DRAWING);
  return add(element, children);
}

let ids = 0;

/** An id that no other element has. */
export function newId(name) {
  ids += 1;
  return `${name}-${ids}`;
}
