//! Backups, checks and vacuums of a ledger.

use std::os::unix::fs::PermissionsExt;

use reprise::store::{
    backup::{self, Backup},
    integrity::{Integrity, PARTS, Tables},
    roll_up, vacuum,
};

use super::*;

async fn back_up(bench: &Bench, target: &Path) -> Result<Backup, Error> {
    backup::run(&bench.options().url, target, rows::owner(7), NOW, &mut |_, _| {}).await
}

async fn integrity(url: &str) -> Integrity {
    let mut parts = 0;
    let reader = Reader::open(url).await.unwrap();
    let found = reader.integrity(&mut || parts += 1).await.unwrap();
    assert!(parts == PARTS || found.tables.is_none());
    found
}

fn url(path: &Path) -> String {
    format!("sqlite://{}", path.display())
}

/// The check of a healthy ledger with so many rows.
fn healthy(exchanges: u64, calls: u64, hours: u64) -> Integrity {
    let tables = Tables {
        exchanges,
        calls,
        dangling: 0,
        incomplete: 0,
        without_exchange: 0,
        without_call: 0,
        hours,
        wrong_hours: 0,
    };
    Integrity { file: Vec::new(), tables: Some(tables) }
}

#[tokio::test]
async fn a_backup_of_a_ledger_in_use_has_every_finished_answer_and_serves() {
    if backend::skips("backups and checks of a file") {
        return;
    }
    let bench = Bench::new();
    let ledger = bench.open().await;
    exchange(&ledger, opening(1, Some(chat(3))), sealing("x", NOW.0)).await;
    // Not ended when the backup is made: one that is running, and one that reads along with it.
    let running = Arc::new(opening(2, Some(chat(2))));
    assert_eq!(ledger.open_exchange(&running).await, Durable::Committed);
    let joins = CallRecord {
        answered_by: AnsweredBy::Collapsed,
        exchange: Some(running.exchange),
        ..facts(11)
    };
    ledger.journal(&joins).await;
    // Ended, and not committed: the writer cannot write.
    let held = bench.hold().await;
    let finished = CallRecord { exchange: Some(rows::exchange_id(1)), ..hit(10, AnsweredBy::Hit) };
    ledger.journal(&finished).await;
    ledger.record(finished);
    let target = bench.folder.path().join("a backup%.db");
    let made = back_up(&bench, &target).await.unwrap();
    assert_eq!((made.restored, made.interrupted), (2, 1));
    held.close().await;
    settled(&ledger).await;
    assert_eq!(std::fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(&target).unwrap().len(), made.bytes);
    let files = std::fs::read_dir(bench.folder.path()).unwrap().count();
    assert_eq!(files, 2, "the ledger's folder and the backup: {made:?}");

    let again = back_up(&bench, &target).await;
    assert!(matches!(again, Err(Error::BackupExists { .. })), "{again:?}");
    assert_eq!(std::fs::metadata(&target).unwrap().len(), made.bytes);
    let nowhere = back_up(&bench, &bench.folder.path().join("none/backup.db")).await;
    assert!(matches!(nowhere, Err(Error::Backup { .. })), "{nowhere:?}");

    // `%` is a part of the name and no escape.
    let copy = bench.folder.path().join("copy.db");
    std::fs::rename(&target, &copy).unwrap();
    assert_eq!(integrity(&url(&copy)).await, healthy(2, 4, 0));
    let options = Options { wait: GRACE, ..Options::new(url(&copy)) };
    let restored = bench.open_with(&options).await.unwrap();
    assert!(restored.find(&key(1), rows::LATE).await.unwrap().is_some());
    assert_eq!(stats(&restored).await.total.calls, 4);
    exchange(&restored, opening(3, Some(chat(4))), sealing("y", NOW.0)).await;
    restored.close(GRACE).await;
    // The ledger itself goes on.
    assert_eq!(seal(&ledger, &running, sealing("z", NOW.0)).await, Durable::Committed);
    assert_eq!(bench.count("select count(*) from running").await, 0);
}

