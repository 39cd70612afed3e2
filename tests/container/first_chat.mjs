// What the README says comes after `up`: the first account, and a chat with a model that is in the list already.
// usage: node first_chat.mjs OPEN_WEBUI_URL SCREENSHOT_FOLDER
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import path from 'node:path';
import { apiOf, lines, signIn, text, until } from '../open-webui/person.mjs';

const [base, shots] = process.argv.slice(2);
const require = createRequire(path.join(process.env.PW_DIR, 'x.js'));
const { chromium } = require('playwright-core');
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-sync'],
});
const account = { name: 'ann', email: 'ann@example.com', password: 'of-the-first-chat' };
const ann = await signIn(browser, base, shots, await apiOf(base)('/api/v1/auths/signup', account));
const answer = await ann.ask('Tell me about ledgers');
assert.equal(text(answer), 'A book of accounts.');
await until('a title', async () => (await ann.chat()).title === 'About ledgers');
console.log(`a first chat: ${text(answer)} (${answer.ms} ms)`);
const repeat = await ann.ask('Tell me about ledgers');
assert.match(lines(repeat)[0], /^Answered from the ledger/);
await ann.showing(repeat, 'A book of accounts.');
await ann.shot('first-chat');
console.log(`the same question in another chat: ${lines(repeat)[0]} (${repeat.ms} ms)`);
await browser.close();
