// Starts the page: asks who is there, and shows the view of the address.

import { get, post } from './api.js';
import { notice } from './components.js';
import { el } from './dom.js';
import { DEFAULT } from './period.js';
import { href, parse } from './router.js';
import * as call from './views/call.js';
import * as calls from './views/calls.js';
import * as live from './views/live.js';
import * as login from './views/login.js';
import * as overview from './views/overview.js';
import * as sessionView from './views/session.js';
import * as sessions from './views/sessions.js';

/**
 * The views by the first part of their path. A view has a `title` and `show({ params, rest, signal, setup })`, which
 * returns its element; `rest` is the rest of the path, `setup` the answer of `/page/setup`. With `hasPeriod`, its address
 * always names the period.
 */
const VIEWS = new Map([
  ['', { view: overview, name: 'Overview' }],
  ['live', { view: live, name: 'Live' }],
  ['sessions', { view: sessions, name: 'Sessions', one: sessionView }],
  ['calls', { view: calls, name: 'Calls', one: call }],
]);
const THEMES = ['system', 'light', 'dark'];
const THEME_NAMES = { system: 'System', light: 'Light', dark: 'Dark' };

const page = document.getElementById('page');
let session;
let setup;
let running;

function themeSwitch() {
  const root = document.documentElement;
  const choose = (event) => {
    const theme = event.target.value;
    if (theme === 'system') delete root.dataset.theme;
    else root.dataset.theme = theme;
    try {
      if (theme === 'system') localStorage.removeItem('reprise-theme');
      else localStorage.setItem('reprise-theme', theme);
    } catch {
      // No storage: until the page is left.
    }
  };
  const chosen = root.dataset.theme ?? 'system';
  const options = THEMES.map((theme) =>
    el('option', { value: theme, selected: theme === chosen }, THEME_NAMES[theme]),
  );
  return el(
    'label',
    { class: 'theme' },
    el('span', { class: 'unseen' }, 'Colours'),
    el('select', { on: { change: choose } }, options),
  );
}

async function signOut() {
  try {
    await post('logout');
  } finally {
    location.reload();
  }
}

const about = () => `Reprise ${session.version}${setup?.timezone ? ` · times in ${setup.timezone}` : ''}`;

function frame(content) {
  const { path, params } = parse(location.hash);
  const [current] = path.split('/');
  // The period goes along from view to view.
  const kept = { since: params.get('since'), until: params.get('until') };
  const links = [...VIEWS].map(([name, { name: label }]) =>
    el('li', {}, el('a', { href: href(name, kept), 'aria-current': name === current ? 'page' : undefined }, label)),
  );
  const main = el('main', { id: 'main', tabindex: '-1' }, content);
  const skip = (event) => {
    event.preventDefault();
    main.focus();
  };
  page.replaceChildren(
    el('a', { class: 'skip', href: '#main', on: { click: skip } }, 'Skip to the content'),
    el(
      'header',
      { class: 'top' },
      el('a', { class: 'brand', href: href('', kept) }, 'Reprise'),
      el('nav', { 'aria-label': 'Views' }, el('ul', {}, links)),
      el(
        'div',
        { class: 'tools' },
        themeSwitch(),
        session.key && el('button', { type: 'button', class: 'quiet', on: { click: signOut } }, 'Sign out'),
      ),
    ),
    main,
    el('footer', {}, about()),
  );
  return main;
}

function showLogin() {
  document.title = 'Sign in · Reprise';
  page.replaceChildren(login.show({ key: session.key, onSignedIn: start }));
  page.querySelector('input')?.focus();
}

async function render({ isFirst = false } = {}) {
  running?.abort();
  running = new AbortController();
  const { signal } = running;
  const { path, params } = parse(location.hash);
  const [name, ...rest] = path.split('/');
  const known = VIEWS.get(name);
  const view = rest.length > 0 ? known?.one : known?.view;
  if (view?.hasPeriod && !params.has('since')) {
    params.set('since', DEFAULT);
    history.replaceState(null, '', href(path, params));
  }
  const main = frame(notice('Loading…', 'loading'));
  main.setAttribute('aria-busy', 'true');
  let content;
  try {
    setup ??= await get('setup', {}, signal);
    page.querySelector('footer').textContent = about();
    content = view
      ? await view.show({ params, rest: rest.map(decodeURIComponent), signal, setup })
      : el('div', {}, el('h1', {}, 'Not found'), notice('There is no such view.'));
    document.title = `${view?.title ?? 'Not found'} · Reprise`;
    if (!setup.has_calls) setup = undefined;
  } catch (error) {
    if (error.name === 'AbortError' || signal.aborted) return;
    if (error.code === 'not_signed_in') {
      session = { ...session, signed_in: false };
      showLogin();
      return;
    }
    const again = el('button', { type: 'button', on: { click: () => render() } }, 'Try again');
    content = el('div', {}, el('h1', {}, 'This cannot be shown'), notice(error.message, 'error'), again);
  }
  if (signal.aborted) return;
  main.dataset.address = location.hash;
  main.removeAttribute('aria-busy');
  main.replaceChildren(content);
  if (!isFirst) {
    // The focus goes where the new content is, for readers of the screen.
    const heading = main.querySelector('h1');
    heading?.setAttribute('tabindex', '-1');
    heading?.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

async function start() {
  try {
    session = await get('session');
  } catch (error) {
    page.replaceChildren(
      el('main', { class: 'alone' }, el('h1', {}, 'Reprise'), notice(error.message, 'error')),
    );
    return;
  }
  if (session.signed_in) await render({ isFirst: true });
  else showLogin();
}

addEventListener('hashchange', () => {
  if (session?.signed_in) render();
});
start();
