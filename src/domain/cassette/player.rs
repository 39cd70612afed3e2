//! The stage: which fixture answers which request, and in which order.
//!
//! Plain data: whoever shares it puts it behind a lock, and requests that come at the same time take their turns in the
//! order in which they get it.

use std::collections::HashMap;

use serde::Serialize;

use super::{Cassette, Miss, RecordedRequest, Scrubber, miss};
use crate::domain::{
    chain::Hash,
    diff::{Diff, Fingerprint},
};

/// A fixture with its place.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its file, as it is to be shown.
    pub file: String,
    /// The folder that it is in, from where fixtures are read; empty for none.
    pub scenario: String,
    /// What is in it.
    pub cassette: Cassette,
    /// The client's request as it is translated now; `None` where there is none, or it cannot be.
    pub now: Option<RecordedRequest>,
}

/// What happens when all answers to a request have been given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AtTheEnd {
    /// The last one is given again.
    #[default]
    Last,
    /// There is none.
    Error,
    /// They begin again.
    Cycle,
}

impl AtTheEnd {
    /// The policy of that name.
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "last" => Some(Self::Last),
            "error" => Some(Self::Error),
            "cycle" => Some(Self::Cycle),
            _ => None,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Error => "error",
            Self::Cycle => "cycle",
        }
    }
}

/// All fixtures, and which of them were given.
#[derive(Debug)]
pub struct Player {
    scrubber: Scrubber,
    at_the_end: AtTheEnd,
    actors: Vec<Slot>,
    /// Which fixtures answer a key, in the order of their files.
    by_key: HashMap<Hash, Vec<usize>>,
    misses: u64,
}

/// A fixture on the stage.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) entry: Entry,
    pub(super) print: Fingerprint,
    /// What the recorded request and the translation of today differ in.
    changed: Option<Diff>,
    given: u64,
}

/// A fixture that answers.
#[derive(Debug, Clone, Copy)]
pub struct Match<'a> {
    /// Which one.
    pub entry: &'a Entry,
    /// The how-manieth of the answers to this request, counted from one.
    pub number: usize,
    /// How many there are.
    pub of: usize,
    /// What the translation of today has changed in the request, if it has.
    pub changed: Option<&'a Diff>,
}

/// How a stage is, for people and programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Every fixture, in the order of its file.
    pub fixtures: Vec<Line>,
    /// Requests that found none.
    pub misses: u64,
    /// What happens when all answers have been given.
    pub at_the_end: AtTheEnd,
}

/// How one fixture is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its file.
    pub file: String,
    /// How often it was given.
    pub given: u64,
    /// Whether it can answer: a recording without its end cannot.
    pub plays: bool,
    /// What the translation of today has changed in its request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub translator_changed: Option<Diff>,
}

impl Player {
    /// Puts fixtures on the stage, in the order in which they are to be given.
    pub fn new(entries: Vec<Entry>, scrubber: Scrubber, at_the_end: AtTheEnd) -> Self {
        let mut stage =
            Self { scrubber, at_the_end, actors: Vec::new(), by_key: HashMap::new(), misses: 0 };
        for entry in entries {
            stage.add(entry);
        }
        stage
    }

    fn add(&mut self, entry: Entry) {
        let at = self.actors.len();
        let key =
            |asked: Option<&RecordedRequest>| asked.and_then(|asked| asked.key(&self.scrubber));
        let (then, now) = (key(entry.cassette.upstream.as_ref()), key(entry.now.as_ref()));
        let changed = match (&entry.cassette.upstream, &entry.now) {
            (Some(then), Some(now)) => then.changed(now, &self.scrubber),
            _ => None,
        };
        if entry.cassette.response.is_complete() {
            // Found under both: a better translator must not make every fixture useless.
            for key in [then, now.filter(|now| then != Some(*now))].into_iter().flatten() {
                self.by_key.entry(key).or_default().push(at);
            }
        }
        let asked = entry.cassette.upstream.as_ref().or(entry.now.as_ref());
        let print = asked.map(|asked| Fingerprint::of(&miss::document(asked, &self.scrubber)));
        let print = print.unwrap_or_default();
        self.actors.push(Slot { entry, print, changed, given: 0 });
    }

    /// The fixture that answers a request: the first of its answers that was not given yet. With a scenario, only
    /// fixtures of that folder answer.
    pub fn answer(
        &mut self,
        asked: &RecordedRequest,
        scenario: Option<&str>,
    ) -> Result<Match<'_>, Miss> {
        let key = asked.key(&self.scrubber);
        let plays = |at: &usize| self.actors[*at].entry.is_in(scenario);
        let all = key.and_then(|key| self.by_key.get(&key)).into_iter().flatten();
        let all: Vec<usize> = all.copied().filter(plays).collect();
        let least = all.iter().map(|at| self.actors[*at].given).min();
        let unused = all.iter().position(|at| self.actors[*at].given == 0);
        // The last of them says what comes after it.
        let own = all.last().and_then(|at| self.actors[*at].entry.cassette.at_the_end);
        let number = match (unused, own.unwrap_or(self.at_the_end)) {
            (Some(number), _) => Some(number),
            (None, AtTheEnd::Last) => all.len().checked_sub(1),
            (None, AtTheEnd::Error) => None,
            (None, AtTheEnd::Cycle) => {
                all.iter().position(|at| Some(self.actors[*at].given) == least)
            }
        };
        let Some(number) = number else {
            self.misses += 1;
            let used_up = all.iter().map(|at| self.actors[*at].entry.file.clone()).collect();
            let actors: Vec<&Slot> =
                (0..self.actors.len()).filter(plays).map(|at| &self.actors[at]).collect();
            return Err(miss::miss(key, asked, used_up, &actors, &self.scrubber));
        };
        let at = all[number];
        self.actors[at].given += 1;
        let Slot { entry, changed, .. } = &self.actors[at];
        let is_changed = changed.is_some()
            && key != entry.cassette.upstream.as_ref().and_then(|asked| asked.key(&self.scrubber));
        Ok(Match {
            entry,
            number: number + 1,
            of: all.len(),
            changed: changed.as_ref().filter(|_| is_changed),
        })
    }

    /// Begins again, in one scenario or in all.
    pub fn reset(&mut self, scenario: Option<&str>) {
        if scenario.is_none() {
            self.misses = 0;
        }
        for actor in self.actors.iter_mut().filter(|actor| actor.entry.is_in(scenario)) {
            actor.given = 0;
        }
    }

    /// How it is.
    pub fn status(&self) -> Status {
        let line = |actor: &Slot| Line {
            file: actor.entry.file.clone(),
            given: actor.given,
            plays: actor.entry.cassette.response.is_complete(),
            translator_changed: actor.changed.clone(),
        };
        Status {
            fixtures: self.actors.iter().map(line).collect(),
            misses: self.misses,
            at_the_end: self.at_the_end,
        }
    }

    /// The fixtures that were never given.
    pub fn unused(&self) -> impl Iterator<Item = &Entry> {
        self.actors.iter().filter(|actor| actor.given == 0).map(|actor| &actor.entry)
    }

    /// All of them.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.actors.iter().map(|actor| &actor.entry)
    }
}

impl Entry {
    /// Whether it is in this folder, or in one within it; all are, where none is named.
    fn is_in(&self, scenario: Option<&str>) -> bool {
        scenario.is_none_or(|wanted| {
            let rest = self.scenario.strip_prefix(wanted);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

impl Slot {
    pub(super) const fn is_unused(&self) -> bool {
        self.given == 0
    }
}

#[cfg(test)]
mod tests;
