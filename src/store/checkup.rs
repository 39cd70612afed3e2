//! How a ledger is, for whoever runs it: its file, its tables, and what clients say of themselves. Changes nothing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sqlx::Row;

use super::{Error, Reader, sqlite::Place};
use crate::domain::exchange::UnixMillis;

/// A ledger's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Where it is.
    pub path: PathBuf,
    /// Of the file, in bytes; `None`: there is none.
    pub bytes: Option<u64>,
    /// Of what is not in the file yet, in bytes.
    pub wal_bytes: u64,
    /// Whether others may read it.
    pub open_to_others: bool,
}

/// What the calls of Open WebUI said of themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ids {
    /// All its calls.
    pub calls: u64,
    /// Those that named a chat.
    pub with_chat: u64,
    /// Those that named a message, or a task, which belongs to none.
    pub with_message: u64,
    /// Those that named a user.
    pub with_user: u64,
    /// Its background calls.
    pub tasks: u64,
}

/// The files of the ledger at `url`; `None`: it is in memory.
pub fn files(url: &str) -> Result<Option<Files>, Error> {
    let place = Place::parse(url)?;
    let Some(path) = place.path() else { return Ok(None) };
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

/// Whether more than the owner may read or write a file.
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
    /// What SQLite finds wrong with the file; nothing, if all is well. Reads all of it.
    pub async fn damage(&self) -> Result<Vec<String>, Error> {
        let found: Vec<String> = sqlx::query_scalar("pragma quick_check(5)")
            .fetch_all(self.pool())
            .await
            .map_err(Error::Read)?;
        Ok(found.into_iter().filter(|line| line != "ok").collect())
    }

    /// What Open WebUI's calls since a moment said of themselves.
    pub async fn ids(&self, since: UnixMillis) -> Result<Ids, Error> {
        const SQL: &str = "select count(*), count(chat_id), count(coalesce(message_id, task)), count(user_id), \
             count(task) from call where at >= $1 and client = 'open-webui'";
        let row = sqlx::query(SQL).bind(since.0).fetch_one(self.pool()).await;
        let row = row.map_err(Error::Read)?;
        let count = |column: usize| -> Result<u64, Error> {
            let count: i64 = row.try_get(column).map_err(Error::Read)?;
            Ok(u64::try_from(count).unwrap_or(0))
        };
        Ok(Ids {
            calls: count(0)?,
            with_chat: count(1)?,
            with_message: count(2)?,
            with_user: count(3)?,
            tasks: count(4)?,
        })
    }
}
