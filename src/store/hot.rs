//! The newest servable recordings in memory: hot hits cost no query, and an answer can be repeated before its commit.

use std::collections::{HashMap, VecDeque};

use super::record::Stored;
use crate::domain::{cache::CacheKey, exchange::ExchangeId};

/// What an entry takes beside its bytes, roughly.
const OVERHEAD: usize = 512;

/// First in, first out, bounded by bytes.
#[derive(Debug)]
pub(super) struct Hot {
    limit: usize,
    bytes: usize,
    by_key: HashMap<CacheKey, Stored>,
    order: VecDeque<(CacheKey, ExchangeId, usize)>,
}

impl Hot {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, bytes: 0, by_key: HashMap::new(), order: VecDeque::new() }
    }

    /// Keeps `stored`, unless a newer answer to the same key is here. One that is too large still drives out an
    /// older one, which would no longer be the newest.
    pub(super) fn insert(&mut self, key: CacheKey, stored: Stored) {
        if self.by_key.get(&key).is_some_and(|held| held.ended_at > stored.ended_at) {
            return;
        }
        let size = stored.recording.len() + OVERHEAD;
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
    use crate::domain::{
        exchange::{Cost, Tokens, UnixMillis},
        recording::Recording,
    };

    fn stored(n: u128, ended_at: i64) -> Stored {
        Stored {
            exchange: ExchangeId::new(Uuid::from_u128(n)),
            recording: Arc::new(Recording::default()),
            model_served: "m".to_owned(),
            tokens: Tokens::default(),
            cost: Cost::Unpriced,
            ended_at: UnixMillis(ended_at),
            was_read: Arc::default(),
        }
    }

    #[test]
    fn the_oldest_leave_first_and_the_newest_of_a_key_stays() {
        let key = |n| CacheKey::from_bytes([n; 32]);
        let mut hot = Hot::new(OVERHEAD * 2);
        hot.insert(key(1), stored(1, 10));
        hot.insert(key(1), stored(2, 20));
        hot.insert(key(1), stored(3, 15));
        assert_eq!(hot.get(&key(1)).unwrap().exchange, stored(2, 0).exchange);
        hot.insert(key(2), stored(4, 30));
        assert!(hot.get(&key(1)).is_some(), "its first recording has left, the newer one stays");
        hot.insert(key(3), stored(5, 40));
        assert!(hot.get(&key(1)).is_none());
        assert!(hot.get(&key(2)).is_some() && hot.get(&key(3)).is_some());
    }
}
