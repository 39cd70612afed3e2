//! Reports of `reprise ledger backup` and `reprise ledger vacuum`.

use std::fmt;

use serde::Serialize;

use super::{counted, prune::mebibytes};
use crate::store::backup::Backup;

/// Report of a backup.
#[derive(Debug)]
pub struct BackupReport {
    /// The file.
    pub file: String,
    /// Its content.
    pub backup: Backup,
    /// The reason why a running server did not write what it had in memory before; `None`: it did, or there is none.
    pub unflushed: Option<String>,
}

impl Serialize for BackupReport {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Report<'a> {
            file: &'a str,
            bytes: u64,
            restored_calls: usize,
            interrupted_exchanges: usize,
            unflushed: Option<&'a str>,
        }
        let Self { file, backup: Backup { bytes, restored, interrupted }, unflushed } = self;
        let report = Report {
            file,
            bytes: *bytes,
            restored_calls: *restored,
            interrupted_exchanges: *interrupted,
            unflushed: unflushed.as_deref(),
        };
        report.serialize(serializer)
    }
}

impl fmt::Display for BackupReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, backup: Backup { bytes, restored, interrupted }, unflushed } = self;
        writeln!(f, "Backed up to {file}, {}", mebibytes(*bytes))?;
        if *restored > 0 {
            let calls = counted(*restored, "call");
            writeln!(f, "  {calls} came from the journal, as they were not committed yet")?;
        }
        if *interrupted > 0 {
            let exchanges = counted(*interrupted, "exchange");
            writeln!(f, "  {exchanges} had not ended: lost in the backup")?;
        }
        if let Some(why) = unflushed {
            writeln!(f, "  Rows that only the server has in memory may be missing: {why}")?;
        }
        Ok(())
    }
}

/// Report of a vacuum.
#[derive(Debug, Serialize)]
pub struct VacuumReport {
    /// Size before.
    pub bytes_before: u64,
    /// Size afterwards.
    pub bytes_after: u64,
    /// True if the running server did it, which leaves half-empty pages.
    pub online: bool,
}

impl fmt::Display for VacuumReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = (mebibytes(self.bytes_before), mebibytes(self.bytes_after));
        writeln!(f, "{before} before, {after} after")?;
        if self.online {
            writeln!(
                f,
                "The running server gave back empty pages; without a server, half-empty ones are packed, too."
            )?;
        }
        Ok(())
    }
}
