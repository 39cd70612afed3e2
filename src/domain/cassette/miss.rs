//! Misses: the reason that no fixture answers a request, with the nearest fixtures and what differs.

use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

use super::{RecordedRequest, Scrubber, wildcard};
use crate::domain::{
    chain::Hash,
    diff::{Diff, Fingerprint, diff},
};

/// Number of near misses that are reported.
const MAX_NEAREST: usize = 3;
/// Likeness below which a fixture is not worth reporting.
const MIN_LIKENESS: f64 = 0.3;
/// Fraction of the best likeness below which another near miss is noise.
const MIN_RELATIVE_LIKENESS: f64 = 0.75;
/// Number of differences that are reported for each near miss.
const MAX_DIFFERENCES: usize = 8;

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
}

/// A fixture that a request is compared with.
pub(super) struct Candidate<'a> {
    pub(super) file: &'a str,
    pub(super) request: &'a RecordedRequest,
    pub(super) fingerprint: &'a Fingerprint,
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
        scrubber: &Scrubber,
    ) -> Self {
        let reason = if exhausted.is_empty() {
            match nearest(request, candidates, scrubber) {
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
        let near = nearest.iter().map(|NearMiss { file, likeness, diff }| {
            format!("{file} ({} % alike; {})", (likeness * 100.0).floor(), diff.places())
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
                for NearMiss { file, likeness, diff } in nearest {
                    let percent = (likeness * 100.0).floor();
                    write!(f, "\n{file} ({percent} % alike)")?;
                    for line in diff.to_string().lines() {
                        write!(f, "\n  {line}")?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// The candidates most similar to a request, nearest first.
fn nearest(
    request: &RecordedRequest,
    mut candidates: Vec<Candidate<'_>>,
    scrubber: &Scrubber,
) -> Vec<NearMiss> {
    let document = document(request, scrubber);
    let fingerprint = Fingerprint::of(&document);
    // A fixture that was given has met its request already: it is worth naming only if no unused one is left.
    if candidates.iter().any(|candidate| candidate.is_unused) {
        candidates.retain(|candidate| candidate.is_unused);
    }
    let mut near: Vec<(f64, Candidate<'_>)> = candidates
        .into_iter()
        .map(|candidate| {
            let likeness = match candidate.pattern {
                Some(pattern) => {
                    fingerprint.likeness(&Fingerprint::of(&filled(pattern, &document)))
                }
                None => fingerprint.likeness(candidate.fingerprint),
            };
            (likeness, candidate)
        })
        .filter(|(likeness, _)| *likeness >= MIN_LIKENESS)
        .collect();
    near.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let best = near.first().map_or(0.0, |(best, _)| *best);
    near.into_iter()
        .take_while(|(likeness, _)| *likeness >= best * MIN_RELATIVE_LIKENESS)
        .take(MAX_NEAREST)
        .map(|(likeness, Candidate { file, request, pattern, .. })| {
            let left = match pattern {
                Some(pattern) => filled(pattern, &document),
                None => self::document(request, scrubber),
            };
            let diff = diff(&left, &document, MAX_DIFFERENCES);
            NearMiss { file: file.to_owned(), likeness, diff }
        })
        .collect()
}

/// A request with wildcards, of which only those are left that `document` does not fit.
fn filled(pattern: &Value, document: &Value) -> Value {
    let mut filled = pattern.clone();
    wildcard::fill(&mut filled, document);
    filled
}

/// Differences between two requests in the parts that a key covers.
pub(super) fn differences(
    left: &RecordedRequest,
    right: &RecordedRequest,
    scrubber: &Scrubber,
) -> Diff {
    diff(&document(left, scrubber), &document(right, scrubber), MAX_DIFFERENCES)
}

/// The parts of a request that its key covers, as one document.
pub(super) fn document(request: &RecordedRequest, scrubber: &Scrubber) -> Value {
    let body = scrubber.match_json(&request.body).unwrap_or_default();
    let mut document: Value = serde_json::from_str(&body).unwrap_or_default();
    strip_cache_control(&mut document);
    if let Value::Object(fields) = &mut document {
        for name in ["stream", "metadata"] {
            fields.shift_remove(name);
        }
        fields.insert("anthropic-version".to_owned(), json!(request.headers.version()));
        let betas = request.headers.betas();
        if !betas.is_empty() {
            fields.insert("anthropic-beta".to_owned(), json!(betas));
        }
    }
    document
}

/// Removes `cache_control`, except inside the model's own output and tool schemas.
fn strip_cache_control(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(strip_cache_control),
        Value::Object(fields) => {
            fields.shift_remove("cache_control");
            let inner = fields
                .iter_mut()
                .filter(|(name, _)| !["input", "input_schema"].contains(&name.as_str()));
            inner.for_each(|(_, value)| strip_cache_control(value));
        }
        _ => {}
    }
}
