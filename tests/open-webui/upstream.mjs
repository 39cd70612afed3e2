// Writes the fixtures of the upstream that the journeys need into a folder: a Reprise replays them as if it were Claude.
// usage: node upstream.mjs FOLDER
import fs from 'node:fs';
import path from 'node:path';

const CHAT = 'claude-sonnet-5-5';
const usage = (input, output) => ({ input_tokens: input, output_tokens: output });
// Open WebUI sends tools of its own with each question.
const asked = (text, ...more) => ({
  version: '2026-10-21',
  body: {
    model: CHAT,
    max_tokens: { $any: true },
    thinking: { $any: true },
    tools: { $any: true },
    messages: [{ role: 'user', content: [{ type: 'text', text }] }, ...more],
  },
});
const like = text => ({ $like: text });
const words = Array.from({ length: 3000 }, (_, at) => `word${at + 1}`).join(' ');

const fixtures = {
  // Background calls of Open WebUI: one answer that each of them understands.
  task: {
    upstream: {
      version: '2026-10-21',
      body: {
        model: 'claude-haiku-5-5',
        max_tokens: { $any: true },
        thinking: { $any: true },
        messages: [{ role: 'user', content: [{ type: 'text', text: like('### Task:*') }] }],
      },
    },
    response: {
      message: {
        content: '{"title": "About ledgers", "tags": ["Ledgers"], "follow_ups": ["And then?"]}',
        usage: usage(100, 20),
      },
    },
  },
  about: { upstream: asked(like('Tell me about *')), response: { message: { content: 'A book of accounts.', usage: usage(10, 5) } } },
  // A call by the API has no tools.
  api: {
    client: { door: 'chat', body: { model: CHAT, messages: [{ role: 'user', content: 'Tell me about the API' }] } },
    response: { message: { content: 'A door.', usage: usage(10, 5) } },
  },
  edited: { upstream: asked('What is a ledger?'), response: { message: { content: 'A list.', usage: usage(10, 5) } } },
  secret: { upstream: asked('Keep this secret'), response: { message: { content: 'I keep nothing.', usage: usage(10, 5) } } },
  slow: { upstream: asked('Take your time'), response: { message: { content: 'Much later', usage: usage(10, 5) }, delay: 60_000 } },
  long: { upstream: asked('Write many words'), response: { message: { content: words, usage: usage(10, 6000) } } },
  cut: { upstream: asked('Be cut'), response: { message: { content: 'Once upon', stop_reason: 'max_tokens', usage: usage(10, 20) } } },
  continued: {
    upstream: asked(
      'Be cut',
      { role: 'assistant', content: [{ type: 'text', text: 'Once upon' }] },
      { role: 'user', content: [{ type: 'text', text: { $any: true } }] },
    ),
    response: { message: { content: ' a time.', usage: usage(20, 3) } },
  },
  declined: { upstream: asked('Decline'), response: { message: { content: 'I was about', stop_reason: 'refusal', usage: usage(10, 3) } } },
  silent: { upstream: asked('Be silent'), response: { message: { content: [], stop_reason: 'end_turn', usage: usage(10, 1) } } },
  overloaded: { upstream: asked('Be busy'), response: { error: { type: 'overloaded_error', message: 'Overloaded' } } },
};

const [folder] = process.argv.slice(2);
fs.mkdirSync(folder, { recursive: true });
for (const [name, fixture] of Object.entries(fixtures)) {
  fs.writeFileSync(path.join(folder, `${name}.json`), JSON.stringify({ schema: 1, ...fixture }, null, 2));
}
