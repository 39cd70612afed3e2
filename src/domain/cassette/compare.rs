//! Comparison of requests in the parts that a key covers: their likeness, and their differences in the order of what they
//! mean to people: messages first, tools last and by name.

use serde::Serialize;
use serde_json::{Map, Value, json};
use strum::{EnumString, IntoStaticStr, VariantNames};

use super::{RecordedRequest, Scrubber};
use crate::domain::diff::{Diff, Difference, DifferenceKind, Fingerprint, diff};

/// Number of differences that are listed.
const MAX_DIFFERENCES: usize = 8;
/// Number of tools that are named in one difference.
const MAX_NAMES: usize = 5;
/// Weight of the messages in the likeness of two requests; everything else has the rest of 1.
const WEIGHT_OF_MESSAGES: f64 = 0.75;

/// A part of a request that a replay can leave out of its comparison. Messages are none: a fixture is found by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, EnumString, IntoStaticStr, VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum IgnoredPart {
    /// The system prompt.
    System,
    /// The tools, and which of them may or must be called.
    Tools,
    Model,
    MaxTokens,
    Thinking,
    OutputConfig,
    Temperature,
    TopP,
    TopK,
    StopSequences,
    ServiceTier,
    Fallbacks,
}

impl IgnoredPart {
    /// The part that a top-level field of a request belongs to.
    fn of(field: &str) -> Option<Self> {
        if field == "tool_choice" { Some(Self::Tools) } else { field.parse().ok() }
    }
}

