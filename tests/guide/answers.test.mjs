// Node's own test runner, or vitest, against fixtures. Run it with REPRISE=path/to/reprise.
// For vitest: import { afterAll as after, beforeAll as before, test } from "vitest".
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

let replay, baseUrl;

before(async () => {
  const fixtures = fileURLToPath(new URL("../../fixtures/demo", import.meta.url));
  const command = ["replay", fixtures, "--port", "0", "--log", "warn"];
  replay = spawn(process.env.REPRISE ?? "reprise", command, { stdio: ["ignore", "pipe", "inherit"] });
  [baseUrl] = await once(createInterface({ input: replay.stdout }), "line");
});

after(() => replay.kill());

const ask = (question, more) =>
  fetch(`${baseUrl}/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      model: "claude-haiku-5-5",
      messages: [{ role: "user", content: question }],
      ...more,
    }),
  });

test("an answer", async () => {
  const answer = await (await ask("Tell me a joke.")).json();
  assert.match(answer.choices[0].message.content, /asked the same question twice/);
});

test("a stream ends as OpenAI's does", async () => {
  const body = await (await ask("Tell me a joke.", { stream: true })).text();
  assert.ok(body.endsWith("data: [DONE]\n\n"));
});

test("what was not recorded is a 404", async () => {
  const miss = await ask("Tell me another joke.");
  assert.equal(miss.status, 404);
  assert.equal((await miss.json()).error.code, "replay_miss");
});
