// Pictures and documents. Open WebUI gives each upload a random id and writes it into the prompt: with each picture, unless
// the model is set up without the tools of Open WebUI, and with each text that it retrieves from a document.
import assert from 'node:assert/strict';
import { minutes, picture } from '../files.mjs';
import { lines, text, WITHOUT_TOOLS } from '../person.mjs';

// Of the same question with the same file, the first is asked and the second is a repeat.
const ROUNDS = [/^undefined$/, /^Answered from the ledger/];

export default {
  'Claude sees an attached picture, and the same one again is a repeat': async ({ ann, claude }) => {
    for (const line of ROUNDS) {
      const answer = await ann.askWith(picture, 'What colour is this?');
      assert.equal(text(answer), 'Red, it seems.');
      assert.match(`${lines(answer)[0]}`, line);
    }
    assert.equal((await claude.given()).picture, 1);
    await ann.shot('picture');
  },
  'so it is without the tools of Open WebUI': async ({ ann, claude }) => {
    for (const line of ROUNDS) {
      const answer = await ann.askWith(picture, 'What colour is this?', `/?models=${WITHOUT_TOOLS}`);
      assert.equal(text(answer), 'Red.');
      assert.match(`${lines(answer)[0]}`, line);
    }
    assert.equal((await claude.given())['picture-without-tools'], 1);
    await ann.shot('picture-repeat');
  },
  'Claude reads what Open WebUI retrieves from a document, and the same one again is a repeat': async ({ ann, claude }) => {
    for (const line of ROUNDS) {
      const answer = await ann.askWith(minutes, 'When was the ledger opened?');
      assert.equal(text(answer), 'On Monday [1].');
      assert.equal(answer.sources[0].source.name, minutes.name);
      assert.match(`${lines(answer).at(-1)}`, line);
    }
    assert.equal((await claude.given()).document, 1);
    await ann.shot('document');
  },
};
