//! Fixture files on disk: read a folder in an order that never changes, write one so that there is never half of it.
//!
//! What is in a file is [`cassette`]'s. Whether files may be written at all (`CI=true` says no)
//! is for the caller to know: nothing here reads the environment.

mod load;
mod name;
mod write;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub use self::{
    load::load,
    name::{file_name, slug},
    write::{Replaces, Written, write},
};
use crate::domain::{
    cassette::{self, Cassette, Finding, Reading},
    translate::Originals,
};

/// The folder beside a file with what is too long for it.
pub const BLOBS: &str = "blobs";
/// A larger file is no fixture.
const LARGEST: u64 = 64 << 20;

/// A file that was read.
#[derive(Debug, Clone)]
pub struct Fixture {
    /// Where it is.
    pub path: PathBuf,
    /// The folder that it is in, from the folder that was asked for, with slashes; empty for none.
    pub scenario: String,
    /// Its text.
    pub text: String,
    /// `None`: it cannot be played.
    pub cassette: Option<Cassette>,
    /// What is wrong with it.
    pub findings: Vec<Finding>,
}

/// The answers of all `fixtures` under the names that later requests may call them by (design §8).
pub fn originals(fixtures: &[Fixture]) -> Originals {
    let cassettes = fixtures.iter().filter_map(|fixture| fixture.cassette.as_ref());
    cassettes.flat_map(Cassette::originals).collect()
}

/// Why fixtures cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is no fixture.
    #[error("{}:{line}: {what}", path.display())]
    Broken {
        /// Which.
        path: PathBuf,
        /// Where in it.
        line: usize,
        /// What is wrong, and what to do.
        what: String,
    },
    /// There is nothing to play.
    #[error(
        "there is no fixture in {}; `reprise fixtures export` makes some of what is recorded",
        shown(paths)
    )]
    Nothing {
        /// Where it was looked for.
        paths: Vec<PathBuf>,
    },
    /// It is larger than any fixture.
    #[error("{} is larger than {} MiB, which no fixture is", path.display(), LARGEST >> 20)]
    TooLarge {
        /// Which.
        path: PathBuf,
    },
}

fn shown(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Reads fixtures: each file that is named, and all `.json` files of each folder that is named and of those within it,
/// in the order of their paths.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Fixture>, Error> {
    let mut fixtures = Vec::new();
    for root in paths {
        let metadata = fs::metadata(root).map_err(reading(root))?;
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

fn reading(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    |source| Error::Read { path, source }
}

/// Links to folders are not followed: they may lead back.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(reading(folder))? {
        let entry = entry.map_err(reading(folder))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(reading(&path))?;
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
    let bytes = bounded(path)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let blobs = path.with_file_name(BLOBS);
    let Reading { cassette, findings } =
        cassette::read(&text, &|name| bounded(&blobs.join(name)).ok());
    Ok(Fixture { path: path.to_owned(), scenario, text, cassette, findings })
}

fn bounded(path: &Path) -> Result<Vec<u8>, Error> {
    if fs::metadata(path).map_err(reading(path))?.len() > LARGEST {
        return Err(Error::TooLarge { path: path.to_owned() });
    }
    fs::read(path).map_err(reading(path))
}

#[cfg(test)]
mod tests;
