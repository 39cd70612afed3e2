//! The newest servable recordings in memory: a hit among them needs no query, and may come before the commit.
//!
//! Where other processes write to the ledger, too, what they have changed is taken out ([`Hot::withdraw`]), and the memory
//! is shut while nothing is heard of them.

use std::collections::{HashMap, VecDeque};

use super::record::Stored;
use crate::domain::{cache::CacheKey, exchange::ExchangeId};

/// Memory that an entry takes beside its recording, roughly, and that a segment takes beside its bytes.
const OVERHEAD: usize = 1536;
const OF_SEGMENT: usize = 192;

/// Largest difference in milliseconds by which answers that end at once may come in another order. One that is later by
/// more has the time of a clock that was set back since.
const DISORDER: i64 = 60_000;

/// Number of withdrawn keys that are remembered: an answer that was read before its key was withdrawn is not taken in.
const WITHDRAWN: usize = 1024;

/// Recordings by key: first in, first out, limited by bytes.
#[derive(Debug)]
pub(super) struct Hot {
    limit: usize,
    bytes: usize,
    by_key: HashMap<CacheKey, Stored>,
    order: VecDeque<(CacheKey, ExchangeId, usize)>,
    /// Counts the changes from outside: clearings and withdrawn keys.
    epoch: Epoch,
    /// The oldest epoch from which an answer is taken in.
    first: Epoch,
    /// The last withdrawn keys, and the epochs that began with them.
    withdrawn: VecDeque<(CacheKey, Epoch)>,
    /// Set while nothing is taken in.
    is_shut: bool,
}

/// The time between two changes from outside. An answer that was sealed or read in an earlier epoch may have been cleared
/// or replaced since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Epoch(u64);

impl Hot {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            bytes: 0,
            by_key: HashMap::new(),
            order: VecDeque::new(),
            epoch: Epoch(0),
            first: Epoch(0),
            withdrawn: VecDeque::new(),
            is_shut: false,
        }
    }

    /// The current epoch, to be read before a sealing is written.
    pub(super) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Removes all answers and begins a new epoch.
    pub(super) fn forget(&mut self) {
        let epoch = Epoch(self.epoch.0 + 1);
        *self = Self { epoch, first: epoch, is_shut: self.is_shut, ..Self::new(self.limit) };
    }

    /// Removes all answers, and takes none in until [`Hot::open`].
    pub(super) fn shut(&mut self) {
        self.is_shut = true;
        self.forget();
    }

    /// Takes answers in from now on.
    pub(super) fn open(&mut self) {
        self.is_shut = false;
        self.forget();
    }

    /// Removes the answer to a key, because another process has written a newer one.
    pub(super) fn withdraw(&mut self, key: CacheKey) {
        self.epoch.0 += 1;
        self.by_key.remove(&key);
        self.withdrawn.push_back((key, self.epoch));
        if self.withdrawn.len() > WITHDRAWN
            && let Some((_, epoch)) = self.withdrawn.pop_front()
        {
            self.first = epoch;
        }
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
        let is_withdrawn = |(other, at): &(CacheKey, Epoch)| *at > epoch && *other == key;
        if self.is_shut || epoch < self.first || self.withdrawn.iter().any(is_withdrawn) {
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
    fn what_another_process_has_replaced_is_not_served() {
        let key = |n: u64| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&n.to_le_bytes());
            CacheKey::from_bytes(bytes)
        };
        let mut hot = Hot::new(OVERHEAD * 8);
        let before = hot.epoch();
        hot.insert(before, key(1), stored(1, 10));
        hot.withdraw(key(1));
        assert!(hot.get(&key(1)).is_none());
        hot.insert_read(before, key(1), stored(1, 10));
        assert!(hot.get(&key(1)).is_none(), "read before it was replaced");
        hot.insert_read(before, key(2), stored(2, 10));
        assert!(hot.get(&key(2)).is_some(), "another key");
        hot.insert_read(hot.epoch(), key(1), stored(3, 20));
        assert!(hot.get(&key(1)).is_some());
        (0..=WITHDRAWN as u64).for_each(|n| hot.withdraw(key(10 + n)));
        hot.insert_read(before, key(4), stored(4, 10));
        assert!(hot.get(&key(4)).is_none(), "whether it was replaced is forgotten");
        hot.shut();
        hot.insert(hot.epoch(), key(5), stored(5, 10));
        assert!(hot.get(&key(5)).is_none());
        hot.open();
        hot.insert(hot.epoch(), key(5), stored(5, 10));
        assert!(hot.get(&key(5)).is_some());
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
