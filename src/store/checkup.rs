//! Checks for the operator: the ledger's files, its tables, and the ids that clients give. Changes nothing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    Error, Reader,
    sqlite::{self, DatabaseFile},
};
use crate::domain::exchange::UnixMillis;

/// A ledger's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The path of the database.
    pub path: PathBuf,
    /// Size of the database in bytes; `None`: there is no file.
    pub bytes: Option<u64>,
    /// Size of the write-ahead log in bytes.
    pub wal_bytes: u64,
    /// True where other users may read or write the file.
    pub open_to_others: bool,
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

/// The files of the ledger at `url`; `None`: it is in memory.
pub fn files(url: &str) -> Result<Option<Files>, Error> {
    let database = DatabaseFile::parse(url)?;
    let Some(path) = database.path() else { return Ok(None) };
    let file = fs::metadata(path).ok();
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    Ok(Some(Files {
        path: path.to_owned(),
        bytes: file.as_ref().map(fs::Metadata::len),
        wal_bytes: fs::metadata(Path::new(&wal)).map_or(0, |wal| wal.len()),
        open_to_others: file.as_ref().is_some_and(is_open_to_others),
    }))
}

/// Tells whether other users may read or write a file.
pub fn is_open_to_others(file: &fs::Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.permissions().mode() & 0o077 != 0
    }
    #[cfg(not(unix))]
    false
}

impl Reader {
    /// Errors that SQLite finds in the file, which is read whole; empty if there are none.
    pub async fn damage(&self) -> Result<Vec<String>, Error> {
        Ok(sqlite::quick_check(&self.pool()).await?)
    }

    /// Counts Open WebUI's calls since a moment by the ids that they gave.
    pub async fn ids(&self, since: UnixMillis) -> Result<Ids, Error> {
        const SQL: &str = "select count(*), count(chat_id), count(coalesce(message_id, task)), count(user_id), \
             count(task) from call where at >= $1 and client = 'open-webui'";
        let counts: (i64, i64, i64, i64, i64) =
            sqlx::query_as(SQL).bind(since).fetch_one(&self.pool()).await?;
        let count = |count: i64| u64::try_from(count).unwrap_or(0);
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
