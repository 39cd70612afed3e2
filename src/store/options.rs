//! The options of a ledger.

use std::time::Duration;

use super::{Durability, wal};

/// Place and behavior of a ledger.
#[derive(Clone)]
pub struct Options {
    /// `sqlite://path`, `sqlite:path`, `sqlite::memory:` or `postgres://…`.
    pub url: String,
    /// Failures that a sealed exchange survives.
    pub durability: Durability,
    /// Time that an answer waits for a commit.
    pub wait: Duration,
    /// Bytes that may be queued before bodies are dropped.
    pub queue_bytes: usize,
    /// Bytes of the newest recordings that stay in memory.
    pub hot_bytes: usize,
    /// Bytes that the write-ahead log may have. At the limit rows wait, as if the disk were full.
    pub wal_bytes: u64,
}

impl Options {
    /// The defaults for a ledger at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            durability: Durability::Full,
            wait: Duration::from_secs(1),
            queue_bytes: 64 << 20,
            hot_bytes: 8 << 20,
            wal_bytes: wal::limit(None),
        }
    }

    /// The same for a ledger whose size is limited to this, its write-ahead log included.
    #[must_use]
    pub fn within(self, max_bytes: Option<u64>) -> Self {
        Self { wal_bytes: wal::limit(max_bytes), ..self }
    }
}
