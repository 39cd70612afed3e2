// A session as fixtures: what is in the archive, what is taken out of it, and the archive itself.

import { get } from './api.js';
import { disclosure } from './components.js';
import { el } from './dom.js';
import * as format from './format.js';

/** A part that can be opened, with the content of the archive and a link that saves it. */
export function fixtureExport({ session, signal }) {
  const path = `sessions/${encodeURIComponent(session.id)}`;
  return disclosure('Export as fixtures', async () => {
    const { folder, fixtures, refused, left_out: leftOut } = await get(`${path}/export`, {}, signal);
    return [
      el('p', {}, 'A fixture is a recorded request with its answer, in a readable file. ', el('code', {}, 'reprise replay'), ' answers from fixtures without a key and without a network. The files are those of ', el('code', {}, 'reprise fixtures export'), '.'),
      el('p', {}, el('strong', {}, 'Secrets are replaced by placeholders: '), 'known kinds of keys, tokens, passwords and private keys, the values of secret environment variables of this server, the keys of clients, and whatever the rules under ', el('code', {}, '[[scrub]]'), ' in the settings file find. ', el('strong', {}, 'All else that was said stays'), ', such as names and addresses: read the files before you give them to somebody.'),
      problems('Not in the archive, because secrets cannot be taken out of them without breaking them:', refused.map(({ name, places }) => [name, places.map(({ path: place, what }) => `${place}: ${what}`).join('; ')])),
      problems('Not in the archive:', leftOut.map(({ number, why }) => [`Call ${format.count(number)}`, why])),
      fixtures === 0
        ? el('p', { class: 'hint' }, 'No call of this session can be a fixture.')
        : el('p', {}, el('a', { class: 'download', href: `/page/${path}/fixtures`, download: true }, `Save ${folder}.zip`), ` ${format.counted(fixtures, 'fixture')}`),
    ];
  });
}

function problems(heading, list) {
  if (list.length === 0) return null;
  return [el('p', {}, heading), el('ul', {}, list.map(([name, why]) => el('li', {}, `${name}: ${why}`)))];
}
