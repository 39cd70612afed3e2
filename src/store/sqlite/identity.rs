//! The identity of a file: a path may lead to another file than the one that is open.

use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use super::place::{self, Header};

/// Two paths with the same one lead to the same file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(super) fn of(file: &Metadata) -> Self {
        Self { device: file.dev(), inode: file.ino() }
    }

    /// The file at a path, where links are followed; `None`: there is none, or it cannot be told.
    fn at(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().as_ref().map(Self::of)
    }
}

/// A fault of the file that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
pub(in crate::store) enum Fault {
    /// Nothing is at its path any more.
    #[strum(to_string = "was removed")]
    Removed,
    /// Another file is at its path.
    #[strum(to_string = "was replaced by another file")]
    Replaced,
    /// Another program has written into it.
    #[strum(to_string = "was overwritten in place")]
    Overwritten,
}

/// The database that is open, to be compared with its path.
#[derive(Debug, Clone)]
pub(in crate::store) struct OpenFile {
    /// As the operator names it: a link may be changed, too.
    path: PathBuf,
    /// Never opened and closed for this: that would drop the locks that SQLite holds in this process. `None`: it was
    /// closed, and with it the lock.
    file: Option<Arc<File>>,
    id: FileId,
    header: Header,
    /// Set for good: what SQLite knows of the file is wrong from then on.
    overwritten: Arc<AtomicBool>,
    /// The files beside it, when it was opened.
    beside: Vec<(PathBuf, FileId)>,
}

impl OpenFile {
    /// The open database `file`, whose real path is `real`.
    pub(super) fn new(path: &Path, real: &Path, file: Arc<File>) -> io::Result<Self> {
        let id = FileId::of(&file.metadata()?);
        let header = Header::read(&file)?;
        let beside = beside(place::beside(real));
        Ok(Self {
            path: path.to_owned(),
            file: Some(file),
            id,
            header,
            overwritten: Arc::default(),
            beside,
        })
    }

    pub(in crate::store) fn path(&self) -> &Path {
        &self.path
    }

    /// The fault of the file, if there is one: one `stat`, one read of some bytes.
    pub(in crate::store) fn fault(&self) -> Option<Fault> {
        use io::ErrorKind::{NotADirectory, NotFound};
        match fs::metadata(&self.path) {
            Ok(file) if FileId::of(&file) != self.id => Some(Fault::Replaced),
            Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Some(Fault::Removed),
            // An error of another kind says nothing about the file.
            Ok(_) | Err(_) => {
                let header = self.file.as_deref().map(Header::read);
                if header.is_some_and(|header| header.is_ok_and(|header| header != self.header)) {
                    self.overwritten.store(true, Relaxed);
                }
                self.overwritten.load(Relaxed).then_some(Fault::Overwritten)
            }
        }
    }

    /// Lets go of the file: its path is still compared.
    pub(in crate::store) fn close(&mut self) {
        self.file = None;
    }

    /// Tells whether the `-wal` or `-shm` of SQLite's connections is not at its path any more.
    pub(in crate::store) fn log_is_gone(&self) -> bool {
        self.beside.iter().any(|(path, id)| FileId::at(path) != Some(*id))
    }

    /// Takes the files beside it as they are now, after SQLite has made them.
    pub(in crate::store) fn renew_beside(&mut self) {
        self.beside = beside(self.beside.iter().map(|(path, _)| path.clone()));
    }

    /// Removes the `-wal` and `-shm` that belong to this file: SQLite would take them for those of the next one.
    pub(in crate::store) fn remove_beside(&self) -> io::Result<()> {
        for (path, id) in &self.beside {
            if FileId::at(path) == Some(*id) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

fn beside(paths: impl IntoIterator<Item = PathBuf>) -> Vec<(PathBuf, FileId)> {
    paths.into_iter().filter_map(|path| FileId::at(&path).map(|id| (path, id))).collect()
}

impl Header {
    /// Reads the header of an open database.
    fn read(file: &File) -> io::Result<Self> {
        let mut bytes = [0; Self::LENGTH];
        let mut filled = 0;
        while filled < bytes.len() {
            match file.read_at(&mut bytes[filled..], filled as u64)? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(Self::parse(&bytes))
    }
}
