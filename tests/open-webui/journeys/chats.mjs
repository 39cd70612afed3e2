// Chats: what is asked, what is repeated, and what is stopped.
import assert from 'node:assert/strict';
import { lines, MODEL, text, until } from '../person.mjs';

/// Longest time that an answer of 3,000 words from the ledger takes to be in the chat.
const LONG_HIT_MS = 1500;

export default {
  'a first chat has an answer, a title, tags and follow-ups': async ({ ann, claude }) => {
    const answer = await ann.ask('Tell me about ledgers');
    assert.equal(text(answer), 'A book of accounts.');
    assert.deepEqual(lines(answer), []);
    await until('a title', async () => (await ann.chat()).title === 'About ledgers');
    await until('tags', async () => (await ann.chat()).meta?.tags?.includes('ledgers'));
    await until('follow-ups', async () => (await ann.answers())[0].followUps?.includes('And then?'));
    assert.equal((await claude.given()).about, 1);
  },
  'the same question in another chat is answered from the ledger': async ({ ann, claude }) => {
    const answer = await ann.ask('Tell me about ledgers');
    assert.equal(text(answer), 'A book of accounts.');
    assert.match(lines(answer)[0], /^Answered from the ledger · saved \$/);
    assert.equal(answer.usage.cost, 0);
    assert.equal((await claude.given()).about, 1);
    await ann.shot('repeat');
  },
  'Regenerate is asked anew': async ({ ann, claude }) => {
    assert.deepEqual(lines(await ann.regenerate()), []);
    assert.equal((await claude.given()).about, 2);
  },
  'Regenerate in a clone is asked anew': async ({ ann, claude }) => {
    const clone = await ann.api(`/api/v1/chats/${(await ann.chat()).id}/clone`, {});
    await ann.open(`/c/${clone.id}`);
    await ann.page.waitForSelector('[aria-label="Regenerate"]', { state: 'attached' });
    assert.deepEqual(lines(await ann.regenerate()), []);
    assert.equal((await claude.given()).about, 3);
  },
  'of two columns in another chat one at most is a repeat': async ({ ann, claude }) => {
    await ann.open(`/?models=${MODEL},${MODEL}`);
    const { news } = await ann.answered(() => ann.send('Tell me about ledgers'), 2);
    assert.equal(news.filter(answer => lines(answer).length > 0).length, 1);
    assert.equal((await claude.given()).about, 4);
    await ann.shot('columns');
  },
  'an edited message is asked': async ({ ann, claude }) => {
    await ann.ask('Tell me about ledgers');
    const answer = await ann.answered(async () => {
      await ann.last('.user-message').hover();
      await ann.last('.edit-user-message-button').click({ force: true });
      await ann.last('textarea[id^="message-edit-"], [id^="message-edit-"] textarea').fill('What is a ledger?');
      await ann.last('#confirm-edit-message-button').click();
    });
    assert.equal(text(answer), 'A list.');
    assert.equal((await claude.given()).edited, 1);
  },
  'of a temporary chat nothing is kept': async ({ ann, claude, ledger }) => {
    for (const times of [1, 2]) {
      await ann.open(`/?models=${MODEL}&temporary-chat=true`);
      await ann.send('Keep this secret');
      await ann.page.getByText('I keep nothing.').last().waitFor();
      assert.equal((await claude.given()).secret, times);
    }
    const found = ledger.run('sessions', 'search', 'secret');
    assert.ok(!found.includes('I keep nothing'), found);
  },
  'Stop ends the request to Claude': async ({ ann, claude, ledger }) => {
    await ann.open();
    await ann.send('Take your time');
    await until('the request', async () => (await claude.given()).slow === 1);
    await ann.page.getByRole('button', { name: /^Stop/ }).first().click();
    await until('the end', async () => ledger.calls('--outcome', 'stopped').length === 1);
  },
  'a long answer of the ledger is there at once': async ({ ann }) => {
    await ann.ask('Write many words');
    // The best of three, because the machine may be busy.
    const took = [];
    for (let left = 3; left > 0 && !(took.at(-1) < LONG_HIT_MS); left -= 1) {
      const { ms, ...answer } = await ann.ask('Write many words');
      assert.match(lines(answer)[0], /^Answered from the ledger/);
      assert.ok(text(answer).endsWith('word3000'));
      took.push(ms);
    }
    assert.ok(took.at(-1) < LONG_HIT_MS, `${took} ms`);
    return `${took.at(-1)} ms`;
  },
};
