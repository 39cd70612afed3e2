// What to do first, where there is no call yet.

import { copyable } from '../components.js';
import { el } from '../dom.js';

export function show({ setup }) {
  const url = `${location.origin}/v1`;
  let key = 'Anything; no key is required.';
  if (setup.requires_key) key = 'The key that you gave Reprise (REPRISE_API_KEY).';
  else if (!setup.has_upstream_key) key = 'Your Anthropic key (sk-ant-…).';
  return el(
    'div',
    { class: 'setup' },
    el('h1', {}, 'Connect a client'),
    el('p', { class: 'lead' }, 'No calls yet. Once a client has asked something, this page shows what it cost and what was saved.'),
    el(
      'ol',
      { class: 'steps' },
      el(
        'li',
        {},
        el('h2', {}, 'Add a connection in Open WebUI'),
        el('p', {}, 'Admin Panel, Settings, Connections, OpenAI API, +'),
        el(
          'dl',
          { class: 'fields' },
          el('dt', {}, 'URL'),
          el('dd', {}, copyable('the URL', url), el('p', { class: 'hint' }, 'From a container, with the name under which it reaches this machine, such as host.docker.internal.')),
          el('dt', {}, 'Key'),
          el('dd', {}, key),
          el('dt', {}, 'Headers'),
          el('dd', {}, copyable('the headers', setup.headers), el('p', { class: 'hint' }, 'They tell Reprise users, chats and tasks apart.')),
        ),
      ),
      el('li', {}, el('h2', {}, 'Or use any OpenAI client'), el('p', {}, 'The same URL and key, as its base URL and API key.')),
      el('li', {}, el('h2', {}, 'Ask something'), el('p', {}, 'Then load this page again. Ask the same in a new chat: the answer comes from the ledger and costs nothing.')),
    ),
  );
}
