// A tool of Open WebUI, which Claude calls after it has thought. The fixtures of the later steps have the thinking with its
// signature in the history: they answer only if it goes back to Claude as it came.
import assert from 'node:assert/strict';
import { lines, MODEL, text } from '../person.mjs';

const WEATHER = `
class Tools:
    def weather(self, city: str) -> str:
        """
        Tells the weather.
        :param city: The city.
        """
        return f"Rain in {city}."
`;

const ask = async ({ ann, claude }, expected) => {
  const answer = await ann.ask('What is the weather in Oslo?', `/?models=${MODEL}&tools=weather`);
  assert.equal(text(answer), 'Let me look.\nTake an umbrella.');
  const kinds = answer.output.map(item => item.type);
  assert.deepEqual(kinds, ['reasoning', 'message', 'function_call', 'function_call_output', 'reasoning', 'message']);
  await ann.showing(answer, 'Take an umbrella.');
  const next = await ann.answered(() => ann.send('And in Bergen?'));
  assert.equal(text(next), 'It always rains.');
  const given = await claude.given();
  for (const step of [1, 2, 3]) assert.equal(given[`weather-${step}`], 1);
  assert.match(`${lines(answer).at(-1)}`, expected[0]);
  assert.match(`${lines(next).at(-1)}`, expected[1]);
  return answer;
};

export default {
  'Claude thinks, calls a tool and answers, and its thinking goes back to it': async world => {
    const { ann } = world;
    const tool = { id: 'weather', name: 'Weather', meta: { description: 'Weather' }, content: WEATHER };
    assert.equal((await ann.api('/api/v1/tools/create', tool)).id, 'weather');
    const answer = await ask(world, [/undefined/, /undefined/]);
    await ann.shot('tool');
    // Open WebUI adds up the steps.
    assert.deepEqual([answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.cost], [2100, 70, 0.0049]);
  },
  'the same steps again are a repeat, told as a whole': async world => {
    const answer = await ask(world, [/^All 2 steps from the ledger · saved \$0\.0049$/, /^Answered from the ledger/]);
    await world.ann.shot('tool-repeat');
    assert.equal(answer.usage.cost, 0);
  },
};
