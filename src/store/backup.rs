//! Backups of a ledger that may be in use: one file with all that was committed, and with what a start after a crash at
//! that moment would have brought in order.
//!
//! The copy is that of `vacuum into`, which reads one state of the ledger while others write. Calls that are answered and
//! not committed yet, and their exchanges, stand in the journal only. It is read before the copy is made: a line that leaves it meanwhile is
//! committed, and so in the copy. The copy then goes through the recovery of a start, so it needs no journal and nothing
//! in it is running. Rows that only the memory of a server has are not in it; a command has the server flush them before.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process,
    time::Duration,
};

use super::{
    Error,
    database::Database,
    journal::Left,
    recovery::{self, Recovered, Whose},
    sqlite::{self, DatabaseFile},
    write::WriteConnection,
};
use crate::domain::exchange::{OwnerId, UnixMillis};

/// Interval between two reports of the progress.
const INTERVAL: Duration = Duration::from_millis(200);

/// Time that the copy's own connection waits for locks, which nobody else takes.
const PATIENCE: Duration = Duration::from_secs(5);

/// A backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backup {
    /// Its size.
    pub bytes: u64,
    /// Calls that stood in the journal only.
    pub restored: usize,
    /// Exchanges that were running: in the backup they are lost.
    pub interrupted: usize,
}

/// A copy that is not whole yet. Dropped, it is removed.
struct Partial(PathBuf);

impl Partial {
    /// Creates an empty file beside `target`, which only its owner can read.
    fn create(target: &Path) -> io::Result<Self> {
        let name = target.file_name().ok_or(ErrorKind::InvalidInput)?;
        let name = format!(".{}.{}.partial", name.to_string_lossy(), process::id());
        let path = target.with_file_name(name);
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self(path))
    }

    /// Gives the file its name, unless there is one with it. It survives a power failure then.
    fn publish(self, target: &Path) -> io::Result<()> {
        File::open(&self.0)?.sync_all()?;
        // Unlike a rename, it replaces nothing.
        fs::hard_link(&self.0, target)?;
        drop(self);
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // There is no journal, unless a transaction was broken off.
        for path in [self.0.clone(), sqlite::with_end(&self.0, "-journal")] {
            let _ = fs::remove_file(path);
        }
    }
}

/// Copies the ledger at `url` into a new file. `watch` is told how many of all bytes are copied, about.
pub async fn run(
    url: &str,
    target: &Path,
    owner: OwnerId,
    now: UnixMillis,
    watch: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Backup, Error> {
    let exists = || Error::BackupExists { path: target.to_owned() };
    let failed = |source: io::Error| match source.kind() {
        ErrorKind::AlreadyExists => exists(),
        _ => Error::Backup { path: target.to_owned(), source },
    };
    let file = Database::in_file(url, "copy it with pg_dump, which may run beside a server")?;
    file.must_be_ledger().await?;
    if fs::symlink_metadata(target).is_ok() {
        return Err(exists());
    }
    let left = match file.journal() {
        Some(journal) => Left::read(&journal).map_err(|source| file.not_created(source))?,
        None => Left::default(),
    };
    let partial = Partial::create(target).map_err(failed)?;
    let pool = file.readers();
    let mut conn = pool.acquire().await.map_err(Error::Open)?;
    // One of another version can be copied, too, as long as there is nothing to bring in order.
    let schema = match sqlite::check(&mut conn).await {
        Err(error @ (Error::Older { .. } | Error::Newer { .. })) => Err(error),
        checked => Ok(checked?),
    };
    let used = sqlite::size(&mut conn).await?.used;
    {
        let mut copy = std::pin::pin!(sqlite::vacuum_into(&mut conn, &partial.0));
        loop {
            tokio::select! {
                copied = &mut copy => break copied?,
                () = tokio::time::sleep(INTERVAL) => {
                    watch(fs::metadata(&partial.0).map_or(0, |copy| copy.len()), used);
                }
            }
        }
    }
    drop(conn);
    pool.close().await;
    let copy = Database::Sqlite(DatabaseFile::at(&partial.0));
    let mut conn = copy.beside(PATIENCE).await.map_err(Error::Open)?;
    let running = recovery::count(&mut conn).await?;
    let mut recovered = Recovered::default();
    if running > 0 || !left.is_empty() {
        schema?;
        let mut writer = WriteConnection::open(&copy).await?;
        let whose = Whose::All;
        recovered =
            recovery::bring_in_order(&mut conn, &mut writer, left, owner, now, whose).await?;
        writer.close().await?;
    }
    conn.close().await.map_err(Error::Write)?;
    let bytes = fs::metadata(&partial.0).map_err(failed)?.len();
    partial.publish(target).map_err(failed)?;
    let Recovered { lost, exchanges, calls } = recovered;
    Ok(Backup { bytes, restored: exchanges + calls, interrupted: lost })
}
