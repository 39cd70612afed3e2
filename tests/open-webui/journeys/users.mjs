// People and programs: who they are, and whose answers they get.
import assert from 'node:assert/strict';
import { apiOf, lines, MODEL } from '../person.mjs';

const STRICT = `strict.${MODEL}`;
const QUESTION = { messages: [{ role: 'user', content: 'Tell me about the API' }] };

export default {
  'nobody gets the answer of another user': async ({ ann, ben, claude }) => {
    const before = (await claude.given()).about;
    assert.deepEqual(lines(await ben.ask('Tell me about ledgers')), []);
    assert.match(lines(await ben.ask('Tell me about ledgers'))[0], /^Answered from the ledger/);
    assert.equal((await claude.given()).about, before + 1);
    await ben.shot('ben');
  },
  'a call with an API key of Open WebUI is one like any client\'s': async ({ ann, base, claude, ledger }) => {
    const { api_key } = await ann.api('/api/v1/auths/api_key', {});
    for (const cost of [0.00007, 0]) {
      const completion = await apiOf(base, api_key)('/api/chat/completions', { model: MODEL, ...QUESTION });
      assert.equal(completion.choices?.[0].message.content, 'A door.', JSON.stringify(completion));
      assert.equal(completion.usage.cost, cost);
    }
    assert.equal((await claude.given()).api, 1);
    const clients = ledger.stats('--by', 'client').groups.map(group => group.of.client);
    assert.deepEqual(clients.sort(), ['open-webui', 'open-webui-api']);
  },
  'where users are signed, a name alone is nobody': async ({ ann, ben, base, strict, strictUrl, claude }) => {
    for (const person of [ann, ben]) {
      assert.deepEqual(lines(await person.ask('Tell me about ledgers', `/?models=${STRICT}`)), []);
      assert.match(lines(await person.ask('Tell me about ledgers', `/?models=${STRICT}`))[0], /^Answered from the ledger/);
    }
    // Ann asks by the API of Open WebUI, which signs her name, and somebody else with the client key claims to be her.
    const before = (await claude.given()).api;
    for (const cost of [0.00007, 0]) {
      assert.equal((await ann.api('/api/chat/completions', { model: STRICT, ...QUESTION })).usage.cost, cost);
    }
    const headers = { authorization: 'Bearer any', 'content-type': 'application/json', 'x-owui-user': ann.id };
    const body = JSON.stringify({ model: MODEL, ...QUESTION });
    const claimed = await fetch(`${strictUrl}/v1/chat/completions`, { method: 'POST', headers, body });
    assert.match(claimed.headers.get('cache-status'), /fwd=/);
    assert.equal((await claimed.json()).usage.cost, 0.00007);
    assert.equal((await claude.given()).api, before + 2);

    const calls = Object.fromEntries(strict.stats('--by', 'user').groups.map(({ of, calls }) => [of.user, calls]));
    assert.deepEqual(Object.keys(calls).sort(), [ann.id, ben.id, 'unverified'].sort());
    assert.equal(calls.unverified, 1);
    assert.match(strict.run('stats', '--by', 'user'), /^unverified +1 /m);
  },
};
