// Answers that end early, and look finished.
import assert from 'node:assert/strict';
import { lines, text, until } from '../person.mjs';

export default {
  'an answer that ended early says so': async ({ ann }) => {
    for (const [question, line, said] of [
      ['Be cut', 'Cut at the limit of 20 tokens; press Continue', 'Once upon'],
      ['Fill the window', 'Cut, because the context window is full; begin a new chat, or delete messages', 'There is no'],
      ['Decline', 'Claude declined to answer', 'I was about\n\nClaude declined to answer.'],
      ['Be silent', 'Claude said nothing; press Regenerate', ''],
    ]) {
      const answer = await ann.ask(question);
      assert.deepEqual([lines(answer), text(answer)], [[line], said]);
      await ann.showing(answer, line);
      await ann.shot(`end-${question.toLowerCase().replaceAll(' ', '-')}`);
    }
  },
  'an answer that ended early is no answer to a repeat': async ({ ann, claude }) => {
    const answer = await ann.ask('Be cut');
    assert.match(lines(answer)[0], /^Cut at the limit/);
    assert.equal((await claude.given()).cut, 2);
  },
  'Continue makes an answer whole that was cut, and nothing says that it is cut': async ({ ann, claude }) => {
    await ann.press('Continue Response');
    await until('the rest', async () => text((await ann.answers())[0]).trim() === 'Once upon a time.');
    assert.equal((await claude.given()).continued, 1);
    await ann.page.getByText('press Continue').waitFor({ state: 'detached' });
    await ann.shot('continued');
  },
};
