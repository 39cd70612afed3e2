//! Why no fixture answers a request, as data: nothing is like it, something differs, or all was given.

use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

use super::{RecordedRequest, Scrubber, player::Slot};
use crate::domain::{
    chain::Hash,
    diff::{Diff, Fingerprint, diff},
};

/// So many of the nearest are shown.
const NEAREST: usize = 3;
/// What has less in common is not like it at all.
const LEAST_LIKENESS: f64 = 0.3;
/// Beside the nearest, what is less alike by more than this is noise.
const WORTH_SHOWING: f64 = 0.75;
/// So many differences are told of each.
const MOST_DIFFERENCES: usize = 8;

/// A request that no fixture answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Miss {
    /// Its key, if it has one.
    pub key: Option<String>,
    /// Why.
    pub why: Why,
}

/// Why no fixture answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Why {
    /// None has much in common with it.
    NothingLike,
    /// Some have.
    Differs {
        /// The nearest first.
        nearest: Vec<Near>,
    },
    /// Some are the same, and all of them were given.
    UsedUp {
        /// Their files.
        files: Vec<String>,
    },
}

/// A fixture that is much like a request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Near {
    /// Its file.
    pub file: String,
    /// From 0.0 to 1.0.
    pub likeness: f64,
    /// Left: the fixture's request.
    pub diff: Diff,
}

impl Miss {
    /// The command that records what is missing; `into` is the folder of the fixtures.
    pub fn command(into: &str) -> String {
        format!("reprise fixtures export --last 1 --into {into}")
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Why::NothingLike => write!(f, "no fixture is like this request"),
            Why::UsedUp { files } => {
                write!(f, "all answers to this request were given: {}", files.join(", "))
            }
            Why::Differs { nearest } => {
                write!(
                    f,
                    "no fixture is the same as this request; the nearest (-) and the request (+) differ:"
                )?;
                for Near { file, likeness, diff } in nearest {
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

pub(super) fn miss(
    key: Option<Hash>,
    asked: &RecordedRequest,
    used_up: Vec<String>,
    actors: &[&Slot],
    scrubber: &Scrubber,
) -> Miss {
    let key = key.map(|key| key.to_string());
    if !used_up.is_empty() {
        return Miss { key, why: Why::UsedUp { files: used_up } };
    }
    let document = document(asked, scrubber);
    let print = Fingerprint::of(&document);
    // What was given is expected to be given; only if nothing else is left is it worth naming.
    let unused: Vec<&&Slot> = actors.iter().filter(|actor| actor.is_unused()).collect();
    let candidates = if unused.is_empty() { actors.iter().collect() } else { unused };
    let mut near: Vec<(f64, &&Slot)> = candidates
        .into_iter()
        .map(|actor| (print.likeness(&actor.print), actor))
        .filter(|(likeness, _)| *likeness >= LEAST_LIKENESS)
        .collect();
    near.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let best = near.first().map_or(0.0, |(best, _)| *best);
    near.retain(|(likeness, _)| *likeness >= best * WORTH_SHOWING);
    let nearest: Vec<Near> = near
        .into_iter()
        .take(NEAREST)
        .filter_map(|(likeness, actor)| {
            let theirs = actor.entry.cassette.upstream.as_ref().or(actor.entry.now.as_ref())?;
            let diff = diff(&self::document(theirs, scrubber), &document, MOST_DIFFERENCES);
            Some(Near { file: actor.entry.file.clone(), likeness, diff })
        })
        .collect();
    let why = if nearest.is_empty() { Why::NothingLike } else { Why::Differs { nearest } };
    Miss { key, why }
}

/// What differs between a request as it was recorded and as it is translated now.
pub(super) fn changes(
    before: &RecordedRequest,
    after: &RecordedRequest,
    scrubber: &Scrubber,
) -> Diff {
    diff(&document(before, scrubber), &document(after, scrubber), MOST_DIFFERENCES)
}

/// What a key covers of a request, as one document.
pub(super) fn document(asked: &RecordedRequest, scrubber: &Scrubber) -> Value {
    let body = scrubber.json(&asked.body).unwrap_or_default();
    let mut document: Value = serde_json::from_str(&body).unwrap_or_default();
    bare(&mut document);
    if let Value::Object(fields) = &mut document {
        for name in ["stream", "metadata"] {
            fields.shift_remove(name);
        }
        fields.insert("anthropic-version".to_owned(), json!(asked.headers.version()));
        let betas = asked.headers.betas();
        if !betas.is_empty() {
            fields.insert("anthropic-beta".to_owned(), json!(betas));
        }
    }
    document
}

/// Takes `cache_control` out, but for what the model said itself.
fn bare(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(bare),
        Value::Object(fields) => {
            fields.shift_remove("cache_control");
            let inner = fields
                .iter_mut()
                .filter(|(name, _)| !["input", "input_schema"].contains(&name.as_str()));
            inner.for_each(|(_, value)| bare(value));
        }
        _ => {}
    }
}
