// Vercel's AI SDK. CLIENT_NAME says with which provider: its default for OpenAI is the Responses API, so `.chat` is chosen.
import assert from 'node:assert/strict';
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, Output, RetryError, generateText, jsonSchema, stepCountIs, streamText, tool } from 'ai';
import { CITIES, DATA, KEY, MODEL, SCRIPT, TOKENS, URL, WEATHER, WRONG_KEY, fails, repeated, retried, run, weather } from './capability.mjs';

const providers = {
  ai_sdk_compatible: apiKey => createOpenAICompatible({
    name: 'reprise', baseURL: `${URL}/v1`, apiKey, includeUsage: true, supportsStructuredOutputs: true,
  }),
  ai_sdk_openai: apiKey => createOpenAI({ baseURL: `${URL}/v1`, apiKey }).chat,
  ai_sdk_anthropic: apiKey => createAnthropic({ baseURL: `${URL}/v1`, apiKey }),
};
const model = (key = KEY) => providers[process.env.CLIENT_NAME](key)(MODEL);
const ask = (prompt, more) => generateText({ model: model(), prompt, maxRetries: 1, ...more });
const tokens = usage => [usage.inputTokens, usage.outputTokens];

await run({
  chat: async () => {
    const { text, finishReason, usage } = await ask(SCRIPT.chat.question);
    assert.deepEqual([text, finishReason, tokens(usage)], [SCRIPT.chat.answer, 'stop', TOKENS]);
  },
  stream: async () => {
    const stream = streamText({ model: model(), prompt: SCRIPT.stream.question });
    const pieces = [];
    for await (const piece of stream.textStream) pieces.push(piece);
    assert.ok(pieces.length > 3, pieces);
    assert.deepEqual([pieces.join(''), await stream.finishReason, tokens(await stream.usage)], [SCRIPT.stream.answer, 'stop', TOKENS]);
  },
  'tool loop': async () => {
    const asked = [];
    const look = city => { asked.push(city); return weather(city); };
    const tools = { weather: tool({ description: 'The weather in a city.', inputSchema: jsonSchema(WEATHER), execute: look }) };
    const { text, steps } = await ask(SCRIPT.tools.question, { tools, stopWhen: stepCountIs(3) });
    assert.deepEqual([text, asked, steps.map(({ finishReason }) => finishReason)], [SCRIPT.tools.answer, CITIES, ['tool-calls', 'stop']]);
    const stream = streamText({ model: model(), prompt: SCRIPT.tools.question, tools, stopWhen: stepCountIs(3) });
    assert.ok((await stream.text).endsWith(SCRIPT.tools.answer));
  },
  structured: async () => {
    const properties = { city: { type: 'string' }, inhabitants: { type: 'integer' } };
    const schema = jsonSchema({ type: 'object', properties, required: ['city', 'inhabitants'], additionalProperties: false });
    const { output } = await ask(SCRIPT.structured.question, { output: Output.object({ schema }) });
    assert.deepEqual(output, DATA);
  },
  errors: async () => {
    const { long, limited, broken } = SCRIPT.errors;
    assert.equal((await fails(APICallError, () => ask(long.question), long.message)).statusCode, 400);
    const limits = await fails(RetryError, () => ask(limited.question), limited.message);
    assert.deepEqual(limits.errors.map(error => error.statusCode), [429, 429]);
    const wrong = await fails(APICallError, () => ask(long.question, { model: model(WRONG_KEY) }), 'wrong API key');
    assert.deepEqual([wrong.statusCode, wrong.isRetryable], [401, false]);
    let [heard, errors] = ['', []];
    for await (const part of streamText({ model: model(), prompt: broken.question, onError: () => {} }).fullStream) {
      if (part.type === 'text-delta') heard += part.text;
      if (part.type === 'error') errors.push(part.error);
    }
    assert.equal(heard, broken.text);
    assert.equal(errors.length, 1);
    assert.match(errors[0].message ?? JSON.stringify(errors[0]), new RegExp(broken.message, 'i'));
  },
  retries: async () => assert.equal((await retried(() => ask(SCRIPT.retries.question))).text, SCRIPT.retries.answer),
  repeat: async () => assert.equal((await repeated(() => ask(SCRIPT.chat.question))).text, SCRIPT.chat.answer),
});
