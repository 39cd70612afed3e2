//! The bound on the write-ahead log (WAL). SQLite cannot empty it while another process reads an older state of the
//! ledger, and a transaction that somebody left open would let it grow until the disk is full.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytesize::ByteSize;

use super::{error::WriteError, sqlite, write::WriteConnection};

/// Growth after which the log is emptied, which waits for readers. SQLite itself empties a log of 4 MiB, if nobody reads.
const STEP: u64 = 16 << 20;
/// The share of `--max-size` that the log may take, and the least and the most that it is given.
const SHARE: u64 = 4;
const LEAST: u64 = 64 << 20;
const MOST: u64 = 1 << 30;

/// The write-ahead log of a ledger that this process owns. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Wal {
    /// The log, and the index that readers lock; `None`: the ledger is in memory.
    paths: Option<[PathBuf; 2]>,
    limit: u64,
    /// Size from which on the log is to be emptied.
    next: Arc<AtomicU64>,
}

/// The limit of the log of a ledger whose size is limited to this.
pub(super) fn limit(max_bytes: Option<u64>) -> u64 {
    max_bytes.map_or(MOST, |most| (most / SHARE).clamp(LEAST, MOST))
}

impl Wal {
    pub(super) fn of(ledger: Option<&Path>, limit: u64) -> Self {
        let paths = ledger.map(sqlite::beside);
        Self { paths, limit, next: Arc::new(AtomicU64::new(STEP.min(limit))) }
    }

    /// The size in bytes.
    pub(super) fn bytes(&self) -> u64 {
        let log = self.paths.as_ref().and_then(|[log, _]| fs::metadata(log).ok());
        log.map_or(0, |log| log.len())
    }

    /// True if nothing may be written before the log is emptied.
    pub(super) fn is_full(&self) -> bool {
        self.bytes() >= self.limit
    }

    /// Empties a log that has grown. Fails if it has reached its limit and cannot be emptied, and says who reads.
    pub(super) async fn make_room(&self, connection: &WriteConnection) -> Result<(), WriteError> {
        if self.bytes() < self.next.load(Relaxed) {
            return Ok(());
        }
        if connection.checkpoint().await? {
            self.next.store(STEP.min(self.limit), Relaxed);
            return Ok(());
        }
        let bytes = self.bytes();
        self.next.store((bytes + STEP).min(self.limit), Relaxed);
        if bytes < self.limit {
            return Ok(());
        }
        let readers = self.readers();
        Err(WriteError::Io(io::Error::other(format!(
            "the write-ahead log has reached its limit of {} and cannot be emptied while {readers} reads an older \
             state of the ledger; end that transaction",
            ByteSize(self.limit).display().iec()
        ))))
    }

    /// The processes that read, for people.
    fn readers(&self) -> String {
        let pids = self.paths.as_ref().map_or_else(Vec::new, |[_, index]| readers_of(index));
        let name = |pid: &u32| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            format!("process {pid} ({})", name.trim())
        };
        match &pids[..] {
            [] => "another process".to_owned(),
            pids => pids.iter().map(name).collect::<Vec<_>>().join(", "),
        }
    }
}

/// Other processes with a read lock on a WAL index: bytes 123 to 127 of it (<https://sqlite.org/walformat.html#locks>).
/// Empty where the kernel does not tell.
fn readers_of(index: &Path) -> Vec<u32> {
    use std::os::unix::fs::MetadataExt;
    let (Ok(index), Ok(locks)) = (fs::metadata(index), fs::read_to_string("/proc/locks")) else {
        return Vec::new();
    };
    let inode = format!(":{}", index.ino());
    let mut pids: Vec<u32> = locks
        .lines()
        .filter_map(|line| {
            // `1: POSIX ADVISORY READ 4711 08:01:131 124 124`
            let mut words = line.split_ascii_whitespace().skip(4);
            let (pid, file, from) = (words.next()?, words.next()?, words.next()?);
            let from: u64 = from.parse().ok()?;
            (file.ends_with(&inode) && (123..128).contains(&from)).then(|| pid.parse().ok())?
        })
        .filter(|pid| *pid != process::id())
        .collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}
