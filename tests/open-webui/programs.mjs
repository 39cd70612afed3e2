// What the programs behind Open WebUI know: the replay that is Claude here, and the ledgers.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

/// Claude: a replay of the fixtures in a folder.
export const claudeOf = (url, folder) => ({
  /// How often each fixture was given, by its name.
  given: async () => {
    const { fixtures, misses } = await (await fetch(`${url}/replay`)).json();
    assert.equal(misses, 0, 'every request has a fixture');
    return Object.fromEntries(fixtures.map(({ file, given }) => [path.basename(file, '.json'), given]));
  },
  fixture: name => JSON.parse(fs.readFileSync(path.join(folder, `${name}.json`))),
});

/// The ledger that a settings file names, as its commands tell it.
export const ledgerOf = (command, config) => {
  const run = (...options) => execFileSync(command, [...options, '--config', config]).toString();
  return {
    run,
    stats: (...options) => JSON.parse(run('stats', '--json', ...options)),
    calls: (...options) => run('calls', 'export', ...options).trim().split('\n').filter(Boolean).map(line => JSON.parse(line)),
  };
};
