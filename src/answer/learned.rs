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
pub(super) struct Learned(Mutex<HashMap<String, BTreeSet<Remedy>>>);

/// So many models are remembered: their names come from clients.
const MOST_MODELS: usize = 256;

impl Learned {
    /// Remembers what made a model accept a request.
    pub(super) fn remember(&self, model: &str, remedy: Remedy) {
        let mut learned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if learned.len() < MOST_MODELS || learned.contains_key(model) {
            learned.entry(model.to_owned()).or_default().insert(remedy);
        }
    }

    /// The request as its model will accept it, with what was done to it; `None` if it is fine as it is.
    pub(super) fn apply(
        &self,
        request: &anthropic::Request,
    ) -> Option<(anthropic::Request, Vec<Note>)> {
        let learned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let remedies = learned.get(&request.model)?;
        let mut changed = request.clone();
        let mut notes = Vec::new();
        for remedy in remedies {
            let before = changed.clone();
            remedy.apply(&mut changed);
            if changed != before {
                notes.push(remedy.note());
            }
        }
        (!notes.is_empty()).then_some((changed, notes))
    }
}
