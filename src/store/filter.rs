//! A filter in memory before the table of answers: most questions are new, and one that nobody has asked before needs no
//! query.
//!
//! It is a Bloom filter over the keys that have a servable answer, read in the background when the first answer is sealed,
//! and again when it has grown full: a process that seals none reads nothing. It errs to one side only: a key that it does not hold has no answer in the file. Until it is read, it
//! holds every key.

use super::{connection::Pool, query::query_as};
use std::{mem, sync::Arc};

use futures_util::TryStreamExt;
use parking_lot::Mutex;
use tracing::debug;

use crate::domain::cache::CacheKey;

/// Bits for each key; with four bits set, one of 400 keys that are not there seems to be.
const BITS_PER_KEY: usize = 16;
/// Fewest keys that there is room for: 128 KiB.
const LEAST_KEYS: usize = 1 << 16;

/// The filter of a ledger that this process owns. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct KeyFilter(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// `None`: it is not read yet.
    bits: Option<Bits>,
    /// The keys that came since the last read began: a read may come before their commit.
    since: Vec<u64>,
    is_read_under_way: bool,
    /// Counts the files: what was read from the one before is not in the next.
    file: u64,
    /// Set while other processes may write keys that are not heard of.
    is_shut: bool,
}

impl KeyFilter {
    /// Returns `false` if no answer to `key` is in the file.
    pub(super) fn may_hold(&self, key: &CacheKey) -> bool {
        self.0.lock().bits.as_ref().is_none_or(|bits| bits.may_hold(key))
    }

    /// Adds a key, before its answer is committed, or when another process has committed it. Returns `true` if the filter must be read: it was not yet, or is full.
    #[must_use]
    pub(super) fn insert(&self, key: &CacheKey) -> bool {
        let mut state = self.0.lock();
        if state.is_shut {
            return false;
        }
        let print = fingerprint(key);
        state.since.push(print);
        let is_wanting = state.bits.as_mut().is_none_or(|bits| bits.insert(print));
        is_wanting && !mem::replace(&mut state.is_read_under_way, true)
    }

    /// Forgets all keys, because another file is read from now on.
    pub(super) fn forget(&self) {
        let mut state = self.0.lock();
        *state = State { file: state.file + 1, is_shut: state.is_shut, ..State::default() };
    }

    /// Holds every key until [`KeyFilter::open`].
    pub(super) fn shut(&self) {
        self.0.lock().is_shut = true;
        self.forget();
    }

    /// Is read again when the next key comes.
    pub(super) fn open(&self) {
        self.0.lock().is_shut = false;
        self.forget();
    }

    /// Reads the keys of the file, after [`KeyFilter::insert`] has asked for it. If it fails, the filter stays as it is.
    pub(super) async fn read(self, pool: Pool) {
        const KEYS: &str = "select key from exchange where servable";
        let (file, before) = {
            let state = self.0.lock();
            (state.file, state.since.len())
        };
        let mut keys: Vec<u64> = Vec::new();
        let read = async {
            let mut conn = pool.acquire().await?;
            let mut rows = query_as::<(CacheKey,)>(KEYS).fetch(&mut conn);
            while let Some((key,)) = rows.try_next().await? {
                keys.push(fingerprint(&key));
            }
            Ok::<_, sqlx::Error>(())
        };
        let read = read.await;
        let mut state = self.0.lock();
        if state.file != file || state.is_shut {
            return;
        }
        state.is_read_under_way = false;
        if let Err(error) = read {
            return debug!(%error, "the keys of the ledger cannot be read; every question is looked up");
        }
        keys.extend(&state.since);
        state.since.drain(..before);
        let mut bits = Bits::for_keys(keys.len());
        for print in keys {
            bits.insert(print);
        }
        state.bits = Some(bits);
    }
}

/// The part of a key that the filter looks at. A key is a hash already.
fn fingerprint(key: &CacheKey) -> u64 {
    let bytes = key.as_bytes().first_chunk().copied().unwrap_or_default();
    u64::from_le_bytes(bytes)
}

#[derive(Debug)]
struct Bits {
    words: Vec<u64>,
    keys: usize,
    room: usize,
}

