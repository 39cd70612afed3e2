//! Misses: the reason that no fixture answers a request, with the nearest fixtures and what differs.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::{
    RecordedRequest,
    compare::{self, IgnoredPart, Profile},
    wildcard,
};
use crate::domain::{chain::Hash, diff::Diff};

/// Number of near misses that are reported.
const MAX_NEAREST: usize = 3;
/// Likeness below which a fixture is not worth reporting.
const MIN_LIKENESS: f64 = 0.3;
/// Fraction of the best likeness below which another near miss is noise.
const MIN_RELATIVE_LIKENESS: f64 = 0.75;

/// A request that no fixture answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Miss {
    /// The request's key; `None` if the request cannot be read.
    pub key: Option<String>,
    /// The reason.
    #[serde(rename = "why")]
    pub reason: MissReason,
}

/// The reason that no fixture answers a request.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum MissReason {
    /// No fixture has much in common with the request.
    NothingLike,
    /// Some fixtures are similar.
    Differs {
        /// The similar fixtures, nearest first.
        nearest: Vec<NearMiss>,
    },
    /// No fixture is in the scenario that the request names.
    UnknownScenario {
        /// The scenario.
        scenario: String,
        /// The scenarios that there are.
        known: Vec<String>,
    },
    /// Some fixtures are equal, and all of them were given.
    UsedUp {
        /// Their files.
        files: Vec<String>,
    },
}

/// A fixture that is similar to a request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NearMiss {
    /// Path of its file.
    pub file: String,
    /// Likeness, from 0.0 to 1.0.
    pub likeness: f64,
    /// Differences: the fixture's request is on the left.
    pub diff: Diff,
    /// The parts without which the request would be equal, if there are such.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignorable: Vec<IgnoredPart>,
}

/// A fixture that a request is compared with.
pub(super) struct Candidate<'a> {
    pub(super) file: &'a str,
    pub(super) request: &'a RecordedRequest,
    pub(super) profile: &'a Profile,
    /// The request, if it has wildcards.
    pub(super) pattern: Option<&'a Value>,
    pub(super) is_unused: bool,
}

impl Miss {
    /// The miss of a request; `exhausted` lists the files that are equal to it.
    pub(super) fn new(
        key: Option<Hash>,
        request: &RecordedRequest,
        exhausted: Vec<String>,
        candidates: Vec<Candidate<'_>>,
        document: impl Fn(&RecordedRequest) -> Value,
    ) -> Self {
        let reason = if exhausted.is_empty() {
            match nearest(&document(request), candidates, document) {
                nearest if nearest.is_empty() => MissReason::NothingLike,
                nearest => MissReason::Differs { nearest },
            }
        } else {
            MissReason::UsedUp { files: exhausted }
        };
        Self { key: key.map(|key| key.to_string()), reason }
    }

    /// The miss without any content of messages, for the log: of differences only the places.
    pub fn without_content(&self) -> String {
        let MissReason::Differs { nearest } = &self.reason else { return self.to_string() };
        let near = nearest.iter().map(|NearMiss { file, likeness, diff, ignorable }| {
            let ignorable = match &ignorable[..] {
                [] => String::new(),
                parts => format!("; --ignore {} would find it", names(parts)),
            };
            let percent = (likeness * 100.0).floor();
            format!("{file} ({percent} % alike; {}{ignorable})", diff.places())
        });
        format!(
            "no fixture matches this request; nearest are {}",
            near.collect::<Vec<_>>().join(", ")
        )
    }

    /// The command that records the missing fixture into the folder `into`.
    pub fn command(into: &str) -> String {
        format!("reprise fixtures export --last 1 --into {into}")
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            MissReason::NothingLike => write!(f, "no fixture is similar to this request"),
            MissReason::UnknownScenario { scenario, known } => {
                write!(f, "there is no scenario {scenario:?} (X-Reprise-Scenario)")?;
                if known.is_empty() {
                    return write!(f, ": the fixtures are in no folders");
                }
                write!(f, "; there are {}", known.join(", "))
            }
            MissReason::UsedUp { files } => {
                write!(f, "all answers to this request were given: {}", files.join(", "))
            }
            MissReason::Differs { nearest } => {
                write!(
                    f,
                    "no fixture matches this request; the nearest (-) and the request (+) differ:"
                )?;
                for NearMiss { file, likeness, diff, ignorable } in nearest {
                    let percent = (likeness * 100.0).floor();
                    write!(f, "\n{file} ({percent} % alike)")?;
                    for line in diff.to_string().lines() {
                        write!(f, "\n  {line}")?;
                    }
                    if !ignorable.is_empty() {
                        write!(f, "\n  --ignore {} would find it", names(ignorable))?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// The candidates most similar to a request, nearest first. `document_of` gives the document of a fixture's request.
fn nearest(
    document: &Value,
    candidates: Vec<Candidate<'_>>,
    document_of: impl Fn(&RecordedRequest) -> Value,
) -> Vec<NearMiss> {
    let profile = Profile::of(document);
    let near = candidates.into_iter().map(|candidate| {
        let likeness = match candidate.pattern {
            Some(pattern) => {
                let mut filled = filled(pattern, document);
                wildcard::flatten(&mut filled);
                profile.likeness(&Profile::of(&filled))
            }
            None => profile.likeness(candidate.profile),
        };
        (likeness, candidate)
    });
    let mut near: Vec<(f64, Candidate<'_>)> =
        near.filter(|(likeness, _)| *likeness >= MIN_LIKENESS).collect();
    // A fixture that was given has met its request already: it is worth naming only if no similar one is unused.
    if near.iter().any(|(_, candidate)| candidate.is_unused) {
        near.retain(|(_, candidate)| candidate.is_unused);
    }
    near.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let best = near.first().map_or(0.0, |(best, _)| *best);
    near.into_iter()
        .take_while(|(likeness, _)| *likeness >= best * MIN_RELATIVE_LIKENESS)
        .take(MAX_NEAREST)
        .map(|(likeness, Candidate { file, request, pattern, .. })| {
            let left = match pattern {
                Some(pattern) => filled(pattern, document),
                None => document_of(request),
            };
            let diff = compare::differences(&left, document);
            let ignorable = compare::ignorable(&left, document);
            NearMiss { file: file.to_owned(), likeness, diff, ignorable }
        })
        .collect()
}

/// The names of parts, as a setting.
fn names(parts: &[IgnoredPart]) -> String {
    parts.iter().map(Into::<&str>::into).collect::<Vec<_>>().join(",")
}

/// A request with wildcards, of which only those are left that `document` does not fit.
fn filled(pattern: &Value, document: &Value) -> Value {
    let mut filled = pattern.clone();
    wildcard::fill(&mut filled, document);
    filled
}
