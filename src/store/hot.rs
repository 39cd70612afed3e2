//! The newest servable recordings in memory: a hit among them needs no query, and may come before the commit.

use std::collections::{HashMap, VecDeque};

use super::record::Stored;
use crate::domain::{cache::CacheKey, exchange::ExchangeId};

/// Memory that an entry takes beside its recording, roughly, and that a segment takes beside its bytes.
const OVERHEAD: usize = 1536;
const OF_SEGMENT: usize = 192;

/// Largest difference in milliseconds by which answers that end at once may come in another order. One that is later by
/// more has the time of a clock that was set back since.
const DISORDER: i64 = 60_000;

/// Recordings by key: first in, first out, limited by bytes.
#[derive(Debug)]
pub(super) struct Hot {
    limit: usize,
    bytes: usize,
    by_key: HashMap<CacheKey, Stored>,
    order: VecDeque<(CacheKey, ExchangeId, usize)>,
    /// Counts the clearings of this memory.
    epoch: Epoch,
}

/// The time between two clearings. An answer that was sealed in an earlier epoch may have been cleared since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Epoch(u64);

impl Hot {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, bytes: 0, by_key: HashMap::new(), order: VecDeque::new(), epoch: Epoch(0) }
    }

    /// The current epoch, to be read before a sealing is written.
    pub(super) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Removes all answers and begins a new epoch.
    pub(super) fn forget(&mut self) {
        *self = Self { epoch: Epoch(self.epoch.0 + 1), ..Self::new(self.limit) };
    }

    /// Keeps `stored`, which was sealed in `epoch`, unless a newer answer to the same key is here. An answer that is
    /// too large still removes an older one, which would no longer be the newest.
    pub(super) fn insert(&mut self, epoch: Epoch, key: CacheKey, stored: Stored) {
        if let Some(held) = self.by_key.get_mut(&key) {
            held.is_only = false;
        }
        let is_older = |held: &Stored| {
            (1..=DISORDER).contains(&(held.ended_at.0.saturating_sub(stored.ended_at.0)))
        };
        if !self.by_key.get(&key).is_some_and(is_older) {
            self.replace(epoch, key, stored);
        }
    }

    /// Keeps `stored`, which was read from the file in `epoch`, unless another answer to the same key is here: that was
    /// sealed meanwhile.
    pub(super) fn insert_read(&mut self, epoch: Epoch, key: CacheKey, stored: Stored) {
        if self.by_key.get(&key).is_none_or(|held| held.exchange == stored.exchange) {
            self.replace(epoch, key, stored);
        }
    }

    fn replace(&mut self, epoch: Epoch, key: CacheKey, stored: Stored) {
        if epoch != self.epoch {
            return;
        }
        let recording = stored.recording.recording();
        let size = recording.len() + OVERHEAD + OF_SEGMENT * recording.segments(0).len();
        if size > self.limit {
            self.by_key.remove(&key);
            return;
        }
        self.bytes += size;
        self.order.push_back((key, stored.exchange, size));
        self.by_key.insert(key, stored);
        while self.bytes > self.limit {
            let Some((key, exchange, size)) = self.order.pop_front() else { break };
            self.bytes -= size;
            if self.by_key.get(&key).is_some_and(|held| held.exchange == exchange) {
                self.by_key.remove(&key);
            }
        }
    }

    pub(super) fn get(&self, key: &CacheKey) -> Option<&Stored> {
        self.by_key.get(key)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::domain::exchange::{Cost, Tokens, UnixMillis};

    fn stored(n: u128, ended_at: i64) -> Stored {
        Stored {
            exchange: ExchangeId::new(Uuid::from_u128(n)),
            recording: Arc::default(),
            model_asked: "m".to_owned(),
            model_served: "m".to_owned(),
            stop_reason: None,
            tokens: Tokens::default(),
            cost: Cost::Unpriced,
            bill: None,
            ended_at: UnixMillis(ended_at),
            requester: None,
            is_only: true,
        }
    }

    #[test]
    fn the_oldest_leave_first_and_the_newest_of_a_key_stays() {
        let key = |n| CacheKey::from_bytes([n; 32]);
        let mut hot = Hot::new(OVERHEAD * 2);
        let now = hot.epoch();
        hot.insert(now, key(1), stored(1, 10));
        hot.insert(now, key(1), stored(2, 20));
        assert!(hot.get(&key(1)).unwrap().is_only, "as it was read");
        hot.insert(now, key(1), stored(3, 15));
        assert!(!hot.get(&key(1)).unwrap().is_only, "there is another");
        assert_eq!(hot.get(&key(1)).unwrap().exchange, stored(2, 0).exchange);
        hot.insert(now, key(2), stored(4, 30));
        assert!(hot.get(&key(1)).is_some(), "its first recording has left, the newer one stays");
        hot.insert(now, key(3), stored(5, 40));
        assert!(hot.get(&key(1)).is_none());
        assert!(hot.get(&key(2)).is_some() && hot.get(&key(3)).is_some());
        hot.forget();
        assert!(hot.get(&key(3)).is_none());
        hot.insert(now, key(3), stored(5, 40));
        assert!(hot.get(&key(3)).is_none(), "sealed before the clearing");
        hot.insert(hot.epoch(), key(3), stored(6, 50));
        assert!(hot.get(&key(3)).is_some());
    }

    #[test]
    fn an_answer_of_a_clock_that_was_ahead_gives_way() {
        let key = CacheKey::from_bytes([1; 32]);
        let mut hot = Hot::new(OVERHEAD * 8);
        let now = hot.epoch();
        hot.insert(now, key, stored(1, 9_000_000));
        hot.insert_read(now, key, stored(2, 10));
        assert_eq!(hot.get(&key).unwrap().exchange, stored(1, 0).exchange, "sealed since");
        hot.insert_read(now, key, stored(1, 20));
        assert_eq!(hot.get(&key).unwrap().ended_at, UnixMillis(20), "the same, by a better time");
        hot.insert(now, key, stored(3, 9_000_000));
        hot.insert(now, key, stored(4, 30));
        assert_eq!(hot.get(&key).unwrap().exchange, stored(4, 0).exchange);
    }
}
