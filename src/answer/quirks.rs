//! What models have refused while this process lives, so that each refusal costs one request and not every one.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
};

use crate::domain::{
    anthropic,
    translate::{Note, Remedy},
};

/// By model, what has to be done to its requests.
#[derive(Debug, Default)]
pub(super) struct ModelQuirks(Mutex<HashMap<String, BTreeSet<Remedy>>>);

/// So many models are remembered: their names come from clients.
const MOST_MODELS: usize = 256;

impl ModelQuirks {
    /// Remembers what made a model accept a request.
    pub(super) fn remember(&self, model: &str, remedy: Remedy) {
        let mut quirks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if quirks.len() < MOST_MODELS || quirks.contains_key(model) {
            quirks.entry(model.to_owned()).or_default().insert(remedy);
        }
    }

    /// The request as its model will accept it, with what was done to it; `None` if it is fine as it is.
    pub(super) fn apply(
        &self,
        request: &anthropic::Request,
    ) -> Option<(anthropic::Request, Vec<Note>)> {
        // A copy, so that nobody waits while a long request is changed.
        let remedies = self.of(&request.model)?;
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

    fn of(&self, model: &str) -> Option<BTreeSet<Remedy>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(model).cloned()
    }
}