#[tokio::test]
async fn a_check_finds_each_fault_and_no_other() {
    // What is done to the ledger, and what is found then.
    type Found = fn(&mut Tables);
    if backend::skips("backups and checks of a file") {
        return;
    }
    let faults: [(&str, Found); 6] = [
        ("select 1", |_| {}),
        ("insert into answer_ref (scope, ref, exchange) values ('a', 'b', 'none')", |tables| {
            tables.dangling = 1;
        }),
        (
            "delete from node where hash in (select head from exchange where head is not null)",
            |tables| tables.incomplete = 1,
        ),
        ("update call set cost = cost + 1 where cost > 0", |tables| tables.wrong_hours = 1),
        ("update rollup set totals = zeroblob(3)", |tables| tables.wrong_hours = 1),
        ("update call set exchange = 'none'", |tables| {
            (tables.without_exchange, tables.without_call) = (2, 1);
        }),
    ];
    for (fault, found) in faults {
        let bench = Bench::new();
        let ledger = bench.open().await;
        exchange(&ledger, opening(1, Some(chat(3))), sealing("x", NOW.0)).await;
        ledger.record(CallRecord {
            exchange: Some(rows::exchange_id(1)),
            ..hit(10, AnsweredBy::Hit)
        });
        settled(&ledger).await;
        let address = bench.options().url;
        roll_up(&address, &Catalog::builtin(), 1).await.unwrap();
        let mut outside = bench.outside().await;
        sqlx::raw_sql("pragma foreign_keys = off").execute(&mut outside).await.unwrap();
        sqlx::query(fault).execute(&mut outside).await.unwrap();
        outside.close().await.unwrap();
        let mut expected = healthy(1, 2, 1);
        found(expected.tables.as_mut().unwrap());
        assert_eq!(integrity(&address).await, expected, "{fault}");
    }
}

#[tokio::test]
async fn a_vacuum_shrinks_a_ledger_that_nobody_uses_and_loses_nothing() {
    if backend::skips("backups and checks of a file") {
        return;
    }
    let bench = Bench::new();
    let ledger = bench.open().await;
    for n in 1..=40 {
        exchange(&ledger, opening(n, Some(chat(3))), sealing(&"x".repeat(900), NOW.0)).await;
    }
    let address = bench.options().url;
    let run = async || vacuum::run(&address, rows::owner(8), NOW, &mut |_, _| {}).await;
    let in_use = run().await;
    assert!(matches!(in_use, Err(Error::InUse { .. })), "{in_use:?}");
    ledger.close(GRACE).await;
    bench.ended().await;
    let mut outside = bench.outside().await;
    // Pages that a deletion leaves half empty.
    let thin = "delete from answer_ref; create table padding (text); drop table padding; \
         update exchange set recording = zeroblob(1), servable = 1 where rowid % 2 = 0";
    sqlx::raw_sql(thin).execute(&mut outside).await.unwrap();
    sqlx::raw_sql(
        "update rollup_state set upto = 40, upto_call = (select id from call where seq = 40)",
    )
    .execute(&mut outside)
    .await
    .unwrap();
    outside.close().await.unwrap();
    assert_eq!(integrity(&address).await.tables.unwrap().wrong_hours, 1);
    let done = run().await.unwrap();
    assert!(done.bytes_after <= done.bytes_before, "{done:?}");
    assert_eq!(std::fs::metadata(bench.path()).unwrap().len(), done.bytes_after);
    // The sums that were wrong are made anew.
    assert_eq!(integrity(&address).await, healthy(40, 40, 0));
    let ledger = bench.open().await;
    assert!(ledger.find(&key(1), rows::LATE).await.unwrap().is_some());
    assert_eq!(stats(&ledger).await.total.calls, 40);
    let id = "select application_id from pragma_application_id";
    assert_eq!(bench.count(id).await, 0x5270_7273);
    assert_eq!(bench.count("select auto_vacuum from pragma_auto_vacuum").await, 2);
}
