//! Earlier answers, recalled from the ledger because a request names them (design §8).

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use super::Answers;
use crate::domain::{
    anthropic,
    exchange::AnswerRef,
    openai,
    translate::{self, Original, Originals},
};

/// How many bytes of recordings are remembered as what they were read as. A long loop of tools names all its answers in
/// every round.
const MOST_BYTES: usize = 16 << 20;
/// What an answer takes beside its recording, roughly.
const OVERHEAD: usize = 1024;

/// Answers that were recalled before. First in, first out.
#[derive(Debug, Default)]
pub(super) struct Recalled(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    bytes: usize,
    by_ref: HashMap<(String, AnswerRef), Arc<Original>>,
    order: VecDeque<((String, AnswerRef), usize)>,
}

impl Recalled {
    fn get(&self, name: &(String, AnswerRef)) -> Option<Arc<Original>> {
        let remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.by_ref.get(name).map(Arc::clone)
    }

    fn insert(&self, name: (String, AnswerRef), original: Arc<Original>, size: usize) {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Remembered { bytes, by_ref, order } = &mut *remembered;
        if size > MOST_BYTES || by_ref.insert(name.clone(), original).is_some() {
            return;
        }
        *bytes += size;
        order.push_back((name, size));
        while *bytes > MOST_BYTES {
            let Some((oldest, size)) = order.pop_front() else { break };
            *bytes -= size;
            by_ref.remove(&oldest);
        }
    }
}

impl Answers {
    /// The answers that a request's history names, within the scope in which they were given. A ledger that cannot be
    /// read is no reason not to answer: the history is then sent as the client tells it.
    pub(super) async fn originals(&self, request: &openai::Request, scope: &str) -> Originals {
        let mut originals = Originals::new();
        let mut unknown = Vec::new();
        for name in translate::refs(request) {
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
        let found = match self.ledger.reader().answers(scope, &unknown).await {
            Ok(found) => found,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "cannot look into the ledger for earlier answers");
                return originals;
            }
        };
        for (name, recording) in found {
            match anthropic::fold(&recording) {
                Ok(anthropic::Message { model, content, .. }) => {
                    let original = Arc::new(Original { model, blocks: content });
                    let size = recording.len() + OVERHEAD;
                    self.recalled.insert(
                        (scope.to_owned(), name.clone()),
                        Arc::clone(&original),
                        size,
                    );
                    originals.insert(name, original);
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "an earlier answer cannot be read");
                }
            }
        }
        originals
    }
}
