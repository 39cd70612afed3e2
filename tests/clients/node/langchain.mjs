// LangChain.js, ChatOpenAI.
import assert from 'node:assert/strict';
import { HumanMessage, ToolMessage } from '@langchain/core/messages';
import { ChatOpenAI } from '@langchain/openai';
import { z } from 'zod';
import { CITIES, DATA, KEY, MODEL, SCRIPT, TOKENS, URL, WEATHER, WRONG_KEY, repeated, retried, run, weather } from './capability.mjs';

const made = apiKey => new ChatOpenAI({ model: MODEL, apiKey, maxRetries: 1, useResponsesApi: false, configuration: { baseURL: `${URL}/v1` } });
const model = made(KEY);
const tokens = usage => [usage.input_tokens, usage.output_tokens];
const refused = (ask, ...wanted) => assert.rejects(ask, error => {
  assert.deepEqual([error.status, error.lc_error_code].filter(Boolean), wanted);
  return true;
});

await run({
  chat: async () => {
    const answer = await model.invoke(SCRIPT.chat.question);
    assert.deepEqual([answer.content, answer.response_metadata.finish_reason, tokens(answer.usage_metadata)], [SCRIPT.chat.answer, 'stop', TOKENS]);
  },
  stream: async () => {
    let [whole, pieces] = [null, []];
    for await (const chunk of await model.stream(SCRIPT.stream.question, { stream_options: { include_usage: true } })) {
      if (chunk.content) pieces.push(chunk.content);
      whole = whole ? whole.concat(chunk) : chunk;
    }
    assert.ok(pieces.length > 3, pieces);
    assert.deepEqual([pieces.join(''), whole.response_metadata.finish_reason, tokens(whole.usage_metadata)], [SCRIPT.stream.answer, 'stop', TOKENS]);
  },
  'tool loop': async () => {
    const tools = [{ type: 'function', function: { name: 'weather', description: 'The weather in a city.', parameters: WEATHER } }];
    const messages = [new HumanMessage(SCRIPT.tools.question)];
    const first = await model.bindTools(tools).invoke(messages);
    assert.deepEqual(first.tool_calls.map(({ args }) => args), CITIES);
    const results = first.tool_calls.map(({ id, args }) => new ToolMessage({ tool_call_id: id, content: weather(args) }));
    const second = await model.bindTools(tools).invoke([...messages, first, ...results]);
    assert.equal(second.content, SCRIPT.tools.answer);
  },
  structured: async () => {
    const City = z.object({ city: z.string(), inhabitants: z.number().int() });
    assert.deepEqual(await model.withStructuredOutput(City, { method: 'jsonSchema' }).invoke(SCRIPT.structured.question), DATA);
  },
  errors: async () => {
    const { long, limited, broken } = SCRIPT.errors;
    await refused(() => model.invoke(long.question), 400);
    await refused(() => model.invoke(limited.question), 429, 'MODEL_RATE_LIMIT');
    await refused(() => made(WRONG_KEY).invoke(long.question), 401, 'MODEL_AUTHENTICATION');
    const listen = async () => { for await (const _ of await model.stream(broken.question)); };
    await assert.rejects(listen, new RegExp(broken.message, 'i'));
  },
  retries: async () => {
    assert.equal((await retried(() => model.invoke(SCRIPT.retries.question))).content, SCRIPT.retries.answer);
  },
  repeat: async () => {
    assert.equal((await repeated(() => model.invoke(SCRIPT.chat.question))).content, SCRIPT.chat.answer);
  },
});
