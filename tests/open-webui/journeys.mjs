// Journeys of a person in Open WebUI, in headless Chromium. Each says what it did, and ends the run where that is wrong.
// usage: node journeys.mjs OPEN_WEBUI_URL REPLAY_URL REPRISE_COMMAND SCREENSHOT_FOLDER
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createRequire } from 'node:module';

const [base, replay, reprise, shots] = process.argv.slice(2);
const require = createRequire(path.join(process.env.PW_DIR, 'x.js'));
const { chromium } = require('playwright-core');

const MODEL = 'claude-sonnet-5-5';
const WAIT = 60_000;
/// Longest time that an answer of 3,000 words from the ledger takes to be in the chat.
const LONG_HIT_MS = 1500;

const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'journeys-'));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  viewport: { width: 1280, height: 900 },
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-sync'],
});
const page = context.pages()[0] ?? await context.newPage();

// What the upstream has been asked, by fixture.
const given = async () => {
  const { fixtures, misses } = await (await fetch(`${replay}/replay`)).json();
  assert.equal(misses, 0, 'every request has a fixture');
  return Object.fromEntries(fixtures.map(({ file, given }) => [path.basename(file, '.json'), given]));
};
const stats = (...options) => JSON.parse(execFileSync(reprise, ['stats', '--json', ...options]));

const calls = outcome => execFileSync(reprise, ['calls', 'export', '--outcome', outcome]).toString().trim().split('\n').filter(Boolean).length;

