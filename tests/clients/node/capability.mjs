// Frame of a client's test, as python/capability.py: runs its capabilities and prints what came of each.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';

export const { CLIENT_URL: URL, CLIENT_KEY: KEY, CLIENT_CLAUDE: CLAUDE } = process.env;
export const WRONG_KEY = 'not-the-key';
export const SCRIPT = JSON.parse(fs.readFileSync(process.env.CLIENT_SCRIPT));
export const MODEL = SCRIPT.model;
export const TOKENS = [SCRIPT.usage.input, SCRIPT.usage.output];
export const DATA = SCRIPT.structured.data;
export const CITIES = SCRIPT.tools.calls.map(({ city }) => ({ city }));
export const weather = ({ city }) => SCRIPT.tools.calls.find(call => call.city === city).result;
export const WEATHER = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };

// The heads of the responses that the client got, the newest last. Every client here speaks HTTP by `fetch`.
const heads = [];
const { fetch } = globalThis;
globalThis.fetch = async (...request) => {
  const response = await fetch(...request);
  heads.push(response.headers);
  return response;
};

/// The number of requests that have reached Claude, with an answer there or not.
export const asked = async () => {
  const { fixtures, misses } = await (await fetch(`${CLAUDE}/replay`)).json();
  return fixtures.reduce((sum, { given }) => sum + given, misses);
};

const calls = () => execFileSync(process.env.REPRISE, ['calls', 'export']).toString().trim().split('\n').map(line => JSON.parse(line));

/// Asks what was asked before, and checks that the ledger answers. Returns the answer.
export const repeated = async ask => {
  const [before, known] = [await asked(), calls().length];
  const answer = await ask();
  assert.equal(await asked(), before);
  assert.deepEqual(calls().slice(known).map(call => call.answered_by), ['hit']);
  assert.match(heads.at(-1).get('cache-status'), /; hit/);
  return answer;
};

/// Asks what fails until the client itself has tried again. Returns the answer.
export const retried = async ask => {
  const before = await asked();
  const answer = await ask();
  // Reprise asks three times and gives up; it is the client's own retry that is answered.
  assert.equal(await asked(), before + SCRIPT.retries.failures + 1);
  return answer;
};

/// Asks what fails, checks the class of the error and a text of it, and returns it.
export const fails = async (kind, ask, text) => {
  const error = await ask().then(answer => assert.fail(`no ${kind.name}, but ${JSON.stringify(answer)}`), error => error);
  assert.equal(error.constructor.name, kind.name, String(error));
  assert.ok(error.message.toLowerCase().includes(text.toLowerCase()), `${text} is not in ${error.message}`);
  return error;
};

export const run = async capabilities => {
  for (const [name, capability] of Object.entries(capabilities)) {
    const found = { capability: name, result: 'works', what: null };
    try {
      const differs = await capability();
      if (differs) Object.assign(found, { result: 'differs', what: differs });
    } catch (error) {
      console.error(error);
      Object.assign(found, { result: 'fails', what: String(error) });
    }
    console.log(JSON.stringify(found));
  }
};
