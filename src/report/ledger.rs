//! Reports of `reprise ledger backup`, `reprise ledger copy` and `reprise ledger vacuum`.

use std::fmt;

use serde::Serialize;

use super::{counted, prune::mebibytes};
use crate::store::{
    backup::Backup,
    copy::{Copied, CopiedTable},
};

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

/// Report of a copy.
#[derive(Debug)]
pub struct CopyReport {
    /// The copy.
    pub copied: Copied,
    /// The reason why a running server did not write what it had in memory before; `None`: it did, or there is none.
    pub unflushed: Option<String>,
}

impl Serialize for CopyReport {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Report<'a> {
            from: &'a str,
            to: &'a str,
            tables: &'a [CopiedTable],
            replaced_texts: u64,
            running_exchanges: u64,
            unflushed: Option<&'a str>,
        }
        let Self { copied: Copied { from, to, tables, replaced, running }, unflushed } = self;
        let report = Report {
            from,
            to,
            tables,
            replaced_texts: *replaced,
            running_exchanges: *running,
            unflushed: unflushed.as_deref(),
        };
        report.serialize(serializer)
    }
}

impl fmt::Display for CopyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { copied: Copied { from, to, tables, replaced, running }, unflushed } = self;
        let rows = |name| tables.iter().find(|table| table.name == name).map_or(0, |it| it.rows);
        let [calls, exchanges] = [rows("call"), rows("exchange")];
        let sum = |of: fn(&CopiedTable) -> u64| tables.iter().map(of).sum::<u64>();
        let (all, written) = (sum(|table| table.rows), sum(|table| table.written));
        let deleted = sum(|table| table.deleted);
        writeln!(f, "Copied {from}")?;
        writeln!(f, "    to {to}")?;
        let [calls, exchanges] = [counted(calls, "call"), counted(exchanges, "exchange")];
        writeln!(f, "  {calls} and {exchanges}, in all {}", counted(all, "row"))?;
        write!(f, "  {} written", counted(written, "row"))?;
        if deleted > 0 {
            write!(f, ", and {deleted} deleted that the source does not have")?;
        }
        writeln!(f)?;
        let number = tables.len();
        writeln!(
            f,
            "  Compared afterwards: the counts and hashes of all {number} tables are equal"
        )?;
        if *replaced > 0 {
            let texts = counted(*replaced, "text");
            writeln!(
                f,
                "  {texts} had a zero character, which Postgres cannot hold; U+FFFD is in its place"
            )?;
        }
        if *running > 0 {
            let exchanges = counted(*running, "exchange");
            writeln!(
                f,
                "  {exchanges} had not ended and are not in the copy; once they have, run it again: it takes what is new"
            )?;
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
