//! The locks of the process that writes, and the note of its holder.
//!
//! The database itself is locked, so that no other name of it lets a second writer in. This lock (`flock`) is apart from
//! those of SQLite (`fcntl`), but closing a descriptor of the database would drop SQLite's: the lock is taken before
//! SQLite opens the file, and released after it has closed it. The file `.lock` beside it is locked, too, as versions
//! do that lock nothing else, and has the note.
//!
//! The note names the holder for people and commands, and the newest rows that were committed. After each commit it is
//! written again, and never synced: it survives the end of the process. A ledger without these rows has lost its
//! write-ahead log.

use std::{
    fmt::Write as _,
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::FileExt,
    path::Path,
    process,
    sync::Arc,
};

use sqlx::SqliteConnection;
use tracing::{debug, warn};

use super::place;
use crate::{
    domain::exchange::{CallId, ExchangeId, OwnerId},
    store::Error,
};

/// Length of the note: always the same, so that one write replaces it.
pub(super) const NOTE: usize = 256;
/// The beginning of every note.
const HOLDER: &str = "process ";

/// The newest rows that are committed; `None`: there is none, or it may have been pruned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::store) struct Newest {
    pub(in crate::store) exchange: Option<ExchangeId>,
    pub(in crate::store) call: Option<CallId>,
}

impl Newest {
    /// Reads the note beside the ledger at a real path; without one, nothing is known.
    pub(in crate::store) fn beside(path: &Path) -> Self {
        let note = place::with_end(path, ".lock");
        let is_regular = fs::symlink_metadata(&note).is_ok_and(|note| note.is_file());
        let text = is_regular.then(|| File::open(&note).and_then(|note| read(&note)));
        text.and_then(Result::ok).map_or_else(Self::default, |text| parse(&text))
    }

    /// Tells whether a ledger has these rows.
    pub(in crate::store) async fn are_in(
        self,
        conn: &mut SqliteConnection,
    ) -> Result<bool, sqlx::Error> {
        const SQL: &str = "select ($1 is null or exists (select 1 from exchange where id = $1) \
             or exists (select 1 from running where exchange = $1)) \
             and ($2 is null or exists (select 1 from call where id = $2))";
        let Self { exchange, call } = self;
        let [exchange, call] = [exchange.map(|id| id.to_string()), call.map(|id| id.to_string())];
        sqlx::query_scalar(SQL).bind(exchange).bind(call).fetch_one(conn).await
    }
}

/// The locks of a ledger, held until this is dropped, or the process dies.
#[derive(Debug)]
pub(in crate::store) struct Lock {
    note: File,
    database: Arc<File>,
    owner: OwnerId,
    newest: Newest,
}

impl Lock {
    /// Takes the locks of the ledger at a real path, which is created where it is missing.
    pub(super) fn take(path: &Path, owner: OwnerId) -> Result<Self, Error> {
        let beside = place::with_end(path, ".lock");
        let failed = |source| Error::Lock { path: beside.clone(), source };
        if let Some(kind) = fs::symlink_metadata(&beside).ok().as_ref().and_then(place::irregular) {
            return Err(Error::Beside { path: beside, kind });
        }
        let note = place::open(&beside).map_err(failed)?;
        let text = read(&note).map_err(failed)?;
        if !text.is_empty() && !text.starts_with(HOLDER) {
            return Err(Error::NotALock { path: beside });
        }
        lock(&note, path, &text)?;
        let created = |source| Error::Create { path: path.to_owned(), source };
        let database = place::open(path).map_err(created)?;
        // Where both kinds of locks exclude each other, this one would lock SQLite out.
        if cfg!(target_os = "linux") {
            // The note is not that of the holder, or it would hold the other lock.
            lock(&database, path, "")?;
        }
        place::make_private(&note).map_err(failed)?;
        let lock = Self { note, database: Arc::new(database), owner, newest: parse(&text) };
        lock.write().map_err(failed)?;
        Ok(lock)
    }

    /// The locked database.
    pub(super) fn database(&self) -> &Arc<File> {
        &self.database
    }