const until = async (what, read) => {
  for (const end = Date.now() + WAIT; Date.now() < end;) {
    const found = await read();
    if (found) return found;
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  throw new Error(`it did not come: ${what}`);
};
const api = (path, body) => page.evaluate(async ([path, body]) => {
  const headers = { authorization: `Bearer ${localStorage.token}`, 'content-type': 'application/json' };
  const options = body ? { method: 'POST', body: JSON.stringify(body) } : {};
  const response = await fetch(path, { headers, ...options });
  return response.json();
}, [path, body]);

const open = async (where = `/?models=${MODEL}`) => {
  await page.goto(base + where, { waitUntil: 'domcontentloaded' });
  await page.waitForSelector('#chat-input', { timeout: WAIT });
  const welcome = page.getByRole('button', { name: "Okay, Let's Go!" });
  await Promise.race([welcome.click({ timeout: 3000 }).catch(() => {}), page.waitForTimeout(700)]);
};
const chatId = () => /\/c\/([0-9a-f-]+)/.exec(page.url())?.[1];
const messages = async () => {
  const id = chatId();
  const history = id && (await api(`/api/v1/chats/${id}`))?.chat?.history;
  return history?.messages ?? {};
};
const answers = async () => Object.values(await messages()).filter(message => message.role === 'assistant');
const text = message => message.content || (message.output ?? [])
  .filter(item => item.type === 'message').flatMap(item => item.content ?? []).map(part => part.text ?? '').join('');
const lines = message => (message.statusHistory ?? []).map(status => status.description);

// Does something, and waits for the answers that it adds.
const answered = async (act, count = 1) => {
  const before = new Set((await answers()).map(message => message.id));
  const began = Date.now();
  await act();
  const news = await until('an answer', async () => {
    const news = (await answers()).filter(message => !before.has(message.id));
    return news.length === count && news.every(message => message.done || message.error) && news;
  });
  return { ms: Date.now() - began, news, ...news[0] };
};
const send = async text => {
  await page.click('#chat-input');
  await page.keyboard.insertText(text);
  await page.keyboard.press('Enter');
};
const ask = async (text, where) => {
  await open(where);
  return answered(() => send(text));
};
const regenerate = () => answered(async () => {
  await page.locator('[id^="message-"]').last().hover();
  await page.locator('[aria-label="Regenerate"]').last().click({ force: true });
  const again = page.getByText('Try Again', { exact: true }).last();
  await again.click({ timeout: 3000 }).catch(() => {});
});
const shot = name => page.screenshot({ path: path.join(shots, `${name}.png`) });

const journeys = {
  'a first chat has an answer, a title, tags and follow-ups': async () => {
    const answer = await ask('Tell me about ledgers');
    assert.equal(text(answer), 'A book of accounts.');
    assert.deepEqual(lines(answer), []);
    await until('a title', async () => (await api(`/api/v1/chats/${chatId()}`)).title === 'About ledgers');
    await until('follow-ups', async () => (await answers())[0].followUps?.includes('And then?'));
    assert.equal((await given()).about, 1);
  },
  'the same question in another chat is answered from the ledger': async () => {
    const answer = await ask('Tell me about ledgers');
    assert.equal(text(answer), 'A book of accounts.');
    assert.match(lines(answer)[0], /^Answered from the ledger · saved \$/);
    assert.equal(answer.usage.cost, 0);
    assert.equal((await given()).about, 1);
    await shot('repeat');
  },
  'Regenerate is asked anew': async () => {
    const answer = await regenerate();
    assert.deepEqual(lines(answer), []);
    assert.equal((await given()).about, 2);
  },
  'Regenerate in a clone is asked anew': async () => {
    const clone = await api(`/api/v1/chats/${chatId()}/clone`, {});
    await open(`/c/${clone.id}`);
    await page.waitForSelector('[aria-label="Regenerate"]', { state: 'attached', timeout: WAIT });
    const answer = await regenerate();
    assert.deepEqual(lines(answer), []);
    assert.equal((await given()).about, 3);
  },
  'of two columns in another chat one at most is a repeat': async () => {
    await open(`/?models=${MODEL},${MODEL}`);
    const { news } = await answered(() => send('Tell me about ledgers'), 2);
    assert.equal(news.filter(answer => lines(answer).length > 0).length, 1);
    assert.equal((await given()).about, 4);
  },
  'an edited message is asked': async () => {
    await ask('Tell me about ledgers');
    const answer = await answered(async () => {
      await page.locator('.user-message').last().hover();
      await page.locator('.edit-user-message-button').last().click({ force: true });
      await page.locator('textarea[id^="message-edit-"], [id^="message-edit-"] textarea').last().fill('What is a ledger?');
      await page.locator('#confirm-edit-message-button').last().click();
    });
    assert.equal(text(answer), 'A list.');
    assert.equal((await given()).edited, 1);
  },
  'of a temporary chat nothing is kept': async () => {
    await open(`/?models=${MODEL}&temporary-chat=true`);
    for (const times of [1, 2]) {
      await send('Keep this secret');
      await page.getByText('I keep nothing.').last().waitFor({ timeout: WAIT });
      assert.equal((await given()).secret, times);
      await open(`/?models=${MODEL}&temporary-chat=true`);
    }
    const sessions = execFileSync(reprise, ['sessions', 'search', 'secret']).toString();
    assert.ok(!sessions.includes('I keep nothing'), sessions);
  },
  'Stop ends the request to Claude': async () => {
    await open();
    await send('Take your time');
    await until('the request', async () => (await given()).slow === 1);
    await page.getByRole('button', { name: /^Stop/ }).first().click();
    await until('the end', async () => calls('stopped') === 1);
  },
  'a long answer of the ledger is there at once': async () => {
    await ask('Write many words');
    const { ms, ...answer } = await ask('Write many words');
    assert.match(lines(answer)[0], /^Answered from the ledger/);
    assert.ok(text(answer).endsWith('word3000'));
    assert.ok(ms < LONG_HIT_MS, `${ms} ms`);
    return `${ms} ms`;
  },
  'an answer that ended early says so': async () => {
    for (const [question, line] of [
      ['Be cut', 'Cut at the limit of 20 tokens; press Continue'],
      ['Decline', 'Claude declined to answer'],
      ['Be silent', 'Claude said nothing; press Regenerate'],
    ]) {
      assert.deepEqual(lines(await ask(question)), [line]);
      await shot(question.toLowerCase().replace(' ', '-'));
    }
  },
  'Continue goes on with an answer that was cut': async () => {
    await ask('Be cut');
    await page.locator('[id^="message-"]').last().hover();
    await page.locator('[aria-label="Continue Response"]').last().click({ force: true });
    await until('the rest', async () => text((await answers())[0]).trim() === 'Once upon a time.');
    assert.equal((await given()).continued, 1);
  },
  'an error says who failed and when to try again': async () => {
    const { error } = await ask('Be busy');
    assert.equal(error.content, 'Anthropic is overloaded (tried 3 times); try again in a moment');
    await shot('error');
  },
  'a call by the API is one like any client\'s': async () => {
    const body = { model: MODEL, messages: [{ role: 'user', content: 'Tell me about the API' }] };
    for (const cost of [/^[^0]|^0\.0/, /^0$/]) {
      const completion = await api('/api/chat/completions', body);
      assert.equal(completion.choices?.[0].message.content, 'A door.', JSON.stringify(completion));
      assert.match(String(completion.usage.cost), cost);
    }
    const clients = stats('--by', 'client').groups.map(group => group.of.client);
    assert.deepEqual(clients.sort(), ['open-webui', 'open-webui-api']);
  },
  'the books agree with the upstream': async () => {
    const asked = Object.values(await given()).reduce((sum, count) => sum + count, 0);
    assert.equal(stats().total.upstream_requests, asked);
  },
};

let failed = 0;
for (const [name, journey] of Object.entries(journeys)) {
  try {
    const more = await journey();
    console.log(`ok     ${name}${more ? `: ${more}` : ''}`);
  } catch (error) {
    failed += 1;
    await shot(`failed-${failed}`);
    console.log(`WRONG  ${name}\n${error.stack}`);
  }
}
await context.close();
fs.rmSync(profile, { recursive: true, force: true });
process.exit(failed === 0 ? 0 : 1);
