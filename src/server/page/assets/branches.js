// The turns of a session as a tree: what was asked again or edited is a branch beside the first.

/** The first turn in whose place a turn came, or itself. */
function firstOf(turn, turns) {
  const branch = turn.branch?.again ?? turn.branch?.edited;
  return branch === undefined ? turn : firstOf(turns[branch - 1], turns);
}

/**
 * The branches of the turns of a chat. `path(chosen)` is the conversation as it is shown: a list of `{ turn, siblings }`,
 * where `chosen` maps a sibling group to the turn that is shown of it; else that with the newest turn after it is.
 */
export function branches(turns) {
  const said = turns.filter((turn) => turn.task === null);
  const groups = new Map();
  const groupOf = new Map();
  for (const turn of said) {
    // What begins a conversation of its own is the sibling of nothing.
    const group = turn.parent === null ? `first ${firstOf(turn, turns).number}` : `after ${turn.parent}`;
    groups.set(group, [...(groups.get(group) ?? []), turn]);
    groupOf.set(turn.number, group);
  }
  const newest = new Map();
  for (const turn of said.toReversed()) {
    newest.set(turn.number, Math.max(newest.get(turn.number) ?? 0, turn.number));
    if (turn.parent !== null) newest.set(turn.parent, Math.max(newest.get(turn.parent) ?? 0, newest.get(turn.number)));
  }
  const shownOf = (group, chosen) => {
    const siblings = groups.get(group);
    const named = siblings.find(({ number }) => number === chosen.get(group));
    return named ?? siblings.reduce((best, one) => (newest.get(one.number) > newest.get(best.number) ? one : best));
  };
  const path = (chosen) => {
    const shown = [];
    const beginnings = [...groups.keys()].filter((group) => group.startsWith('first'));
    for (const beginning of beginnings) {
      for (let group = beginning; groups.has(group);) {
        const turn = shownOf(group, chosen);
        shown.push({ turn, group, siblings: groups.get(group) });
        group = `after ${turn.number}`;
      }
    }
    return shown;
  };
  /** What must be chosen, so that a turn is shown. */
  const choiceOf = (number) => {
    const chosen = new Map();
    for (let turn = said.find((one) => one.number === number); turn; turn = said.find((one) => one.number === turn.parent)) {
      chosen.set(groupOf.get(turn.number), turn.number);
    }
    return chosen;
  };
  return { path, choiceOf };
}
