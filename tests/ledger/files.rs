//! The files of a ledger: what is in them, and who may open them.

use super::*;

#[tokio::test]
async fn what_is_committed_is_in_the_files_already() {
    if backend::skips("files") {
        return;
    }
    let bench = Bench::new();
    let ledger = bench.open().await;
    exchange(&ledger, opening(1, None), sealing("x", 1)).await;
    assert_eq!(ledger.open_exchange(&Arc::new(opening(2, None))).await, Durable::Committed);

    // What the next process would find, were this one killed now.
    let copy = bench.folder.path().join("copy.db");
    for end in ["", "-wal"] {
        let from = format!("{}{end}", bench.path().display());
        std::fs::copy(from, format!("{}{end}", copy.display())).unwrap();
    }
    let options = Options::new(format!("sqlite://{}", copy.display()));
    let after = bench.open_with(&options).await.unwrap();
    assert!(after.find(&key(1), rows::LATE).await.unwrap().is_some());
    assert_eq!(stats(&after).await.total.calls, 2);
}

#[tokio::test]
async fn a_ledger_has_one_owner_and_any_readers() {
    if backend::skips("files") {
        return;
    }
    let bench = Bench::new();
    let ledger = bench.open().await;
    exchange(&ledger, opening(1, None), sealing("x", 1)).await;
    let refused = bench.open_with(&bench.options()).await.unwrap_err().to_string();
    assert!(refused.contains(&format!("in use by process {}", std::process::id())), "{refused}");
    let reader = Reader::open(&bench.options().url).await.unwrap();
    assert!(reader.find(&key(1), rows::LATE).await.unwrap().is_some());
}

#[tokio::test]
async fn a_closed_ledger_is_one_file_and_opens_again() {
    if backend::skips("files") {
        return;
    }
    let bench = Bench::new();
    let ledger = bench.open().await;
    exchange(&ledger, opening(1, None), sealing("x", 1)).await;
    assert!(ledger.reader().find(&key(1), rows::LATE).await.unwrap().is_some());
    ledger.close(GRACE).await;
    let beside = |end| PathBuf::from(format!("{}{end}", bench.path().display()));
    assert!(!beside("-wal").exists() && !beside("-shm").exists());
    let ledger = bench.open().await;
    assert!(ledger.find(&key(1), rows::LATE).await.unwrap().is_some());
}

#[tokio::test]
async fn a_reader_says_why_there_is_nothing_to_read() {
    if backend::skips("files") {
        return;
    }
    let bench = Bench::new();
    let url = bench.options().url;
    assert!(matches!(Reader::open(&url).await, Err(Error::Missing { .. })));
    assert!(!bench.path().exists(), "a reader makes nothing");
    std::fs::create_dir_all(bench.path().parent().unwrap()).unwrap();
    std::fs::write(bench.path(), "").unwrap();
    assert!(matches!(Reader::open(&url).await, Err(Error::NoTables)));
}

#[tokio::test]
async fn a_newer_ledger_is_refused() {
    if backend::skips("files") {
        return;
    }
    let bench = Bench::new();
    bench.open().await.close(GRACE).await;
    let mut outside = bench.outside().await;
    let sql = "insert into _sqlx_migrations \
        (version, description, success, checksum, execution_time) values (9999, 'later', true, x'00', 0)";
    sqlx::query(sql).execute(&mut outside).await.unwrap();
    outside.close().await.unwrap();
    let refused = bench.open_with(&bench.options()).await;
    assert!(matches!(refused, Err(Error::Newer { found: 9999, known: 14 })));
    let refused = Reader::open(&bench.options().url).await;
    assert!(matches!(refused, Err(Error::Newer { found: 9999, known: 14 })));
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    if backend::skips("files") {
        return;
    }
    let bench = Bench::new();
    let ledger = bench.open().await;
    exchange(&ledger, opening(1, None), sealing("x", 1)).await;
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let folder = bench.path().parent().unwrap().to_owned();
    assert_eq!(mode(&folder), 0o700);
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let files: Vec<PathBuf> = files.collect();
    assert_eq!(files.len(), 5, "the ledger, its lock, journal, wal and shm: {files:?}");
    assert!(files.iter().all(|file| mode(file) == 0o600));
}
