//! Selection of the fixture that answers a request, and the order in which equal requests are answered.
//!
//! A [`Player`] is plain data: its owner puts it behind a lock, and concurrent requests are served in the order in which
//! they take the lock.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;
use strum::{EnumString, IntoStaticStr, VariantNames};

use super::{
    Cassette, IgnoredPart, Miss, MissReason, RecordedRequest, Scrubber,
    compare::{self, Profile},
    miss::Candidate,
    wildcard,
};
use crate::domain::{chain::Hash, diff::Diff, json};

/// A fixture and its location.
#[derive(Debug, Clone)]
pub struct LoadedFixture {
    /// Path of its file, as shown to people.
    pub file: String,
    /// Its folder, relative to the folder that is loaded; empty for the folder itself.
    pub scenario: String,
    /// Its content.
    pub cassette: Cassette,
    /// The client's request as it is translated now; `None` if there is none, or if it cannot be translated.
    pub translated: Option<RecordedRequest>,
}

/// The policy once every answer to a request has been given.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, EnumString, IntoStaticStr, VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum WhenExhausted {
    /// The last answer is given again.
    #[default]
    Last,
    /// The request is a miss.
    Error,
    /// The answers start again from the first.
    Cycle,
}

/// The settings of a player.
#[derive(Debug, Clone, Default)]
pub struct PlayerSettings {
    /// Scrubs both requests before they are compared.
    pub scrubber: Scrubber,
    /// The policy once every answer to a request has been given.
    pub when_exhausted: WhenExhausted,
    /// The parts that are not compared, if no fixture is equal in them too.
    pub ignored: Vec<IgnoredPart>,
}

/// All fixtures, with how often each was given.
#[derive(Debug)]
pub struct Player {
    settings: PlayerSettings,
    slots: Vec<Slot>,
    /// By whole requests.
    exact: Index,
    /// By requests without the ignored parts; empty if none are ignored.
    loose: Index,
    misses: u64,
}

/// The slots by their requests, in the order of their files.
#[derive(Debug, Default)]
struct Index {
    /// The slots that answer a key.
    by_key: HashMap<Hash, Vec<usize>>,
    /// Requests with wildcards, and the slots that answer them.
    patterns: Vec<(Value, Vec<usize>)>,
}

/// A fixture and the state of its replay.
#[derive(Debug)]
struct Slot {
    fixture: LoadedFixture,
    profile: Profile,
    /// Difference between the recorded request and today's translation.
    changed: Option<Diff>,
    /// The compared parts of the request, if it has wildcards.
    pattern: Option<Value>,
    given: u64,
}

/// A fixture that answers a request.
#[derive(Debug, Clone, Copy)]
pub struct Match<'a> {
    /// The fixture.
    pub fixture: &'a LoadedFixture,
    /// One-based position among the answers to this request.
    pub position: usize,
    /// Number of answers to this request.
    pub total: usize,
    /// Difference that today's translation makes to the request, if any.
    pub changed: Option<&'a Diff>,
}

/// State of a replay, as reported to people and programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlayerStatus {
    /// Every fixture, in the order of the files.
    pub fixtures: Vec<FixtureStatus>,
    /// Number of requests that no fixture answered.
    pub misses: u64,
    /// The policy once every answer to a request has been given.
    #[serde(rename = "at_the_end")]
    pub when_exhausted: WhenExhausted,
}

/// State of one fixture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FixtureStatus {
    /// Path of its file.
    pub file: String,
    /// Number of times it was given.
    pub given: u64,
    /// `true` if it can answer: an incomplete recording cannot.
    pub plays: bool,
    /// Difference that today's translation makes to its request, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub translator_changed: Option<Diff>,
}

impl Player {
    /// A player of these fixtures, which are given in this order.
    pub fn new(fixtures: Vec<LoadedFixture>, settings: PlayerSettings) -> Self {
        let slots = Vec::with_capacity(fixtures.len());
        let (exact, loose) = (Index::default(), Index::default());
        let mut player = Self { settings, slots, exact, loose, misses: 0 };
        for fixture in fixtures {
            player.add(fixture);
        }
        player
    }