    /// Warns if the ledger lacks the rows that were committed last. `wal` is its write-ahead log as it was found.
    pub(super) async fn check_newest(
        &mut self,
        conn: &mut SqliteConnection,
        wal: &Path,
        wal_bytes: Option<u64>,
    ) -> Result<(), sqlx::Error> {
        if self.newest.are_in(conn).await? {
            return Ok(());
        }
        self.forget();
        let wal = wal.display();
        match wal_bytes {
            None => warn!(
                %wal,
                "the write-ahead log of the ledger is missing, and so are the newest rows; what was committed since \
                 the last checkpoint is gone"
            ),
            Some(bytes) => warn!(
                %wal,
                bytes,
                "the newest rows are not in the ledger: its write-ahead log was cut or exchanged, or the ledger is an \
                 older copy; what was committed since is gone"
            ),
        }
        Ok(())
    }

    /// Notes the newest rows, of which `None` are as before.
    pub(in crate::store) fn note(&mut self, newest: Newest) {
        let Newest { exchange, call } = self.newest;
        self.newest = Newest { exchange: newest.exchange.or(exchange), call: newest.call.or(call) };
        self.rewrite();
    }

    /// Notes that any row may be gone by right.
    pub(in crate::store) fn forget(&mut self) {
        self.newest = Newest::default();
        self.rewrite();
    }

    fn rewrite(&self) {
        // A note that is missing or old only finds less.
        if let Err(error) = self.write() {
            debug!(%error, "the note of the newest rows cannot be written");
        }
    }

    fn write(&self) -> io::Result<()> {
        let mut text = format!("{HOLDER}{} (owner {})\n", process::id(), self.owner);
        let id = |id: Option<String>| id.unwrap_or_else(|| "-".to_owned());
        let exchange = id(self.newest.exchange.map(|id| id.to_string()));
        let call = id(self.newest.call.map(|id| id.to_string()));
        // A string takes everything.
        let _ = write!(text, "newest {exchange} {call}");
        self.note.write_all_at(format!("{text:<width$}\n", width = NOTE - 1).as_bytes(), 0)
    }
}

/// Reads a note, or the beginning of another file.
fn read(file: &File) -> io::Result<String> {
    let mut bytes = [0; NOTE];
    let read = file.read_at(&mut bytes, 0)?;
    Ok(String::from_utf8_lossy(&bytes[..read]).into_owned())
}

/// The newest rows that a note names. A note of an earlier version names none.
fn parse(note: &str) -> Newest {
    let Some(line) = note.lines().find_map(|line| line.strip_prefix("newest ")) else {
        return Newest::default();
    };
    let (exchange, call) = line.split_once(' ').unwrap_or((line, ""));
    Newest { exchange: exchange.parse().ok(), call: call.trim().parse().ok() }
}

/// Locks a file of the ledger at `path`, whose note is known.
fn lock(file: &File, path: &Path, note: &str) -> Result<(), Error> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let holder = note.lines().next().filter(|line| !line.is_empty());
            let owner = holder.and_then(|holder| holder.split_once("owner "));
            let owner = owner.and_then(|(_, owner)| owner.trim_end_matches(')').parse().ok());
            // The owner's id admits an operator: it is not for messages.
            let holder = holder.and_then(|holder| holder.split(" (owner").next());
            let holder = holder.unwrap_or("another process").to_owned();
            Err(Error::InUse { path: path.to_owned(), holder, owner })
        }
        Err(TryLockError::Error(source)) => Err(Error::NoLocks { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_note_says_who_holds_the_ledger_and_what_is_newest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let owner = OwnerId::new(Uuid::from_u128(7));
        let mut lock = Lock::take(&path, owner).unwrap();
        let holder = match Lock::take(&path, owner) {
            Err(Error::InUse { holder, owner: Some(held), .. }) if held == owner => holder,
            other => panic!("{other:?}"),
        };
        assert_eq!(holder, format!("process {}", process::id()));
        let exchange = ExchangeId::new(Uuid::from_u128(8));
        let call = CallId::new(Uuid::from_u128(9));
        lock.note(Newest { exchange: Some(exchange), call: None });
        lock.note(Newest { exchange: None, call: Some(call) });
        let newest = Newest { exchange: Some(exchange), call: Some(call) };
        assert_eq!(parse(&read(&lock.note).unwrap()), newest);
        drop(lock);
        let mut lock = Lock::take(&path, owner).unwrap();
        assert_eq!(lock.newest, newest, "the next process knows it");
        lock.forget();
        assert_eq!(parse(&read(&lock.note).unwrap()), Newest::default());
        assert_eq!(lock.note.metadata().unwrap().len(), NOTE as u64);
        let before = "process 1 (owner 00000000-0000-0000-0000-000000000007)\n";
        assert_eq!(parse(before), Newest::default());
    }
}