impl Bits {
    /// Has room for twice as many keys.
    fn for_keys(keys: usize) -> Self {
        let room = (2 * keys).max(LEAST_KEYS).next_power_of_two();
        Self { words: vec![0; room * BITS_PER_KEY / 64], keys: 0, room }
    }

    /// The words and masks of the four bits of a key, from two hashes (Kirsch and Mitzenmacher, 2006).
    fn places(&self, print: u64) -> impl Iterator<Item = (usize, u64)> + use<> {
        let last = self.words.len() as u64 * 64 - 1;
        let (first, step) = (print, print.rotate_left(32) | 1);
        (0..4).map(move |n| {
            let bit = first.wrapping_add(step.wrapping_mul(n)) & last;
            (usize::try_from(bit / 64).unwrap_or(0), 1 << (bit % 64))
        })
    }

    fn may_hold(&self, key: &CacheKey) -> bool {
        self.places(fingerprint(key)).all(|(word, mask)| self.words[word] & mask != 0)
    }

    /// Returns `true` if there are more keys than there is room for.
    fn insert(&mut self, print: u64) -> bool {
        for (word, mask) in self.places(print) {
            self.words[word] |= mask;
        }
        self.keys += 1;
        self.keys > self.room
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::chain::Hash;

    fn key(n: usize) -> CacheKey {
        CacheKey::from_bytes(*Hash::of("key", &[&n.to_le_bytes()]).as_bytes())
    }

    #[test]
    fn every_key_is_held_and_few_others() {
        let mut bits = Bits::for_keys(40_000);
        let full = (0..bits.room).filter(|n| bits.insert(fingerprint(&key(*n)))).count();
        assert_eq!(full, 0);
        assert!(bits.insert(fingerprint(&key(bits.room))));
        assert!((0..=bits.room).all(|n| bits.may_hold(&key(n))));
        let others = (0..100_000).filter(|n| bits.may_hold(&key(1_000_000 + n))).count();
        assert!(others < 500, "{others} of 100,000");
    }

    #[tokio::test]
    async fn a_read_before_a_commit_keeps_the_key() {
        let pool = sqlx::SqlitePool::connect("sqlite::memory:").await.unwrap();
        let table = "create table exchange (key blob, servable bool)";
        sqlx::raw_sql(table).execute(&pool).await.unwrap();
        let pool = Pool::Sqlite(pool);
        let filter = KeyFilter::default();
        assert!(filter.insert(&key(1)) && !filter.insert(&key(2)));
        filter.clone().read(pool).await;
        assert!(filter.may_hold(&key(1)) && filter.may_hold(&key(2)));
        assert!(!filter.may_hold(&key(3)));
    }

    #[tokio::test]
    async fn a_filter_that_is_not_read_holds_every_key() {
        let filter = KeyFilter::default();
        assert!(filter.may_hold(&key(1)));
        assert!(filter.insert(&key(1)));
        assert!(!filter.insert(&key(2)), "the read is asked for once");
        assert!(filter.may_hold(&key(3)));
    }

    #[tokio::test]
    async fn a_filter_that_is_shut_holds_every_key() {
        let pool = sqlx::SqlitePool::connect("sqlite::memory:").await.unwrap();
        let table = "create table exchange (key blob, servable bool)";
        sqlx::raw_sql(table).execute(&pool).await.unwrap();
        let pool = Pool::Sqlite(pool);
        let filter = KeyFilter::default();
        assert!(filter.insert(&key(1)));
        filter.clone().read(pool.clone()).await;
        assert!(!filter.may_hold(&key(2)));
        filter.shut();
        assert!(filter.may_hold(&key(2)));
        assert!(!filter.insert(&key(2)), "no read is asked for");
        filter.clone().read(pool.clone()).await;
        filter.open();
        assert!(filter.may_hold(&key(2)), "what was read meanwhile does not count");
        assert!(filter.insert(&key(3)));
        filter.clone().read(pool).await;
        assert!(filter.may_hold(&key(3)) && !filter.may_hold(&key(2)));
    }
}
