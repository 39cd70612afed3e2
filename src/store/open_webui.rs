//! The chats in Open WebUI's database, compared with those of the ledger.
//!
//! In Open WebUI 0.12, each chat is a row of `chat`, also one that is archived, shared or in a folder, and its deletion
//! deletes the row. The calls of a channel have the chat `channel:ID`, and the channel is a row of `channel`. The API has
//! no list that could take the place of the file: `/api/v1/chats/all/db` leaves out internal chats and returns the
//! content of all others, and `/api/v1/chats/list/user/ID` has pages between which chats move while they are read.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    Reader,
    error::in_words,
    query::query_as,
    sqlite::{beside, is_sealed_folder},
};
use crate::domain::exchange::UnixMillis;

/// Age from which on a chat that is not in the file counts as deleted.
const MARGIN: Duration = Duration::from_hours(1);

/// The chats of Open WebUI in a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// Ids of those that are deleted in Open WebUI, sorted.
    pub deleted: Vec<String>,
    /// Number of all.
    pub all: u64,
}

/// The reason why a file does not tell which chats are deleted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A database of Open WebUI in Postgres.
    #[error(
        "Open WebUI's chats in Postgres are not supported yet; only its SQLite file webui.db is"
    )]
    Postgres,
    /// An address of Open WebUI.
    #[error(
        "Open WebUI has no list of the chats of all users at an address; name its file webui.db, for example by a \
         read-only mount"
    )]
    Address,
    /// There is no file.
    #[error("there is no file {}; it is webui.db in the data folder of Open WebUI", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Not a database of Open WebUI.
    #[error("{} is no database of Open WebUI; nothing was deleted", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("{} could not be read: {}", path.display(), in_words(cause))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: sqlx::Error,
    },
    /// It has no chats.
    #[error("{} has no chats, and all in the ledger would be deleted; nothing was", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// It has none of the ledger's chats.
    #[error(
        "{} has none of the {chats} chats of Open WebUI in the ledger, so it seems to be another one's; nothing was \
         deleted",
        path.display()
    )]
    Unrelated {
        /// The file.
        path: PathBuf,
        /// Number of the chats in the ledger.
        chats: usize,
    },
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] super::Error),
}

/// The content of Open WebUI's file.
#[derive(Debug)]
struct WebuiChats {
    ids: HashSet<String>,
    /// The newest moment that it knows of. It tells nothing about chats that began later: it may be a copy.
    until: UnixMillis,
}

impl Reader {
    /// Compares the chats of Open WebUI in this ledger with those in `file`, the path of its `webui.db` or a `sqlite://`
    /// URL of it. A chat is deleted if it is not there and had no call in the last hour, nor after the newest moment in
    /// the file. Temporary chats are left out: nothing that was said in them is in the ledger.
    pub async fn compare_chats(&self, file: &str, now: UnixMillis) -> Result<Compared, Error> {
        const CHATS: &str = "select chat_id, max(at) from call where client = 'open-webui' \
             and chat_id is not null and chat_id not like 'temporary:%' group by chat_id order by chat_id";
        let path = match file.split_once("://") {
            Some(("sqlite", path)) => Path::new(path),
            Some(("http" | "https", _)) => return Err(Error::Address),
            Some((scheme, _)) if scheme.starts_with("postgres") => return Err(Error::Postgres),
            _ => Path::new(file),
        };
        let WebuiChats { ids, until } = webui_chats(path).await?;
        if ids.is_empty() {
            return Err(Error::Empty { path: path.to_owned() });
        }
        let chats: Vec<(String, UnixMillis)> =
            query_as(CHATS).fetch_all(&self.pool()).await.map_err(super::Error::from)?;
        if !chats.is_empty() && !chats.iter().any(|(id, _)| ids.contains(id)) {
            return Err(Error::Unrelated { path: path.to_owned(), chats: chats.len() });
        }
        let (all, until) = (chats.len() as u64, until.min(now.before(MARGIN)));
        let deleted = chats.into_iter().filter(|(id, at)| *at < until && !ids.contains(id));
        Ok(Compared { deleted: deleted.map(|(id, _)| id).collect(), all })
    }
}

/// Reads the file of Open WebUI, which may be running, and changes nothing.
async fn webui_chats(path: &Path) -> Result<WebuiChats, Error> {
    let path = || path.to_owned();
    if !fs::exists(path()).is_ok_and(|exists| exists) {
        return Err(Error::Missing { path: path() });
    }
    let options =
        SqliteConnectOptions::new().filename(path()).read_only(true).disable_statement_logging();
    let [log, _] = beside(&path());
    let read = match read(&options).await {
        // Closed, in a folder where the files for reading cannot be made. With a log, it would be read without its
        // newest chats.
        Err(error) if is_sealed_folder(&error) && !log.exists() => {
            read(&options.immutable(true)).await
        }
        read => read,
    };
    read.map_err(|cause| match &cause {
        // No such table or column, or no database.
        sqlx::Error::Database(error) if matches!(error.code().as_deref(), Some("1" | "26")) => {
            Error::Foreign { path: path() }
        }
        _ => Error::Unreadable { path: path(), cause },
    })
}

async fn read(options: &SqliteConnectOptions) -> Result<WebuiChats, sqlx::Error> {
    const IDS: &str = "select id from chat union all select 'channel:' || id from channel";
    // In seconds; that of a user is renewed every minute while a page is open.
    const UNTIL: &str = "select 1000 * coalesce(max(at), 0) from (select max(updated_at) as at from chat \
         union all select max(last_active_at) from user)";
    let mut conn: SqliteConnection = options.connect().await?;
    let mut tx = conn.begin().await?;
    let ids: Vec<String> = sqlx::query_scalar(IDS).fetch_all(&mut *tx).await?;
    let until = sqlx::query_scalar(UNTIL).fetch_one(&mut *tx).await?;
    tx.rollback().await?;
    conn.close().await?;
    Ok(WebuiChats { ids: ids.into_iter().collect(), until })
}
