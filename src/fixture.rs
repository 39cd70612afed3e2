//! Fixture files on disk: folders are read in a stable order, and files are written atomically.
//!
//! The file format is that of [`cassette`]. The caller decides whether files may be written (not with `CI=true`): nothing
//! here reads the environment.

mod load;
mod mistake;
mod name;
mod record;
mod write;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub use self::{
    load::load,
    mistake::{Mistake, Mistakes, check, untranslatable},
    name::{file_name, slug},
    record::{RecordError, RecordFolder},
    write::{Overwrite, WriteOutcome, write},
};
use crate::domain::{
    cassette::{self, Cassette, FileFinding},
    translate::Originals,
};

/// Name of the folder beside a file that has its blobs.
pub const BLOBS: &str = "blobs";
/// Maximum size of a fixture file or blob, in bytes.
const MAX_SIZE: u64 = 64 << 20;

/// A fixture file.
#[derive(Debug, Clone)]
pub struct Fixture {
    /// Its path.
    pub path: PathBuf,
    /// Its folder, relative to the folder that is read, with slashes; empty for the folder itself.
    pub scenario: String,
    /// Its text.
    pub text: String,
    /// Its content; `None` if it cannot be played.
    pub cassette: Option<Cassette>,
    /// Problems of the file.
    pub findings: Vec<FileFinding>,
}

/// The answers of all fixtures, by the names under which later requests refer to them.
pub fn originals(fixtures: &[Fixture]) -> Originals {
    let cassettes = fixtures.iter().filter_map(|fixture| fixture.cassette.as_ref());
    cassettes.flat_map(Cassette::originals).collect()
}

/// The reason that fixtures cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// The error of the file system.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The path.
        path: PathBuf,
        /// The error of the file system.
        source: io::Error,
    },
    /// Some files are no valid fixtures.
    #[error("{0}")]
    Broken(Mistakes),
    /// There are no fixtures.
    #[error(
        "there are no fixtures in {}; `reprise fixtures export` creates some from the ledger",
        paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    Nothing {
        /// The paths that were searched.
        paths: Vec<PathBuf>,
    },
    /// A file is too large.
    #[error("{} is larger than {} MiB, the limit for fixtures", path.display(), MAX_SIZE >> 20)]
    TooLarge {
        /// The path.
        path: PathBuf,
    },
}

/// Reads fixtures: each file among `paths`, and all `.json` files in and below each folder, in the order of their paths.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Fixture>, Error> {
    let mut fixtures = Vec::new();
    for root in paths {
        let metadata = fs::metadata(root).map_err(read_error(root))?;
        if metadata.is_file() {
            fixtures.push(read_one(root, String::new())?);
            continue;
        }
        let mut files = Vec::new();
        list(root, &mut files)?;
        files.sort();
        for file in files {
            let inside = file.parent().and_then(|folder| folder.strip_prefix(root).ok());
            let parts = inside.into_iter().flat_map(Path::components);
            let parts: Vec<_> = parts.map(|part| part.as_os_str().to_string_lossy()).collect();
            fixtures.push(read_one(&file, parts.join("/"))?);
        }
    }
    Ok(fixtures)
}

fn read_error(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    |source| Error::Read { path, source }
}

/// Lists the files of a folder. Links to folders are not followed, since they could form a cycle.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(read_error(folder))? {
        let entry = entry.map_err(read_error(folder))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(read_error(&path))?;
        let name = entry.file_name();
        if name == BLOBS || name.to_string_lossy().starts_with('.') {
            continue;
        }
        if kind.is_dir() {
            list(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    Ok(())
}

fn read_one(path: &Path, scenario: String) -> Result<Fixture, Error> {
    let bytes = read_bounded(path)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (cassette, findings) = cassette::read(&text, &|name| blob(path, name));
    Ok(Fixture { path: path.to_owned(), scenario, text, cassette, findings })
}

/// The bytes of a blob of the fixture at `path`.
pub fn blob(path: &Path, name: &str) -> Option<Vec<u8>> {
    read_bounded(&path.with_file_name(BLOBS).join(name)).ok()
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, Error> {
    if fs::metadata(path).map_err(read_error(path))?.len() > MAX_SIZE {
        return Err(Error::TooLarge { path: path.to_owned() });
    }
    fs::read(path).map_err(read_error(path))
}

#[cfg(test)]
mod tests;
