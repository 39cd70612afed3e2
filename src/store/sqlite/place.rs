//! The files at a ledger's path. They are examined without being touched, then created or made private.

use std::{
    ffi::OsString,
    fs::{self, File, Metadata},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::store::Error;

/// `application_id` in the header of every ledger: "Rprs".
pub(in crate::store) const APPLICATION_ID: u32 = u32::from_be_bytes(*b"Rprs");

/// Permissions of a private file.
const PRIVATE: u32 = 0o600;

/// The content of a file that may be used as a ledger. Everything else is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Content {
    /// There is no file.
    Missing,
    /// The file is empty, or a database without any tables.
    Empty,
    Ledger,
}

/// The parts of a database's header by which it is recognized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    is_sqlite: bool,
    application_id: u32,
}

impl Header {
    pub(super) const LENGTH: usize = 72;

    /// Parses the beginning of a file (<https://sqlite.org/fileformat.html> §1.3).
    pub(super) fn parse(bytes: &[u8; Self::LENGTH]) -> Self {
        let [.., a, b, c, d] = *bytes;
        Self {
            is_sqlite: bytes.starts_with(b"SQLite format 3\0"),
            application_id: u32::from_be_bytes([a, b, c, d]),
        }
    }
}

/// The file that a path means: a symbolic link is followed, so that its target is locked and its `-wal` is found.
pub(super) fn real(path: &Path) -> Result<PathBuf, Error> {
    match fs::symlink_metadata(path) {
        Ok(file) if file.is_symlink() => fs::canonicalize(path).map_err(|source| {
            if source.kind() == io::ErrorKind::NotFound {
                Error::DanglingLink { path: path.to_owned() }
            } else {
                Error::Create { path: path.to_owned(), source }
            }
        }),
        // Whatever is wrong with the path is found out by the next step.
        Ok(_) | Err(_) => Ok(path.to_owned()),
    }
}

/// `path` with `end` appended.
pub(in crate::store) fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut path = OsString::from(path);
    path.push(end);
    PathBuf::from(path)
}

/// SQLite's files beside a database: the write-ahead log, and its index.
pub(in crate::store) fn beside(path: &Path) -> [PathBuf; 2] {
    [with_end(path, "-wal"), with_end(path, "-shm")]
}

/// The kind of a file that is not a regular one, for people.
pub(in crate::store) fn irregular(file: &Metadata) -> Option<&'static str> {
    let kind = file.file_type();
    if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some("a folder")
    } else if kind.is_symlink() {
        Some("a symbolic link")
    } else if kind.is_fifo() {
        Some("a pipe")
    } else if kind.is_socket() {
        Some("a socket")
    } else {
        Some("a device")
    }
}

/// Examines the file at a real path, and changes nothing: SQLite reads it as a file that never changes, without locks
/// and without files beside it.
pub(super) async fn examine(path: &Path) -> Result<Content, Error> {
    let file = match fs::symlink_metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content::Missing),
        Err(source) => return Err(Error::Create { path: path.to_owned(), source }),
    };
    if let Some(kind) = irregular(&file) {
        return Err(Error::NotAFile { path: path.to_owned(), kind });
    }
    if file.len() == 0 {
        return Ok(Content::Empty);
    }
    // A single byte is an empty database for SQLite.
    if file.len() < Header::LENGTH as u64 {
        return Err(Error::Foreign { path: path.to_owned() });
    }
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    // Otherwise a file is refused that is shorter than its header says, as after a kill in a checkpoint.
    let alone = options.clone().immutable(true).pragma("writable_schema", "on");
    let [wal, _] = beside(path);
    let has_log = fs::metadata(wal).is_ok_and(|wal| wal.len() > 0);
    match content(path, &alone).await {
        // A ledger that was killed when it was new, or an old one in a checkpoint: a part of it is in the write-ahead log.
        Ok(Content::Empty) if has_log => content(path, &options).await,
        Err(Error::Open(error)) if has_log && is_damaged(&error) => content(path, &options).await,
        found => found,
    }
}

