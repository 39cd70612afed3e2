//! Earlier answers that a request names, recalled from the ledger (design §8).

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;

use super::Answers;
use crate::{
    domain::{
        anthropic,
        exchange::AnswerRef,
        recording::Recording,
        translate::{Original, Originals},
    },
    store,
};

/// The most bytes of recordings whose parsed form is remembered. A long tool loop names all its answers in every round.
const MOST_BYTES: usize = 16 << 20;
/// The rough size of a remembered answer without its recording.
const OVERHEAD: usize = 1024;

/// Answers that were recalled before, or have just been given. First in, first out.
#[derive(Debug, Default)]
pub(super) struct Recalled(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    bytes: usize,
    by_ref: HashMap<Name, (Arc<Original>, usize)>,
    order: VecDeque<Name>,
}

/// The scope of an answer, and a name of it.
type Name = (String, AnswerRef);

impl Recalled {
    fn get(&self, name: &Name) -> Option<Arc<Original>> {
        let remembered = self.0.lock();
        remembered.by_ref.get(name).map(|(original, _)| Arc::clone(original))
    }

    fn insert(&self, name: Name, original: Arc<Original>, size: usize) {
        let mut remembered = self.0.lock();
        let Remembered { bytes, by_ref, order } = &mut *remembered;
        if size > MOST_BYTES {
            return;
        }
        *bytes += size;
        match by_ref.insert(name.clone(), (original, size)) {
            Some((_, size)) => *bytes -= size,
            None => order.push_back(name),
        }
        while *bytes > MOST_BYTES {
            let Some(oldest) = order.pop_front() else { break };
            *bytes -= by_ref.remove(&oldest).map_or(0, |(_, size)| size);
        }
    }
}

impl Answers {
    /// The answers that a history names, within their scope. If the ledger cannot be read, there are none: the history is
    /// then sent as the client has it.
    pub(super) async fn originals(&self, names: Vec<AnswerRef>, scope: &str) -> Originals {
        let mut originals = Originals::new();
        if let Some(replay) = self.upstream.replay() {
            let found = names.into_iter().filter_map(|name| {
                replay
                    .originals()
                    .get_key_value(&name)
                    .map(|(name, original)| (name.clone(), Arc::clone(original)))
            });
            originals.extend(found);
            return originals;
        }
        let mut unknown = Vec::new();
        for name in names {
            let key = (scope.to_owned(), name);
            match self.recalled.get(&key) {
                Some(original) => {
                    originals.insert(key.1, original);
                }
                None => unknown.push(key.1),
            }
        }
        if unknown.is_empty() {
            return originals;
        }
        let found = match self.ledger.answers(scope, &unknown).await {
            Ok(found) => found,
            // It says so itself.
            Err(store::Error::NoAnswer) => return originals,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "cannot read earlier answers from the ledger");
                return originals;
            }
        };
        for (name, recording) in found {
            if let Some(original) = original(&recording) {
                let size = recording.len() + OVERHEAD;
                self.recalled.insert((scope.to_owned(), name.clone()), Arc::clone(&original), size);
                originals.insert(name, original);
            }
        }
        originals
    }

    /// Remembers an answer that has just been given, under every name that the next turn may call it by.
    pub(super) fn remember(&self, scope: &str, names: Vec<AnswerRef>, recording: &Recording) {
        if names.is_empty() || recording.len() > MOST_BYTES {
            return;
        }
        let Some(original) = original(recording) else { return };
        // The names share the answer, and are forgotten one by one.
        let size = recording.len() / names.len() + OVERHEAD;
        for name in names {
            self.recalled.insert((scope.to_owned(), name), Arc::clone(&original), size);
        }
    }
}

fn original(recording: &Recording) -> Option<Arc<Original>> {
    match anthropic::fold(recording) {
        Ok(anthropic::Message { model, content, .. }) => {
            Some(Arc::new(Original { model, blocks: content }))
        }
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "an earlier answer cannot be read");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(id: usize) -> Name {
        ("client 0".to_owned(), AnswerRef::call(&id.to_string()))
    }

    fn answer() -> Arc<Original> {
        Arc::new(Original { model: "claude".to_owned(), blocks: Vec::new() })
    }

    #[test]
    fn an_answer_that_is_remembered_again_counts_once_with_its_new_size() {
        let recalled = Recalled::default();
        recalled.insert(name(1), answer(), MOST_BYTES / 2);
        recalled.insert(name(1), answer(), MOST_BYTES);
        assert!(recalled.get(&name(1)).is_some());
        recalled.insert(name(2), answer(), 1);
        assert!(recalled.get(&name(1)).is_none() && recalled.get(&name(2)).is_some());
        assert_eq!(recalled.0.lock().bytes, 1);
    }
}