/// The parts of a request that its key covers, as one document. If parts are ignored, the betas are left out with them:
/// they follow from the rest.
pub(super) fn document(
    request: &RecordedRequest,
    scrubber: &Scrubber,
    ignored: &[IgnoredPart],
) -> Value {
    let body = scrubber.match_json(&request.body).unwrap_or_default();
    let mut document: Value = serde_json::from_str(&body).unwrap_or_default();
    strip_cache_control(&mut document);
    if let Value::Object(fields) = &mut document {
        let is_ignored =
            |name: &str| IgnoredPart::of(name).is_some_and(|part| ignored.contains(&part));
        fields.retain(|name, _| !["stream", "metadata"].contains(&&**name) && !is_ignored(name));
        fields.insert("anthropic-version".to_owned(), json!(request.headers.version()));
        let betas = request.headers.betas();
        if !betas.is_empty() && ignored.is_empty() {
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

/// What the likeness of a request to others is computed from.
#[derive(Debug, Default)]
pub(super) struct Profile {
    messages: Fingerprint,
    rest: Fingerprint,
}

impl Profile {
    /// The profile of a request, given as its document. Of tools only the names count.
    pub(super) fn of(document: &Value) -> Self {
        let mut messages = document["messages"].clone();
        strip_form(&mut messages);
        let rest =
            document.as_object().into_iter().flatten().filter(|(name, _)| *name != "messages");
        let rest = rest.map(|(name, value)| {
            let names = (name == "tools").then(|| names(value)).flatten();
            (name.clone(), names.map_or_else(|| value.clone(), |names| json!(names)))
        });
        let rest = Value::Object(rest.collect());
        Self { messages: Fingerprint::of(&messages), rest: Fingerprint::of(&rest) }
    }

    /// From 0.0, nothing in common, to 1.0, everything.
    pub(super) fn likeness(&self, other: &Self) -> f64 {
        let messages = self.messages.likeness(&other.messages);
        let rest = self.rest.likeness(&other.rest);
        WEIGHT_OF_MESSAGES * messages + (1.0 - WEIGHT_OF_MESSAGES) * rest
    }
}

/// Removes from messages what nearly all have in common.
fn strip_form(messages: &mut Value) {
    for message in messages.as_array_mut().into_iter().flatten() {
        let Value::Object(fields) = message else { continue };
        fields.shift_remove("role");
        let blocks = fields.get_mut("content").and_then(Value::as_array_mut);
        for block in blocks.into_iter().flatten().filter_map(Value::as_object_mut) {
            block.shift_remove("type");
        }
    }
}

/// The names of tools; `None` if one has none or two have the same.
fn names(tools: &Value) -> Option<Vec<&str>> {
    let mut names: Vec<&str> = Vec::new();
    for tool in tools.as_array()? {
        names.push(tool["name"].as_str().filter(|name| !names.contains(name))?);
    }
    Some(names)
}

/// Differences between two documents of requests: those of the messages first, those of the tools last and by name.
pub(super) fn differences(left: &Value, right: &Value) -> Diff {
    let (Value::Object(left), Value::Object(right)) = (left, right) else {
        return diff(left, right, MAX_DIFFERENCES);
    };
    let (mut left, mut right) = (left.clone(), right.clone());
    let by_name = by_name(&mut left, &mut right);
    let mut found = Diff { differences: Vec::new(), more: 0 };
    let is_part: [fn(&str) -> bool; 3] = [
        |name| name == "messages",
        |name| name != "messages" && name != "tools",
        |name| name == "tools",
    ];
    for is_part in is_part {
        let part = |fields: &mut Map<String, Value>| {
            let (part, rest) =
                std::mem::take(fields).into_iter().partition(|(name, _)| is_part(name));
            *fields = rest;
            Value::Object(part)
        };
        let most = MAX_DIFFERENCES - found.differences.len();
        let diff = diff(&part(&mut left), &part(&mut right), most);
        found.differences.extend(diff.differences);
        found.more += diff.more;
    }
    found.more += by_name.len();
    let shown = by_name.len().min(MAX_DIFFERENCES - found.differences.len());
    found.more -= shown;
    found.differences.extend(by_name.into_iter().take(shown));
    found
}

/// Leaves of two lists of tools those that both have, by name. Returns the other differences: the tools that only one
/// has, and another order. Lists in which tools have no names of their own stay as they are.
fn by_name(left: &mut Map<String, Value>, right: &mut Map<String, Value>) -> Vec<Difference> {
    let list = |fields: &Map<String, Value>| fields.get("tools").cloned().unwrap_or(json!([]));
    let (lefts, rights) = (list(left), list(right));
    let (Some(of_left), Some(of_right)) = (names(&lefts), names(&rights)) else {
        return Vec::new();
    };
    let without = |names: &[&str], others: &[&str]| {
        let names: Vec<_> = names.iter().filter(|name| !others.contains(name)).collect();
        (!names.is_empty()).then(|| listed(&names))
    };
    let only_left = without(&of_left, &of_right).map(|left| DifferenceKind::OnlyLeft { left });
    let only_right = without(&of_right, &of_left).map(|right| DifferenceKind::OnlyRight { right });
    let mut kinds: Vec<_> = only_left.into_iter().chain(only_right).collect();
    if kinds.is_empty() && of_left != of_right {
        let listed = |names: &[&str]| listed(&names.iter().collect::<Vec<_>>());
        kinds.push(DifferenceKind::Value { left: listed(&of_left), right: listed(&of_right) });
    }
    for (fields, tools, others) in [(left, &lefts, &of_right), (right, &rights, &of_left)] {
        let tools = tools.as_array().into_iter().flatten();
        let common = tools.filter_map(|tool| {
            let name = tool["name"].as_str().filter(|name| others.contains(name))?;
            Some((name.to_owned(), tool.clone()))
        });
        fields.insert("tools".to_owned(), Value::Object(common.collect()));
    }
    kinds.into_iter().map(|kind| Difference { path: "tools".to_owned(), kind }).collect()
}

/// The first of some names, as JSON, and the number of the others.
fn listed(names: &[&&str]) -> String {
    let shown = json!(&names[..names.len().min(MAX_NAMES)]);
    match names.len().saturating_sub(MAX_NAMES) {
        0 => shown.to_string(),
        more => format!("{shown} and {more} more"),
    }
}

/// The parts to ignore so that two documents of requests are equal; empty if that is not enough, or not needed.
pub(super) fn ignorable(left: &Value, right: &Value) -> Vec<IgnoredPart> {
    let names = |document: &Value| {
        document.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    let mut parts = Vec::new();
    for name in names(left).into_iter().chain(names(right)) {
        if left.get(&name) == right.get(&name) || name == "anthropic-beta" {
            continue;
        }
        match IgnoredPart::of(&name) {
            Some(part) if parts.contains(&part) => {}
            Some(part) => parts.push(part),
            None => return Vec::new(),
        }
    }
    parts
}
