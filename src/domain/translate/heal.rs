//! Healing: a request that upstream refused, without the part that the refusal names.
//!
//! The catalog knows what each model accepts, as of its date, and the translation knows the rules of schemas. A model or
//! an API that has become stricter must not cost the user an answer: the refused part is left out with a note, and
//! remembered while the process lives, for the requests that have the same part.

mod quirk;
mod refusal;
mod remedy;
mod tool;

use std::collections::HashSet;

use self::{
    quirk::Parts,
    refusal::{Refusal, Treatment},
};
pub use self::{
    quirk::{Quirk, Subject, apply_quirks},
    remedy::Remedy,
};
use super::note::Note;
use crate::domain::anthropic::{Request, Tool};

/// A request without the part that upstream refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Healed {
    /// Without what was refused.
    pub request: Request,
    /// The remedies that were applied.
    pub quirks: Vec<Quirk>,
    /// A note about each.
    pub notes: Vec<Note>,
}

/// Number of refused tools of one request from which on the others are taken to have the same fault: upstream names one
/// at a time, and a request is asked only a few times.
const MANY_TOOLS: usize = 2;

/// The request without what `refusal`, the message of a 400, names; `None` if it names nothing that can be left out.
/// `translated` is the request before any remedy.
pub fn heal(request: &Request, translated: &Request, refusal: &str) -> Option<Healed> {
    let refusal = Refusal::new(refusal);
    let parts = Parts::of(translated);
    // What has nothing to be done with it is not what was meant.
    refusal.treatments().find_map(|treatment| {
        let quirks = match treatment {
            Treatment::Request(remedy) => {
                vec![Quirk { remedy, subject: subject(remedy, &refusal, &parts) }]
            }
            Treatment::NamedTools(remedy) => {
                let named = refusal.named_tools().into_iter();
                named.filter_map(|at| tool_quirk(at, remedy, &parts)).collect()
            }
            Treatment::NamedSchemas => {
                weaker_schemas(request, translated, &refusal.named_tools(), &parts)
            }
        };
        let mut healed = request.clone();
        for quirk in &quirks {
            quirk.apply(&mut healed, &parts);
        }
        let notes = quirks.iter().map(|quirk| quirk.note(translated, &parts)).collect();
        (healed != *request).then_some(Healed { request: healed, quirks, notes })
    })
}

/// The requests that a remedy is good for.
fn subject(remedy: Remedy, refusal: &Refusal, parts: &Parts) -> Subject {
    match (remedy, parts.format) {
        (Remedy::Strict, _) => Subject::Tools(parts.tools),
        (Remedy::Format, Some(format)) => Subject::Format(format),
        (Remedy::MaxTokens(_), _) if !refusal.is_of_the_context() => Subject::Model,
        _ if remedy.can_last() && refusal.is_of_the_model() => Subject::Model,
        _ => Subject::Request,
    }
}

fn tool_quirk(at: usize, remedy: Remedy, parts: &Parts) -> Option<Quirk> {
    parts.each_tool.get(at).map(|hash| Quirk { remedy, subject: Subject::Tool(*hash) })
}

/// Simplifies the schemas of the tools that are `named` (all, if none is), or opens those that are simple already.
fn weaker_schemas(
    request: &Request,
    translated: &Request,
    named: &[usize],
    parts: &Parts,
) -> Vec<Quirk> {
    let schemas = |request: &Request, at: usize| match request.tools.get(at) {
        Some(Tool::Client(tool)) => Some(tool.input_schema.clone()),
        _ => None,
    };
    let weaker = |at: usize| match request.tools.get(at)? {
        Tool::Client(tool) => {
            let mut simple = tool.clone();
            Remedy::SimplifiedTool.apply_to_tool(&mut simple);
            Some(if simple == *tool { Remedy::OpenTool } else { Remedy::SimplifiedTool })
        }
        Tool::WebSearch(_) => None,
    };
    let all = 0..request.tools.len();
    let is_changed = |at: &usize| schemas(request, *at) != schemas(translated, *at);
    let named: HashSet<usize> = named.iter().copied().collect();
    let changed_before = all.clone().filter(|at| !named.contains(at) && is_changed(at)).count();
    let mut quirks: Vec<Quirk> = Vec::new();
    for at in all {
        let is_named = named.is_empty() || named.contains(&at);
        let remedy = match weaker(at) {
            Some(remedy) if is_named => remedy,
            Some(Remedy::SimplifiedTool) if changed_before >= MANY_TOOLS => Remedy::SimplifiedTool,
            _ => continue,
        };
        quirks.extend(tool_quirk(at, remedy, parts));
    }
    quirks
}

#[cfg(test)]
mod tests;
