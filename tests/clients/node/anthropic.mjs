// Anthropic's SDK for TypeScript.
import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import { zodOutputFormat } from '@anthropic-ai/sdk/helpers/zod';
import { z } from 'zod';
import { CITIES, DATA, KEY, MODEL, SCRIPT, TOKENS, URL, WEATHER, WRONG_KEY, fails, repeated, retried, run, weather } from './capability.mjs';

const client = new Anthropic({ baseURL: URL, apiKey: KEY, maxRetries: 1 });
const body = content => ({ model: MODEL, max_tokens: 1000, messages: [{ role: 'user', content }] });
const ask = content => client.messages.create(body(content));
const tokens = usage => [usage.input_tokens, usage.output_tokens];

await run({
  chat: async () => {
    const { content, stop_reason, usage } = await ask(SCRIPT.chat.question);
    assert.deepEqual([content.map(({ text }) => text), stop_reason, tokens(usage)], [[SCRIPT.chat.answer], 'end_turn', TOKENS]);
    const models = [];
    for await (const model of client.models.list()) models.push(model.id);
    assert.ok(models.includes(MODEL), models);
  },
  stream: async () => {
    const pieces = [];
    const stream = client.messages.stream(body(SCRIPT.stream.question)).on('text', piece => pieces.push(piece));
    const { stop_reason, usage } = await stream.finalMessage();
    assert.ok(pieces.length > 3, pieces);
    assert.deepEqual([pieces.join(''), stop_reason, tokens(usage)], [SCRIPT.stream.answer, 'end_turn', TOKENS]);
  },
  'tool loop': async () => {
    const tools = [{ name: 'weather', description: 'The weather in a city.', input_schema: WEATHER }];
    const { content } = await client.messages.create({ ...body(SCRIPT.tools.question), tools });
    assert.deepEqual(content.map(({ type }) => type), ['thinking', 'text', 'tool_use', 'tool_use']);
    assert.equal(content[0].signature, SCRIPT.tools.signature);
    const uses = content.filter(({ type }) => type === 'tool_use');
    assert.deepEqual(uses.map(({ input }) => input), CITIES);
    const results = uses.map(({ id, input }) => ({ type: 'tool_result', tool_use_id: id, content: weather(input) }));
    const messages = [...body(SCRIPT.tools.question).messages, { role: 'assistant', content }, { role: 'user', content: results }];
    const second = await client.messages.create({ model: MODEL, max_tokens: 1000, messages, tools });
    assert.equal(second.content.at(-1).text, SCRIPT.tools.answer);
  },
  structured: async () => {
    const City = z.object({ city: z.string(), inhabitants: z.number().int() });
    const answer = await client.messages.parse({ ...body(SCRIPT.structured.question), output_config: { format: zodOutputFormat(City) } });
    assert.deepEqual(answer.parsed_output, DATA);
  },
  errors: async () => {
    const { long, limited, broken } = SCRIPT.errors;
    const error = await fails(Anthropic.BadRequestError, () => ask(long.question), long.message);
    assert.equal(error.error.error.type, long.type);
    await fails(Anthropic.RateLimitError, () => ask(limited.question), limited.message);
    const wrong = client.withOptions({ apiKey: WRONG_KEY });
    await fails(Anthropic.AuthenticationError, async () => wrong.models.list(), 'wrong API key');
    await fails(Anthropic.NotFoundError, async () => client.models.retrieve('claude-of-nobody'), 'no such model');
    let heard = '';
    const listen = () => client.messages.stream(body(broken.question)).on('text', piece => { heard += piece; }).finalMessage();
    await fails(Anthropic.APIError, listen, broken.message);
    assert.equal(heard, broken.text);
  },
  retries: async () => {
    const { content } = await retried(() => ask(SCRIPT.retries.question));
    assert.equal(content[0].text, SCRIPT.retries.answer);
  },
  repeat: async () => {
    const { content } = await repeated(() => ask(SCRIPT.chat.question));
    assert.equal(content[0].text, SCRIPT.chat.answer);
  },
});