    /// Adds a fixture behind the others.
    pub fn add(&mut self, fixture: LoadedFixture) {
        let (recorded, translated) = (&fixture.cassette.upstream, &fixture.translated);
        let has_wildcards = fixture.cassette.has_wildcards();
        let changed = match (recorded, translated) {
            // A pattern differs from its request in its wildcards.
            _ if has_wildcards => None,
            (Some(recorded), Some(translated)) => {
                recorded.changed(translated, &self.settings.scrubber)
            }
            _ => None,
        };
        let document = fixture.request().map(|request| self.document(request));
        let profile = document.as_ref().map(Profile::of).unwrap_or_default();
        let pattern = document.filter(|_| has_wildcards);
        let slot = self.slots.len();
        if fixture.cassette.response.is_complete() {
            match &pattern {
                Some(pattern) => {
                    let whole = fixture.request().map(|request| self.whole(request));
                    self.exact.add_pattern(whole.unwrap_or_default(), slot);
                    if self.ignores() {
                        self.loose.add_pattern(pattern.clone(), slot);
                    }
                }
                // Found under both keys: a change of the translator must not make every fixture useless.
                None => {
                    for request in recorded.iter().chain(translated) {
                        if let Some(key) = request.key(&self.settings.scrubber) {
                            self.exact.add(key, slot);
                        }
                        if self.ignores() {
                            self.loose.add(key_of(&self.document(request)), slot);
                        }
                    }
                }
            }
        }
        self.slots.push(Slot { fixture, profile, changed, pattern, given: 0 });
    }

    fn ignores(&self) -> bool {
        !self.settings.ignored.is_empty()
    }

    /// The parts of a request that are compared.
    fn document(&self, request: &RecordedRequest) -> Value {
        compare::document(request, &self.settings.scrubber, &self.settings.ignored)
    }

    /// The same with the ignored parts.
    fn whole(&self, request: &RecordedRequest) -> Value {
        compare::document(request, &self.settings.scrubber, &[])
    }

    /// Adds the fixture of a request that was a miss, and that its answer was given.
    pub fn add_recorded(&mut self, fixture: LoadedFixture) {
        self.add(fixture);
        if let Some(slot) = self.slots.last_mut() {
            slot.given = 1;
        }
        self.forget_miss();
    }

    /// Takes back the last miss: it was recorded, or is the same request once more.
    pub const fn forget_miss(&mut self) {
        self.misses = self.misses.saturating_sub(1);
    }

    /// The slots that answer a request, in the order of their files: those of the same request, else those of the first
    /// pattern that it fits, else the same without the ignored parts.
    fn answers(
        &self,
        request: &RecordedRequest,
        key: Option<Hash>,
        scenario: Option<&str>,
    ) -> Vec<usize> {
        let is_in_scenario = |at: &usize| self.slots[*at].fixture.is_in(scenario);
        let exact = self.exact.find(key, || self.whole(request), is_in_scenario);
        if !exact.is_empty() || !self.ignores() {
            return exact;
        }
        let document = self.document(request);
        let key = key_of(&document);
        self.loose.find(Some(key), || document, is_in_scenario)
    }

