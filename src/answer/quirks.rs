//! Remedies that models needed since this process started, so that each refusal costs one request and not every one.

use std::collections::{BTreeSet, HashMap};

use parking_lot::Mutex;

use crate::domain::{
    anthropic,
    translate::{Note, Remedy},
};

/// Remedies for the requests to each model.
#[derive(Debug, Default)]
pub(super) struct ModelQuirks(Mutex<HashMap<String, BTreeSet<Remedy>>>);

/// Limit on remembered models, whose names come from clients.
const MAX_MODELS: usize = 256;

impl ModelQuirks {
    /// Remembers a remedy that made a model accept a request.
    pub(super) fn remember(&self, model: &str, remedy: Remedy) {
        let mut quirks = self.0.lock();
        if quirks.len() < MAX_MODELS || quirks.contains_key(model) {
            quirks.entry(model.to_owned()).or_default().insert(remedy);
        }
    }

    /// Applies the remedies for the request's model. Returns the changed request and its notes, or `None` if nothing
    /// changed.
    pub(super) fn apply(
        &self,
        request: &anthropic::Request,
    ) -> Option<(anthropic::Request, Vec<Note>)> {
        // A copy, so that the lock is not held while a long request is changed.
        let remedies = self.0.lock().get(&request.model).cloned()?;
        let mut changed = None;
        let mut notes = Vec::new();
        for remedy in remedies {
            let before = changed.as_ref().unwrap_or(request);
            let mut after = before.clone();
            remedy.apply(&mut after);
            if after != *before {
                changed = Some(after);
                notes.push(remedy.note());
            }
        }
        changed.map(|changed| (changed, notes))
    }
}