async fn content(path: &Path, options: &SqliteConnectOptions) -> Result<Content, Error> {
    // As statements, they read the header only. The schema of a file is not whole while its newest pages are in the
    // write-ahead log.
    const ID: &str = "pragma application_id";
    const VERSION: &str = "pragma user_version";
    const TABLES: &str = "select count(*), count(*) filter (where name = '_sqlx_migrations'), \
         count(*) filter (where name in ('exchange', 'frame', 'running')) \
         from sqlite_master where type <> 'index'";
    let foreign = || Error::Foreign { path: path.to_owned() };
    let read = async {
        let mut conn: SqliteConnection = options.connect().await?;
        let id: i64 = sqlx::query_scalar(ID).fetch_one(&mut conn).await?;
        let version: i64 = sqlx::query_scalar(VERSION).fetch_one(&mut conn).await?;
        let content = if id == i64::from(APPLICATION_ID) {
            Some(Content::Ledger)
        } else if id == 0 {
            // A ledger of an earlier version has no id.
            let tables: (i64, i64, i64) = sqlx::query_as(TABLES).fetch_one(&mut conn).await?;
            match tables {
                (0, ..) if version == 0 => Some(Content::Empty),
                // The second one was killed at its very beginning.
                (_, 1, 3) | (1, 1, 0) => Some(Content::Ledger),
                _ => None,
            }
        } else {
            None
        };
        conn.close().await?;
        Ok(content)
    };
    match read.await {
        Ok(content) => content.ok_or_else(foreign),
        Err(error) if is_no_database(&error) => Err(foreign()),
        Err(error) => Err(Error::Open(error)),
    }
}

/// `SQLITE_CORRUPT`, of any kind.
fn is_damaged(error: &sqlx::Error) -> bool {
    let code = match error {
        sqlx::Error::Database(error) => error.code().and_then(|code| code.parse::<u32>().ok()),
        _ => None,
    };
    code.is_some_and(|code| code & 0xff == 11)
}

/// `SQLITE_NOTADB`.
fn is_no_database(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.code().as_deref() == Some("26"))
}

/// Creates the folder of a file, readable by its owner only.
pub(in crate::store) fn create_folder(path: &Path) -> io::Result<()> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else {
        return Ok(());
    };
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Opens or creates a regular file, neither through a link nor waiting for the other end of a pipe.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(PRIVATE).custom_flags(flags);
    let file = options.open(path)?;
    match irregular(&file.metadata()?) {
        None => Ok(file),
        Some(kind) => Err(io::Error::other(format!("it is {kind}"))),
    }
}

/// Takes the permissions of all other users from a file of ours.
pub(super) fn make_private(file: &File) -> io::Result<()> {
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(fs::Permissions::from_mode(PRIVATE))?;
    }
    Ok(())
}

/// Checks the files beside a ledger: SQLite would write through a link, and trust another user's file.
pub(super) fn check_beside(path: &Path) -> Result<(), Error> {
    let owner = fs::metadata(path).map(|file| file.uid()).ok();
    for path in beside(path) {
        let Ok(file) = fs::symlink_metadata(&path) else { continue };
        let is_foreign =
            ![owner, Some(rustix::process::geteuid().as_raw())].contains(&Some(file.uid()));
        if let Some(kind) = irregular(&file).or(is_foreign.then_some("another user's")) {
            return Err(Error::Beside { path, kind });
        }
    }
    Ok(())
}

/// Makes the files beside a ledger private, before SQLite opens them.
pub(super) fn make_beside_private(path: &Path) -> Result<(), Error> {
    check_beside(path)?;
    for path in beside(path).into_iter().filter(|path| path.exists()) {
        let file = open(&path).and_then(|file| make_private(&file));
        file.map_err(|source| Error::Create { path, source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_the_id() {
        let mut bytes = [0; Header::LENGTH];
        bytes[..16].copy_from_slice(b"SQLite format 3\0");
        bytes[68..].copy_from_slice(&APPLICATION_ID.to_be_bytes());
        let ours = Header { is_sqlite: true, application_id: APPLICATION_ID };
        assert_eq!(Header::parse(&bytes), ours);
        assert!(super::super::SET_APPLICATION_ID.ends_with(&APPLICATION_ID.to_string()));
    }
}
