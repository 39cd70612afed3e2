//! The files of journals. A ledger in a file has one. In Postgres each process has one of its own, and those that the
//! processes of a machine share a folder for have numbers: a process takes the first one that nobody holds. A lock beside
//! the file says so; it stays, since a process may hold it under any name.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use super::line::Left;
use crate::store::{database::Database, sqlite};

/// A journal that no other process writes to, as long as this is held.
#[derive(Debug)]
pub(in crate::store) struct Slot {
    path: PathBuf,
    /// Only for those who share the folder.
    lock: Option<File>,
}

/// A program that this process is starting has the lock, too, until it is itself: closing the file is not enough.
impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(lock) = &self.lock {
            // A lock that cannot be released ends with the process.
            let _ = lock.unlock();
        }
    }
}

/// The journals of a machine for one ledger.
#[derive(Debug)]
pub(in crate::store) struct Slots {
    /// `None`: the ledger has no journal.
    first: Option<PathBuf>,
    is_shared: bool,
}

impl Slots {
    /// The journals for a ledger.
    pub(in crate::store) fn of(file: &Database) -> Self {
        Self { first: file.journal(), is_shared: file.is_shared() }
    }

    /// Takes a journal for this process; `None`: the ledger has none.
    pub(in crate::store) fn take(&self) -> io::Result<Option<Slot>> {
        let Some(first) = &self.first else { return Ok(None) };
        if !self.is_shared {
            return Ok(Some(Slot { path: first.clone(), lock: None }));
        }
        for number in 0_usize.. {
            if let Some(slot) = hold(numbered(first, number))? {
                return Ok(Some(slot));
            }
        }
        unreachable!("there are more numbers than processes")
    }

    /// Takes the journals that were left by dead processes. Those of a file are all its own.
    pub(in crate::store) fn take_left(&self) -> io::Result<Vec<Slot>> {
        if !self.is_shared {
            return Ok(self.take()?.into_iter().collect());
        }
        let mut left = Vec::new();
        for path in self.paths()? {
            left.extend(hold(path)?);
        }
        Ok(left)
    }

    /// The journals that are there, whoever writes to them.
    pub(in crate::store) fn paths(&self) -> io::Result<Vec<PathBuf>> {
        let Some(first) = &self.first else { return Ok(Vec::new()) };
        if !self.is_shared {
            return Ok(vec![first.clone()]);
        }
        let Some(folder) = first.parent() else { return Ok(Vec::new()) };
        let stem = first.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let is_ours = |path: &Path| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let number = name.strip_prefix(&stem).map(|rest| rest.strip_prefix('-').ok_or(rest));
            path.extension() == first.extension()
                && match number {
                    Some(Ok(number)) => number.bytes().all(|byte| byte.is_ascii_digit()),
                    Some(Err(rest)) => rest.is_empty(),
                    None => false,
                }
        };
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut paths = Vec::new();
        for entry in entries {
            paths.push(entry?.path());
        }
        paths.retain(|path| is_ours(path));
        paths.sort();
        Ok(paths)
    }
}

impl Slot {
    /// Its file.
    pub(in crate::store) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what a dead process has left in it.
    pub(in crate::store) fn read(&self) -> io::Result<Left> {
        Left::read(&self.path)
    }

    /// Removes the file. Everything in it must be committed.
    pub(in crate::store) fn remove(self) {
        // There may be none.
        let _ = fs::remove_file(&self.path);
    }
}

fn numbered(first: &Path, number: usize) -> PathBuf {
    if number == 0 {
        return first.to_owned();
    }
    let stem = first.file_stem().unwrap_or_default().to_string_lossy();
    let end = first.extension().unwrap_or_default().to_string_lossy();
    first.with_file_name(format!("{stem}-{number}.{end}"))
}

/// Takes a journal of a shared folder; `None`: another process holds it.
fn hold(path: PathBuf) -> io::Result<Option<Slot>> {
    let lock = sqlite::private_file(&sqlite::with_end(&path, ".lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(Slot { path, lock: Some(lock) })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the child of a fork that does not run another program yet.
    #[test]
    fn a_copy_of_the_descriptor_does_not_hold_it() {
        let folder = tempfile::tempdir().unwrap();
        let slots =
            Slots { first: Some(folder.path().join("postgres-1f.journal")), is_shared: true };
        let slot = slots.take().unwrap().unwrap();
        let path = slot.path().to_owned();
        fs::write(&path, "").unwrap();
        let _copy = slot.lock.as_ref().unwrap().try_clone().unwrap();
        drop(slot);
        assert_eq!(slots.take_left().unwrap().len(), 1);
        assert_eq!(slots.take().unwrap().unwrap().path(), path);
    }

    #[test]
    fn each_process_has_its_own_and_takes_what_others_have_left() {
        let folder = tempfile::tempdir().unwrap();
        let first = folder.path().join("postgres-1f.journal");
        let slots = Slots { first: Some(first.clone()), is_shared: true };
        let name = |slot: &Slot| slot.path().file_name().unwrap().to_str().unwrap().to_owned();
        let taken: Vec<Slot> = (0..3).map(|_| slots.take().unwrap().unwrap()).collect();
        let names: Vec<String> = taken.iter().map(name).collect();
        assert_eq!(
            names,
            ["postgres-1f.journal", "postgres-1f-1.journal", "postgres-1f-2.journal"]
        );
        for slot in &taken {
            fs::write(slot.path(), "").unwrap();
        }
        fs::write(folder.path().join("postgres-1f0.journal"), "").unwrap();
        fs::write(folder.path().join("postgres-1f-x.journal"), "").unwrap();
        assert!(slots.take_left().unwrap().is_empty());
        let mut taken = taken.into_iter();
        drop(taken.next());
        drop(taken.next());
        let left = slots.take_left().unwrap();
        assert_eq!(left.iter().map(name).collect::<Vec<_>>(), [&*names[1], &names[0]]);
        left.into_iter().for_each(Slot::remove);
        assert!(slots.take_left().unwrap().is_empty());
        assert_eq!(name(&slots.take().unwrap().unwrap()), names[0]);
    }
}
