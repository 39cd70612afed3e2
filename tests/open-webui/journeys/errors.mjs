// Errors, as a person sees them in the chat.
import assert from 'node:assert/strict';
import { largePicture } from '../files.mjs';
import { lines, text } from '../person.mjs';

const OPUS = '/?models=strict.claude-opus-5-5';

// The error below an answer is a text, or in the middle of an answer an object.
const isShown = async ({ ann }, answer, expected, shot) => {
  const told = answer.error?.content?.message ?? answer.error?.content;
  assert.match(`${told}`, expected);
  assert.equal(told.split('\n').length, 1, told);
  await ann.showing(answer, told);
  await ann.shot(`error-${shot}`);
};

export default {
  'an error of Claude says who failed, how often it was tried and when to try again': async world => {
    const { ann, claude } = world;
    for (const [question, expected, fixture, tries] of [
      ['Be busy', /^Anthropic is overloaded \(tried 3 times\); try again in a moment$/, 'overloaded', 3],
      ['Ask too often', /^Anthropic's rate limit is reached: This request would .*; try again in 90 s$/, 'limited', 1],
      ['Be large', /^Anthropic takes no request as large as this: Request exceeds the maximum size$/, 'large', 1],
      ['Be long', /^Anthropic refused the request: prompt is too long: 1048577 tokens > 1000000 maximum$/, 'overlong', 1],
      ['Refuse the key', /^Anthropic refused the request: invalid x-api-key \(this is about the Anthropic key that Reprise used\)$/, 'wrong-key', 1],
      ['Refuse credit', /^Anthropic refused the request: Your credit balance .* \(this is about the Anthropic key that Reprise used\)$/, 'no-credit', 1],
    ]) {
      const answer = await ann.ask(question);
      await isShown(world, answer, expected, fixture);
      assert.equal((await claude.given())[fixture], tries);
    }
  },
  'an answer that breaks off keeps its beginning': async world => {
    // A replay tells the client that an answer is cut by an error event, which is how Claude breaks off, too.
    for (const [question, expected] of [
      ['Break off', /^Anthropic failed: the connection to Anthropic broke before the answer was whole; try again in a moment$/],
      ['Fail in the middle', /^Anthropic is overloaded; try again in a moment$/],
    ]) {
      const answer = await world.ann.ask(question);
      assert.equal(text(answer), 'This begins well and');
      await isShown(world, answer, expected, question.toLowerCase().replaceAll(' ', '-'));
    }
  },
  'a request that is too large names the limit': async world => {
    const answer = await world.ann.askWith(largePicture, 'What colour is this?', '/?models=strict.claude-sonnet-5-5');
    await isShown(world, answer, /larger than 1\.0 MiB, which is the limit of this server \(--max-body\)$/, 'too-large');
  },
  'a budget warns before it refuses, and repeats stay free': async world => {
    const { ann, claude } = world;
    assert.deepEqual(lines(await ann.ask('Be costly', OPUS)), []);
    assert.deepEqual(lines(await ann.ask('Be costlier', OPUS)), ['Your budget: $0.8402 of $1.00 a month on claude-opus-* spent']);
    await ann.shot('budget-warning');
    const refused = await ann.ask('Be costliest', OPUS);
    await isShown(world, refused, /^your budget of \$1\.00 a month on claude-opus-\* is spent \(\$1\.0404\): no request goes to Claude before /, 'budget');
    assert.match(lines(await ann.ask('Be costly', OPUS))[0], /^Answered from the ledger · saved \$0\.8402/);
    assert.equal((await claude.given()).costly, 1);
  },
  'a replay without a fixture says so in one line': async world => {
    const answer = await world.ann.ask('Tell me something new', '/?models=replay.claude-haiku-5-5');
    await isShown(world, answer, /^no fixture /, 'replay-miss');
  },
};
