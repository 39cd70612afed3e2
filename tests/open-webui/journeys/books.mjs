// The books, after all journeys: Claude's own count, the ledgers and what people saw in Open WebUI agree.
import assert from 'node:assert/strict';
import { MODEL } from '../person.mjs';

/// Dollars for a million tokens of input and of output.
const PRICES = { 'claude-sonnet-5-5': [2, 10], 'claude-haiku-5-5': [0.1, 0.5], 'claude-opus-5-5': [4, 20] };

const sum = (items, of) => items.reduce((sum, item) => sum + of(item), 0);
/// The usage that a fixture tells. The slow one is stopped before it begins.
const usageOf = (name, { message, events }) => name === 'slow' ? undefined : (message ?? events?.[0][2].message)?.usage;
const nano = dollars => Math.round(dollars * 1e9);
const totals = calls => ({
  input: sum(calls, call => call.input),
  output: sum(calls, call => call.output),
  cost: sum(calls, call => call.cost.nano_dollars),
});

export default {
  'a tooltip shows the usage that Open WebUI keeps': async ({ ann }) => {
    const { usage } = await ann.ask('Tell me about tooltips', `/?models=${MODEL}`);
    const tooltip = await ann.tooltip();
    await ann.shot('tooltip');
    for (const field of ['input_tokens', 'output_tokens', 'cost', 'chat_cost']) {
      assert.match(tooltip, new RegExp(`^${field}: ${usage[field]}$`, 'm'));
    }
  },
  'the ledgers agree with Claude\'s own count: requests, tokens and cost': async ({ claude, ledger, strict }) => {
    const given = Object.entries(await claude.given());
    const said = given.map(([name, times]) => {
      const { upstream, client, response } = claude.fixture(name);
      const { input_tokens = 0, output_tokens = 0 } = usageOf(name, response) ?? {};
      const [input, output] = PRICES[(upstream ?? client).body.model];
      return {
        times,
        input: times * input_tokens,
        output: times * output_tokens,
        // A dollar for a million tokens is 1,000 nano-dollars for each.
        cost: times * Math.round((input_tokens * input + output_tokens * output) * 1000),
      };
    });
    const asked = [ledger, strict].flatMap(books => books.calls()).filter(call => call.tries > 0);
    assert.deepEqual(totals(asked), {
      input: sum(said, of => of.input), output: sum(said, of => of.output), cost: sum(said, of => of.cost),
    });
    const reports = [ledger, strict].map(books => books.stats().total);
    assert.equal(sum(reports, total => total.upstream_requests), sum(said, of => of.times));
    assert.equal(sum(reports, total => total.cost.nano_dollars), sum(said, of => of.cost));
    return `${sum(said, of => of.times)} requests, $${sum(said, of => of.cost) / 1e9}`;
  },
  'the tooltips of all answers agree with the ledgers': async ({ ann, ben, ledger, strict }) => {
    const chats = (await Promise.all([ann, ben].map(person => person.api('/api/v1/chats/all')))).flat();
    // Copies of a chat have the same answers.
    const messages = new Map(chats.flatMap(({ chat }) => Object.entries(chat.history.messages)));
    const calls = [ledger, strict].flatMap(books => books.calls()).filter(call => call.task === null);
    const rest = new Set(calls);
    let shown = 0;
    for (const [id, { usage, output = [] }] of messages) {
      if (!usage) continue;
      const steps = calls.filter(call => call.message === id && call.outcome === 'complete');
      // Open WebUI adds up the steps between tools; of an answer that was continued it shows the last part.
      const counted = output.some(item => item.type === 'function_call') ? steps : steps.slice(-1);
      const shownTotals = { input: usage.input_tokens, output: usage.output_tokens, cost: nano(usage.cost) };
      assert.deepEqual(shownTotals, totals(counted), id);
      counted.forEach(call => rest.delete(call));
      shown += 1;
    }
    // What no tooltip shows.
    const others = [...rest].map(call => {
      if (call.outcome !== 'complete') return call.outcome;
      if (call.client !== 'open-webui') return 'by a program';
      return messages.has(call.message) ? 'continued' : 'temporary';
    });
    const counts = Object.fromEntries([...new Set(others)].sort().map(kind => [kind, others.filter(other => other === kind).length]));
    assert.deepEqual(Object.keys(counts), ['by a program', 'continued', 'failed', 'refused', 'stopped', 'temporary']);
    return `${shown} answers; ${Object.entries(counts).map(([kind, count]) => `${kind} ${count}`).join(', ')}`;
  },
};
