// Writes the fixtures of the upstream that the journeys need into a folder: a Reprise replays them as if it were Claude.
// usage: node upstream.mjs FOLDER
import fs from 'node:fs';
import path from 'node:path';
import { RED } from './files.mjs';

const CHAT = 'claude-sonnet-5-5';
const SMALL = 'claude-haiku-5-5';
const any = { $any: true };
const like = text => ({ $like: text });
const usage = (input, output) => ({ input_tokens: input, output_tokens: output });
const text = text => ({ type: 'text', text });
const user = (...content) => ({ role: 'user', content });
const assistant = (...content) => ({ role: 'assistant', content });
const picture = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: RED.toString('base64') } };

// Open WebUI sends tools of its own with each question, unless a model is set up without.
const request = (messages, more) => ({
  version: '2026-10-21',
  betas: messages.length > 1 && messages[1].content[0].type === 'thinking' ? ['thinking-binding-controls-2026-08-01'] : [],
  body: { model: CHAT, max_tokens: any, thinking: any, tools: any, messages, ...more },
});
const asked = (question, ...more) => request([user(text(question)), ...more]);
const answer = (content, more) => ({ message: { content, usage: usage(10, 5), ...more } });
const fixture = (upstream, response) => ({ upstream, response });
const said = (question, content, more) => fixture(asked(question), answer(content, more));
const failed = (question, type, message, headers) =>
  fixture(asked(question), { error: { type, message }, ...headers && { headers } });

const withoutTools = ({ body: { tools, ...body }, ...rest }) => ({ ...rest, body: { ...body, model: SMALL } });

const thinking = (thinking, signature) => ({ type: 'thinking', thinking, signature });
const call = { type: 'tool_use', id: 'toolu_01Weather', name: 'weather', input: { city: 'Oslo' } };
const looked = [thinking('I do not know the weather.', 'c2lnbmF0dXJlIDE='), text('Let me look.'), call];
const told = [thinking('Rain it is.', 'c2lnbmF0dXJlIDI='), text('Take an umbrella.')];
const weather = [
  user(text('What is the weather in Oslo?')),
  assistant(...looked),
  user({ type: 'tool_result', tool_use_id: call.id, content: [text('Rain in Oslo.')] }),
];

const fixtures = {
  // Background calls of Open WebUI: one answer that each of them understands.
  task: fixture(
    withoutTools(asked(like('### Task:*'))),
    answer('{"title": "About ledgers", "tags": ["Ledgers"], "follow_ups": ["And then?"], "queries": ["ledger"]}', { usage: usage(100, 20) }),
  ),

  about: said(like('Tell me about *'), 'A book of accounts.'),
  edited: said('What is a ledger?', 'A list.'),
  secret: said('Keep this secret', 'I keep nothing.'),
  slow: fixture(asked('Take your time'), { ...answer('Much later'), delay: 60_000 }),
  long: said('Write many words', Array.from({ length: 3000 }, (_, at) => `word${at + 1}`).join(' '), { usage: usage(10, 6000) }),

  picture: fixture(
    request([user(text(like('<attached_files>*name="red.png"*')), text('What colour is this?'), picture)]),
    answer('Red, it seems.', { usage: usage(300, 5) }),
  ),
  'picture-without-tools': fixture(
    withoutTools(request([user(text('What colour is this?'), picture)])),
    answer('Red.', { usage: usage(200, 5) }),
  ),
  document: said(like('### Task:\nRespond to the user query*on Monday*<attached_files>*When was the ledger opened?'), 'On Monday [1].'),

  'weather-1': fixture(request(weather.slice(0, 1)), answer(looked, { stop_reason: 'tool_use', usage: usage(1000, 50) })),
  'weather-2': fixture(request(weather), answer(told, { usage: usage(1100, 20) })),
  'weather-3': fixture(
    request([...weather, assistant(...told), user(text('And in Bergen?'))]),
    answer('It always rains.', { usage: usage(1200, 10) }),
  ),

  cut: said('Be cut', 'Once upon', { stop_reason: 'max_tokens', usage: usage(10, 20) }),
  continued: fixture(asked('Be cut', assistant(text('Once upon')), user(text(any))), answer(' a time.', { usage: usage(20, 3) })),
  full: said('Fill the window', 'There is no', { stop_reason: 'model_context_window_exceeded' }),
  declined: said('Decline', 'I was about', { stop_reason: 'refusal' }),
  silent: said('Be silent', [], { stop_reason: 'end_turn', usage: usage(10, 1) }),

  overloaded: failed('Be busy', 'overloaded_error', 'Overloaded'),
  limited: failed('Ask too often', 'rate_limit_error', 'This request would exceed the rate limit of your organization.', { 'retry-after': '90' }),
  large: failed('Be large', 'request_too_large', 'Request exceeds the maximum size'),
  overlong: failed('Be long', 'invalid_request_error', 'prompt is too long: 1048577 tokens > 1000000 maximum'),
  'wrong-key': failed('Refuse the key', 'authentication_error', 'invalid x-api-key'),
  'no-credit': failed('Refuse credit', 'invalid_request_error', 'Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.'),
  broken: fixture(asked('Break off'), { ...answer('This begins well and'), cut_after: 4 }),
  failing: fixture(asked('Fail in the middle'), { events: [
    [0, 'message_start', { type: 'message_start', message: { id: 'msg_failing', type: 'message', role: 'assistant', model: CHAT, content: [], usage: usage(10, 5) } }],
    [0, 'content_block_start', { type: 'content_block_start', index: 0, content_block: text('') }],
    [0, 'content_block_delta', { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'This begins well and' } }],
    [0, 'error', { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }],
  ] }),

  costly: fixture(request([user(text('Be costly'))], { model: 'claude-opus-5-5' }), answer('Done.', { usage: usage(210_000, 10) })),
  costlier: fixture(request([user(text('Be costlier'))], { model: 'claude-opus-5-5' }), answer('Done.', { usage: usage(50_000, 10) })),
  // A call by the API has no tools.
  api: {
    client: { door: 'chat', body: { model: CHAT, messages: [{ role: 'user', content: 'Tell me about the API' }] } },
    response: answer('A door.'),
  },
};

const [folder] = process.argv.slice(2);
fs.mkdirSync(folder, { recursive: true });
for (const [name, fixture] of Object.entries(fixtures)) {
  fs.writeFileSync(path.join(folder, `${name}.json`), JSON.stringify({ schema: 1, ...fixture }));
}
