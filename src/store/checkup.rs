//! Checks for the operator: the ledger's files, its tables, and the ids that clients give. Changes nothing.

use std::{
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{
    Error, Reader, RetentionNote,
    columns::count,
    connection::Connection,
    database::Database,
    query::query_as,
    sqlite::{self, Newest},
};
use crate::domain::exchange::UnixMillis;

/// A ledger's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The path of the database, as the operator names it.
    pub path: PathBuf,
    /// The database itself, where the path is a symbolic link.
    pub target: Option<PathBuf>,
    /// Size of the database in bytes; `None`: there is no file.
    pub bytes: Option<u64>,
    /// Number of other names of the database (hard links).
    pub other_names: u64,
    /// Size of the write-ahead log in bytes.
    pub wal_bytes: u64,
    /// Those that other users may read or write: the database, its log, the index of the log, the lock.
    pub open_to_others: Vec<PathBuf>,
}

/// Counts of the calls of Open WebUI by the ids that they gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ids {
    /// All calls.
    pub calls: u64,
    /// Calls with a chat.
    pub with_chat: u64,
    /// Calls with a message, or with a task, which belongs to none.
    pub with_message: u64,
    /// Calls with a user.
    pub with_user: u64,
    /// Background calls.
    pub tasks: u64,
}

/// The file of the ledger at `url`, as the operator names it; `None`: it is in memory, or the URL names none.
pub fn file(url: &str) -> Option<PathBuf> {
    Database::parse(url).ok()?.path().map(ToOwned::to_owned)
}

/// The database server and the schema of the ledger at `url`, without credentials; `None`: it is in no server.
pub fn server(url: &str) -> Option<String> {
    Database::parse(url).ok()?.server()
}

/// The files of the ledger at `url`; `None`: it is in memory. Fails where something else is at its path.
pub async fn files(url: &str) -> Result<Option<Files>, Error> {
    let database = Database::parse(url)?;
    let (Some(path), Some((real, _))) = (database.path(), database.found().await?) else {
        return Ok(None);
    };
    let file = fs::metadata(&real).ok();
    let [wal, index] = sqlite::beside(&real);
    let wal_bytes = fs::metadata(&wal).map_or(0, |wal| wal.len());
    let lock = sqlite::with_end(&real, ".lock");
    let all = [real.clone(), wal, index, lock].into_iter();
    let is_open = |path: &PathBuf| fs::metadata(path).is_ok_and(|file| is_open_to_others(&file));
    Ok(Some(Files {
        path: path.to_owned(),
        target: (real != path).then_some(real),
        bytes: file.as_ref().map(Metadata::len),
        other_names: file.as_ref().map_or(0, |file| file.nlink().saturating_sub(1)),
        wal_bytes,
        open_to_others: all.filter(is_open).collect(),
    }))
}

/// The retention that a server of the ledger at `url` applied last, as far as is noted.
pub async fn retention_note(url: &str) -> Result<RetentionNote, Error> {
    let database = Database::parse(url)?;
    database.found().await?;
    Ok(database.note_place().map(|path| RetentionNote::beside(&path)).unwrap_or_default())
}

/// Tells whether other users may read or write a file.
pub fn is_open_to_others(file: &Metadata) -> bool {
    file.mode() & 0o077 != 0
}

/// Tells whether other users may exchange files in a folder. In a folder such as /tmp they may not.
pub fn is_exposed_folder(folder: &Path) -> bool {
    const WRITABLE: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    fs::metadata(folder).is_ok_and(|it| it.mode() & WRITABLE != 0 && it.mode() & STICKY == 0)
}

impl Reader {
    /// Errors that SQLite finds in the file, which is read whole; empty if there are none.
    pub async fn damage(&self) -> Result<Vec<String>, Error> {
        match &mut self.pool().acquire().await? {
            Connection::Sqlite(conn) => Ok(sqlite::quick_check(conn.get()).await?),
            Connection::Postgres(_) => Ok(Vec::new()),
        }
    }

    /// Tells whether rows are missing that were committed to the ledger at `url`, as far as is noted beside it.
    pub async fn lacks_newest(&self, url: &str) -> Result<bool, Error> {
        let Some((path, _)) = Database::parse(url)?.found().await? else { return Ok(false) };
        // Before the rows are looked for: a server may write meanwhile.
        let newest = Newest::beside(&path);
        let mut conn = self.pool().acquire().await?;
        match &mut conn {
            Connection::Sqlite(conn) => Ok(!newest.are_in(conn.get()).await?),
            Connection::Postgres(_) => Ok(false),
        }
    }

    /// Counts Open WebUI's calls since a moment by the ids that they gave.
    pub async fn ids(&self, since: UnixMillis) -> Result<Ids, Error> {
        const SQL: &str = "select count(*), count(chat_id), count(coalesce(message_id, task)), count(user_id), \
             count(task) from call where at >= $1 and client = 'open-webui'";
        let counts: (i64, i64, i64, i64, i64) =
            query_as(SQL).bind(since).fetch_one(&self.pool()).await?;
        let (calls, with_chat, with_message, with_user, tasks) = counts;
        Ok(Ids {
            calls: count(calls),
            with_chat: count(with_chat),
            with_message: count(with_message),
            with_user: count(with_user),
            tasks: count(tasks),
        })
    }
}