    /// Takes the fixture that answers a request: the first of its answers that was not given yet. A scenario restricts
    /// the answers to the fixtures of that folder.
    pub fn answer(
        &mut self,
        request: &RecordedRequest,
        scenario: Option<&str>,
    ) -> Result<Match<'_>, Miss> {
        let key = request.key(&self.settings.scrubber);
        let answers = self.answers(request, key, scenario);
        let fewest = answers.iter().map(|at| self.slots[*at].given).min();
        let with_count = |count| answers.iter().position(|at| Some(self.slots[*at].given) == count);
        // The last answer may have a policy of its own.
        let own = answers.last().and_then(|at| self.slots[*at].fixture.cassette.when_exhausted);
        let position = match (with_count(Some(0)), own.unwrap_or(self.settings.when_exhausted)) {
            (Some(unused), _) => Some(unused),
            (None, WhenExhausted::Last) => answers.len().checked_sub(1),
            (None, WhenExhausted::Error) => None,
            (None, WhenExhausted::Cycle) => with_count(fewest),
        };
        let Some(position) = position else {
            self.misses += 1;
            if let Some(unknown) = self.unknown(scenario) {
                return Err(Miss { key: key.map(|key| key.to_string()), reason: unknown });
            }
            let exhausted = answers.iter().map(|at| self.slots[*at].fixture.file.clone()).collect();
            let slots = self.slots.iter().filter(|slot| slot.fixture.is_in(scenario));
            let candidates = slots.filter_map(Slot::candidate).collect();
            let document = |request: &RecordedRequest| self.document(request);
            return Err(Miss::new(key, request, exhausted, candidates, document));
        };
        let slot = &mut self.slots[answers[position]];
        slot.given += 1;
        let is_recorded = || {
            key == slot
                .fixture
                .cassette
                .upstream
                .as_ref()
                .and_then(|it| it.key(&self.settings.scrubber))
        };
        Ok(Match {
            fixture: &slot.fixture,
            position: position + 1,
            total: answers.len(),
            changed: slot.changed.as_ref().filter(|_| !is_recorded()),
        })
    }

    /// The reason for a miss in a scenario that no fixture is in.
    pub fn unknown(&self, scenario: Option<&str>) -> Option<MissReason> {
        let scenario = scenario?;
        if self.slots.iter().any(|slot| slot.fixture.is_in(Some(scenario))) {
            return None;
        }
        let mut known: Vec<String> =
            self.slots.iter().map(|slot| slot.fixture.scenario.clone()).collect();
        known.retain(|scenario| !scenario.is_empty());
        known.sort_unstable();
        known.dedup();
        Some(MissReason::UnknownScenario { scenario: scenario.to_owned(), known })
    }

    /// Starts again from the first answers, in one scenario or in all.
    pub fn reset(&mut self, scenario: Option<&str>) {
        if scenario.is_none() {
            self.misses = 0;
        }
        for slot in self.slots.iter_mut().filter(|slot| slot.fixture.is_in(scenario)) {
            slot.given = 0;
        }
    }

    /// State of the replay.
    pub fn status(&self) -> PlayerStatus {
        let fixture = |slot: &Slot| FixtureStatus {
            file: slot.fixture.file.clone(),
            given: slot.given,
            plays: slot.fixture.cassette.response.is_complete(),
            translator_changed: slot.changed.clone(),
        };
        PlayerStatus {
            fixtures: self.slots.iter().map(fixture).collect(),
            misses: self.misses,
            when_exhausted: self.settings.when_exhausted,
        }
    }

    /// All fixtures, in the order of their files.
    pub fn fixtures(&self) -> impl Iterator<Item = &LoadedFixture> {
        self.slots.iter().map(|slot| &slot.fixture)
    }
}

impl Index {
    fn add(&mut self, key: Hash, slot: usize) {
        let slots = self.by_key.entry(key).or_default();
        if slots.last() != Some(&slot) {
            slots.push(slot);
        }
    }

    fn add_pattern(&mut self, pattern: Value, slot: usize) {
        match self.patterns.iter_mut().find(|(known, _)| *known == pattern) {
            Some((_, slots)) => slots.push(slot),
            None => self.patterns.push((pattern, vec![slot])),
        }
    }

    /// The slots of a key that are wanted, else those of the first pattern that the document fits.
    fn find(
        &self,
        key: Option<Hash>,
        document: impl FnOnce() -> Value,
        is_wanted: impl Fn(&usize) -> bool,
    ) -> Vec<usize> {
        let of = |slots: &[usize]| slots.iter().copied().filter(&is_wanted).collect::<Vec<_>>();
        let same = key.and_then(|key| self.by_key.get(&key)).map(|slots| of(slots));
        if let Some(same) = same.filter(|slots| !slots.is_empty()) {
            return same;
        }
        if self.patterns.is_empty() {
            return Vec::new();
        }
        let document = document();
        let mut fitting = self.patterns.iter().filter_map(|(pattern, slots)| {
            let slots = of(slots);
            (!slots.is_empty() && wildcard::matches(pattern, &document)).then_some(slots)
        });
        fitting.next().unwrap_or_default()
    }
}

/// The key of a request, given as its document.
fn key_of(document: &Value) -> Hash {
    Hash::of("reprise fixture without parts", &[&json::canonical(document.to_string().as_bytes())])
}

impl LoadedFixture {
    /// The request that it answers: the recorded one, else today's translation.
    fn request(&self) -> Option<&RecordedRequest> {
        self.cassette.upstream.as_ref().or(self.translated.as_ref())
    }

    /// Returns whether it is in this folder or below it; always true without a scenario.
    fn is_in(&self, scenario: Option<&str>) -> bool {
        scenario.is_none_or(|wanted| {
            let rest = self.scenario.strip_prefix(wanted);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

impl Slot {
    fn candidate(&self) -> Option<Candidate<'_>> {
        Some(Candidate {
            file: &self.fixture.file,
            request: self.fixture.request()?,
            profile: &self.profile,
            pattern: self.pattern.as_ref(),
            is_unused: self.given == 0,
        })
    }
}

#[cfg(test)]
mod tests;
