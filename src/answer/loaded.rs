//! Recordings of the ledger that are read now: many readers of one answer share its bytes, however slow they are.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;

use crate::{
    domain::exchange::ExchangeId,
    store::{Stored, StoredRecording},
};

/// Number of entries from which on those without a reader are removed.
const FIRST_CLEANING: usize = 64;

/// Recordings by exchange, as long as anyone reads them.
#[derive(Debug, Default)]
pub(super) struct Loaded(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    recordings: HashMap<ExchangeId, Weak<StoredRecording>>,
    /// Number of entries that were left by the last cleaning.
    left: usize,
}

impl Loaded {
    /// The same answer, with the recording that others read already.
    pub(super) fn share(&self, stored: Stored) -> Stored {
        let mut state = self.0.lock();
        let known = state.recordings.get(&stored.exchange);
        if let Some(recording) = known.and_then(Weak::upgrade) {
            return Stored { recording, ..stored };
        }
        // Twice as many as are read, so that the cleaning costs no more than the entries.
        if state.recordings.len() >= FIRST_CLEANING.max(2 * state.left) {
            state.recordings.retain(|_, recording| recording.strong_count() > 0);
            state.left = state.recordings.len();
        }
        state.recordings.insert(stored.exchange, Arc::downgrade(&stored.recording));
        stored
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::exchange::{Cost, Tokens, UnixMillis};

    fn stored(n: usize) -> Stored {
        Stored {
            exchange: ExchangeId::new(Uuid::from_u128(n as u128)),
            recording: Arc::default(),
            model_asked: "m".to_owned(),
            model_served: "m".to_owned(),
            stop_reason: None,
            tokens: Tokens::default(),
            cost: Cost::Unpriced,
            bill: None,
            requester: None,
            is_only: true,
            ended_at: UnixMillis(0),
        }
    }

    #[test]
    fn readers_share_a_recording_and_what_nobody_reads_is_forgotten() {
        let loaded = Loaded::default();
        let first = loaded.share(stored(0));
        let second = loaded.share(stored(0));
        assert!(Arc::ptr_eq(&first.recording, &second.recording));
        for n in 1..FIRST_CLEANING * 100 {
            drop(loaded.share(stored(n)));
        }
        assert!(loaded.0.lock().recordings.len() <= FIRST_CLEANING);
        let third = loaded.share(stored(0));
        assert!(Arc::ptr_eq(&first.recording, &third.recording), "it is still read");
    }
}
