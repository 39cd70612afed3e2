//! Quirks: remedies, and the requests that need them again.

use std::collections::HashMap;

use serde::Serialize;

use super::remedy::Remedy;
use crate::domain::{
    anthropic::{Format, Request, Tool},
    chain::Hash,
    translate::note::Note,
};

/// A remedy and the requests that it is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quirk {
    /// The remedy.
    pub remedy: Remedy,
    /// The part of a request by which other requests that need the remedy are recognized.
    pub subject: Subject,
}

/// The part of a request that a refusal concerns. Hashes are of the request as translated, before any remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Nothing that another request would have.
    Request,
    /// The model, whatever it is asked.
    Model,
    /// A list of tools.
    Tools(Hash),
    /// One tool, in any list.
    Tool(Hash),
    /// The format of the answer.
    Format(Hash),
}

/// The hashes of a request's parts that [`Subject`]s name.
#[derive(Debug)]
pub(super) struct Parts {
    /// Hashes of the single tools, in their order.
    pub(super) each_tool: Vec<Hash>,
    /// Hash of all tools.
    pub(super) tools: Hash,
    /// Hash of the format.
    pub(super) format: Option<Hash>,
}

impl Parts {
    pub(super) fn of(translated: &Request) -> Self {
        let Request { tools, output_config, .. } = translated;
        let each_tool: Vec<Hash> = tools.iter().map(|tool| hash("tool", tool)).collect();
        let all: Vec<&[u8]> = each_tool.iter().map(|hash| &hash.as_bytes()[..]).collect();
        let format = output_config.format.as_ref();
        Self {
            tools: Hash::of("tools", &all),
            format: format.map(|Format::JsonSchema { schema }| hash("format", schema)),
            each_tool,
        }
    }
}

fn hash<T: Serialize>(domain: &str, part: &T) -> Hash {
    // Our own types are always JSON; the hash of nothing would only be a quirk that nobody has.
    Hash::of(domain, &[&serde_json::to_vec(part).unwrap_or_default()])
}

impl Quirk {
    /// Applies the remedy, if the request has the subject. `parts` are those of the request as translated.
    pub(super) fn apply(self, request: &mut Request, parts: &Parts) {
        match self.subject {
            Subject::Request | Subject::Model => self.remedy.apply(request),
            Subject::Tools(tools) if tools == parts.tools => self.remedy.apply(request),
            Subject::Format(format) if Some(format) == parts.format => self.remedy.apply(request),
            Subject::Tools(_) | Subject::Format(_) => {}
            // No remedy changes the number of the tools.
            Subject::Tool(tool) => {
                let places = parts.each_tool.iter().zip(&mut request.tools);
                for (_, place) in places.filter(|(hash, _)| **hash == tool) {
                    if let Tool::Client(tool) = place {
                        self.remedy.apply_to_tool(tool);
                    }
                }
            }
        }
    }

    /// True if the subject is not of another request.
    fn concerns(self, parts: &Parts) -> bool {
        match self.subject {
            Subject::Request | Subject::Model | Subject::Tool(_) => true,
            Subject::Tools(tools) => tools == parts.tools,
            Subject::Format(format) => Some(format) == parts.format,
        }
    }

    /// The note for the client.
    pub(super) fn note(self, request: &Request, parts: &Parts) -> Note {
        let tool = match self.subject {
            Subject::Tool(tool) => parts.each_tool.iter().position(|hash| *hash == tool),
            _ => None,
        };
        self.remedy.note(tool.and_then(|at| request.tools.get(at)).map(Tool::name))
    }
}

/// The request with all of these quirks, and notes about those that changed it; `None` if none did.
pub fn apply_quirks(translated: &Request, quirks: &[Quirk]) -> Option<(Request, Vec<Note>)> {
    let parts = Parts::of(translated);
    let mut changed: Option<Request> = None;
    let mut notes = Vec::new();
    // Many quirks may be known, of tools above all. Those of other tools cost a look-up, and those of a tool the
    // comparison of the tool.
    let mut tools: HashMap<Hash, Vec<usize>> = HashMap::new();
    for (at, hash) in parts.each_tool.iter().enumerate() {
        tools.entry(*hash).or_default().push(at);
    }
    for quirk in quirks {
        if let Subject::Tool(tool) = quirk.subject {
            let mut is_changed = false;
            for at in tools.get(&tool).into_iter().flatten() {
                let before = changed.as_ref().unwrap_or(translated).tools.get(*at);
                let Some(Tool::Client(before)) = before else { continue };
                let mut after = before.clone();
                quirk.remedy.apply_to_tool(&mut after);
                if after != *before {
                    is_changed = true;
                    changed.get_or_insert_with(|| translated.clone()).tools[*at] =
                        Tool::Client(after);
                }
            }
            notes.extend(is_changed.then(|| quirk.note(translated, &parts)));
            continue;
        }
        if !quirk.concerns(&parts) {
            continue;
        }
        let before = changed.as_ref().unwrap_or(translated);
        let mut after = before.clone();
        quirk.apply(&mut after, &parts);
        if after != *before {
            changed = Some(after);
            notes.push(quirk.note(translated, &parts));
        }
    }
    changed.map(|changed| (changed, notes))
}
