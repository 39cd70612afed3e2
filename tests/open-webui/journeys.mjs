// Runs the journeys of people in Open WebUI, in headless Chromium. Each says what it did; the exit code is 1 if one is wrong.
// usage: node journeys.mjs OPEN_WEBUI_URL CLAUDE_URL STRICT_URL REPRISE_COMMAND WORK_FOLDER SCREENSHOT_FOLDER
import { createRequire } from 'node:module';
import path from 'node:path';
import { apiOf, signIn, WITHOUT_TOOLS } from './person.mjs';
import { claudeOf, ledgerOf } from './programs.mjs';
import chats from './journeys/chats.mjs';
import files from './journeys/files.mjs';
import tools from './journeys/tools.mjs';
import ends from './journeys/ends.mjs';
import errors from './journeys/errors.mjs';
import users from './journeys/users.mjs';
import books from './journeys/books.mjs';

const [base, claude, strictUrl, reprise, work, shots] = process.argv.slice(2);
const require = createRequire(path.join(process.env.PW_DIR, 'x.js'));
const { chromium } = require('playwright-core');
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-sync'],
});

// The first who signs up is the administrator, who adds the others.
const account = name => ({ name, email: `${name}@example.com`, password: 'of-the-journeys' });
const administrator = await apiOf(base)('/api/v1/auths/signup', account('ann'));
const api = apiOf(base, administrator.token);
const user = await api('/api/v1/auths/add', { ...account('ben'), role: 'user' });
await api('/api/v1/models/create', {
  id: WITHOUT_TOOLS, base_model_id: null, name: 'Claude Haiku 5.5', params: {},
  meta: { capabilities: { usage: true, builtin_tools: false } },
});

const world = {
  base,
  strictUrl,
  ann: await signIn(browser, base, shots, administrator),
  ben: await signIn(browser, base, shots, user),
  claude: claudeOf(claude, path.join(work, 'upstream')),
  ledger: ledgerOf(reprise, path.join(work, 'plain.toml')),
  strict: ledgerOf(reprise, path.join(work, 'strict.toml')),
};

let failed = 0;
for (const [name, journey] of Object.entries({ ...chats, ...files, ...tools, ...ends, ...errors, ...users, ...books })) {
  const began = Date.now();
  try {
    const more = await journey(world);
    console.log(`ok     ${name}${more ? `: ${more}` : ''} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed += 1;
    await world.ann.shot(`failed-${failed}`);
    console.log(`WRONG  ${name}\n${error.stack}`);
  }
}
await browser.close();
process.exit(failed === 0 ? 0 : 1);
