//! The disk of the program, as `disk.c` stands before it: what was written and synced, in order, and faults on demand.

use std::{
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use tempfile::TempDir;

const SOURCE: &str = include_str!("disk.c");

/// A fault, or a counter: the fields of `struct control`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Control {
    Operations,
    DieAt,
    /// 0 before the operation, 1 after it, 2 in the middle of a write.
    DieHow,
    /// Bytes that may yet be written; -1 for any number.
    Room,
    WriteError,
    SyncError,
    OneIn,
    SyncMicros,
    ClockNanos,
    ReadError,
    Failed,
}

const FIELDS: usize = Control::Failed as usize + 1;

/// What can go wrong with a disk.
pub(super) const EIO: i64 = 5;
pub(super) const EROFS: i64 = 30;

/// A disk under one ledger's folder.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    library: PathBuf,
    /// Has the control file and the trace, apart from the ledger.
    beside: Arc<TempDir>,
    control: Arc<File>,
}

/// A file of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum LedgerFile {
    Database,
    Wal,
    Journal,
    Folder,
    /// Of calls, which the program appends to by itself.
    Calls,
}

/// A change that the disk was told.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Write { offset: u64, data: Vec<u8> },
    Truncate(u64),
    Sync,
    Unlink,
    Create,
}

impl Disk {
    pub(super) fn new() -> Self {
        let beside = tempfile::tempdir().expect("a temporary folder");
        let path = beside.path().join("control");
        let control = File::options().read(true).write(true).create_new(true).open(path);
        let control = control.expect("a control file");
        let (beside, control) = (Arc::new(beside), Arc::new(control));
        let disk = Self { library: library(), beside, control };
        (0..FIELDS).for_each(|field| disk.put(field, 0));
        disk.set(Control::Room, -1);
        disk
    }

    /// Puts the disk between the program that the command starts and this folder.
    pub(super) fn under(&self, command: &mut Command, folder: &Path) {
        command.env("LD_PRELOAD", &self.library).env("TORTURE_FOLDER", folder);
        command.env("TORTURE_CONTROL", self.beside.path().join("control"));
    }

    /// Writes all changes down from now on.
    pub(super) fn traced(&self, command: &mut Command) {
        File::create(self.trace()).expect("a trace");
        command.env("TORTURE_TRACE", self.trace());
    }

    pub(super) fn set(&self, field: Control, value: i64) {
        self.put(field as usize, value);
    }

    pub(super) fn get(&self, field: Control) -> i64 {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, field as u64 * 8).expect("a field");
        i64::from_ne_bytes(bytes)
    }

    /// Ends the program at the operation `at` from now on, counted from 1.
    pub(super) fn die(&self, at: usize, how: i64) {
        self.set(Control::DieHow, how);
        let at = i64::try_from(at).expect("a small number");
        self.set(Control::DieAt, self.get(Control::Operations) + at);
    }

    /// The number of operations so far.
    pub(super) fn operations(&self) -> usize {
        usize::try_from(self.get(Control::Operations)).expect("a small number")
    }

    pub(super) fn live(&self) {
        self.set(Control::DieAt, 0);
    }

    /// The length of the trace so far: what was seen before was caused by no later change.
    pub(super) fn now(&self) -> u64 {
        fs::metadata(self.trace()).map_or(0, |trace| trace.len())
    }

    /// All changes in order, each with the length of the trace behind it.
    pub(super) fn changes(&self) -> Vec<(u64, LedgerFile, Change)> {
        const HEAD: usize = 24;
        let trace = fs::read(self.trace()).expect("a trace");
        let (mut rest, mut changes) = (&trace[..], Vec::new());
        while rest.len() >= HEAD {
            let word = |at: usize| u32::from_ne_bytes(rest[at..at + 4].try_into().expect("four"));
            let long = |at: usize| u64::from_ne_bytes(rest[at..at + 8].try_into().expect("eight"));
            let (offset, length) = (long(8), usize::try_from(long(16)).expect("a length"));
            let Some(data) = rest.get(HEAD..HEAD + length) else { break };
            let change = match word(0) {
                0 => Change::Write { offset, data: data.to_vec() },
                1 => Change::Truncate(offset),
                2 => Change::Sync,
                3 => Change::Unlink,
                4 => Change::Create,
                other => panic!("the operation {other} in a trace"),
            };
            let file = match word(4) {
                1 => LedgerFile::Database,
                2 => LedgerFile::Wal,
                3 => LedgerFile::Journal,
                4 => LedgerFile::Folder,
                5 => LedgerFile::Calls,
                other => panic!("the file {other} in a trace"),
            };
            rest = &rest[HEAD + length..];
            changes.push(((trace.len() - rest.len()) as u64, file, change));
        }
        changes
    }

    fn trace(&self) -> PathBuf {
        self.beside.path().join("trace")
    }

    fn put(&self, field: usize, value: i64) {
        self.control.write_all_at(&value.to_ne_bytes(), field as u64 * 8).expect("a field");
    }
}

impl LedgerFile {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Database => "ledger.db",
            Self::Wal => "ledger.db-wal",
            Self::Journal => "ledger.db-journal",
            Self::Folder => ".",
            Self::Calls => "ledger.db.journal",
        }
    }
}

/// Compiles the library, unless this very source was compiled before.
fn library() -> PathBuf {
    let mut hasher = DefaultHasher::new();
    SOURCE.hash(&mut hasher);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let library = folder.join(format!("disk-{:016x}.so", hasher.finish()));
    if !library.exists() {
        let new = TempDir::new_in(folder).expect("a temporary folder");
        let (source, built) = (new.path().join("disk.c"), new.path().join("disk.so"));
        fs::write(&source, SOURCE).expect("the source");
        let mut cc = Command::new("cc");
        cc.args(["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]).arg(&built);
        let compiled = cc.arg(&source).args(["-ldl", "-lpthread"]).status();
        assert!(compiled.expect("a C compiler").success(), "disk.c does not compile");
        fs::rename(built, &library).expect("the library in its place");
    }
    library
}
