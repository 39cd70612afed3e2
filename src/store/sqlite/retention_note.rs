//! The note of the retention that was applied last, by which a stricter one is told.
//!
//! It is in the lock file, behind the note of the holder, which is as long as ever: other versions leave it as it is. It is
//! never synced, and where it is missing, everything is taken to have been kept.

use std::{fs, io, os::unix::fs::FileExt, path::Path};

use serde::{Deserialize, Serialize};

use super::{lock::NOTE, place};
use crate::{domain::exchange::UnixMillis, store::prune::Limits};

/// Length of the note: always the same, so that one write replaces it.
const LENGTH: usize = 1024;

/// The retention of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RetentionNote {
    /// The limits that were applied last.
    pub applied: Limits,
    /// Stricter limits that wait.
    pub announced: Option<Announced>,
}

/// Limits that are to be applied after a time of grace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// The limits.
    pub limits: Limits,
    /// The moment when the log said so first.
    pub at: UnixMillis,
}

impl RetentionNote {
    /// Reads the note of the ledger at a real path.
    pub(in crate::store) fn beside(path: &Path) -> Self {
        let path = place::with_end(path, ".lock");
        let is_regular = fs::symlink_metadata(&path).is_ok_and(|file| file.is_file());
        let read = || {
            let mut bytes = [0; LENGTH];
            let read = fs::File::open(&path)?.read_at(&mut bytes, NOTE as u64)?;
            Ok::<_, io::Error>(serde_json::from_slice(&bytes[..read]).unwrap_or_default())
        };
        if is_regular { read().unwrap_or_default() } else { Self::default() }
    }

    /// Writes the note of the ledger at a real path. The lock must be held.
    pub(in crate::store) fn write(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_string(self)?;
        let text = format!("{text:<width$}\n", width = LENGTH - 1);
        place::open(&place::with_end(path, ".lock"))?.write_all_at(text.as_bytes(), NOTE as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::{super::lock::Lock, *};
    use crate::domain::exchange::OwnerId;

    #[test]
    fn the_note_outlives_the_lock_and_leaves_its_note() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        assert_eq!(RetentionNote::beside(&path), RetentionNote::default());
        let owner = OwnerId::new(Uuid::from_u128(7));
        let mut lock = Lock::take(&path, owner).unwrap();
        let most = Some(Duration::MAX);
        let limits = |keep_totals, max_bytes| Limits {
            keep_bodies: most,
            keep_totals,
            max_bytes,
            ..Limits::default()
        };
        let announced =
            Announced { limits: limits(most, Some(u64::MAX)), at: UnixMillis(i64::MAX) };
        let long = RetentionNote { applied: limits(most, Some(7)), announced: Some(announced) };
        assert!(serde_json::to_string(&long).unwrap().len() < LENGTH);
        for note in [long, RetentionNote { applied: limits(None, None), announced: None }] {
            note.write(&path).unwrap();
            lock.forget();
            assert_eq!(RetentionNote::beside(&path), note);
        }
        drop(lock);
        drop(Lock::take(&path, owner).unwrap());
        assert_eq!(RetentionNote::beside(&path).applied, limits(None, None));
    }
}
