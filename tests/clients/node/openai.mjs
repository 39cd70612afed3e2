// OpenAI's SDK for TypeScript.
import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { CITIES, DATA, KEY, MODEL, SCRIPT, TOKENS, URL, WEATHER, WRONG_KEY, fails, repeated, retried, run, weather } from './capability.mjs';

const client = new OpenAI({ baseURL: `${URL}/v1`, apiKey: KEY, maxRetries: 1 });
const question = content => [{ role: 'user', content }];
const ask = (content, more) => client.chat.completions.create({ model: MODEL, messages: question(content), ...more });
const tokens = usage => [usage.prompt_tokens, usage.completion_tokens];

await run({
  chat: async () => {
    const { choices: [choice], usage } = await ask(SCRIPT.chat.question);
    assert.deepEqual([choice.message.content, choice.finish_reason, tokens(usage)], [SCRIPT.chat.answer, 'stop', TOKENS]);
    const models = [];
    for await (const model of client.models.list()) models.push(model.id);
    assert.ok(models.includes(MODEL), models);
  },
  stream: async () => {
    const stream = client.chat.completions.stream({ model: MODEL, messages: question(SCRIPT.stream.question), stream_options: { include_usage: true } });
    const pieces = [];
    stream.on('content', piece => pieces.push(piece));
    const { choices: [choice], usage } = await stream.finalChatCompletion();
    assert.ok(pieces.length > 3, pieces);
    assert.equal(pieces.join(''), SCRIPT.stream.answer);
    assert.deepEqual([choice.message.content, choice.finish_reason, tokens(usage)], [SCRIPT.stream.answer, 'stop', TOKENS]);
  },
  'tool loop': async () => {
    for (const stream of [false, true]) {
      const asked = [];
      const tool = { name: 'weather', description: 'The weather in a city.', parameters: WEATHER, parse: JSON.parse };
      const look = city => { asked.push(city); return weather(city); };
      const runner = client.chat.completions.runTools({
        model: MODEL, stream, messages: question(SCRIPT.tools.question),
        tools: [{ type: 'function', function: { ...tool, function: look } }],
      });
      assert.equal(await runner.finalContent(), SCRIPT.tools.answer);
      assert.deepEqual(asked, CITIES);
    }
  },
  structured: async () => {
    const City = z.object({ city: z.string(), inhabitants: z.number().int() });
    const { choices } = await client.chat.completions.parse({
      model: MODEL, messages: question(SCRIPT.structured.question), response_format: zodResponseFormat(City, 'city'),
    });
    assert.deepEqual(choices[0].message.parsed, DATA);
  },
  errors: async () => {
    const { long, limited, broken } = SCRIPT.errors;
    const error = await fails(OpenAI.BadRequestError, () => ask(long.question), long.message);
    assert.deepEqual([error.code, error.type], ['context_length_exceeded', 'invalid_request_error']);
    await fails(OpenAI.RateLimitError, () => ask(limited.question), limited.message);
    const wrong = client.withOptions({ apiKey: WRONG_KEY });
    await fails(OpenAI.AuthenticationError, async () => wrong.models.list(), 'wrong API key');
    await fails(OpenAI.NotFoundError, async () => client.models.retrieve('claude-of-nobody'), 'no such model');
    let heard = '';
    const listen = async () => {
      for await (const { choices } of await ask(broken.question, { stream: true })) heard += choices[0].delta.content ?? '';
    };
    await fails(OpenAI.APIError, listen, broken.message);
    assert.equal(heard, broken.text);
  },
  retries: async () => {
    const { choices } = await retried(() => ask(SCRIPT.retries.question));
    assert.equal(choices[0].message.content, SCRIPT.retries.answer);
  },
  repeat: async () => {
    const { choices, usage } = await repeated(() => ask(SCRIPT.chat.question));
    assert.deepEqual([choices[0].message.content, usage.cost], [SCRIPT.chat.answer, 0]);
  },
});
