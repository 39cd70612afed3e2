//! Backups, checks and vacuums of a ledger in use, by the program's own commands.

use serde_json::{Value, json};

use crate::{
    proxy::operating::{how, run, start},
    support::{
        app::{Setup, ask},
        backend,
        upstream::Upstream,
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_in_use_is_backed_up_checked_and_vacuumed() {
    if backend::skips("backups") {
        return;
    }
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let app = start(&setup, &upstream).await;
    let ledger = async |arguments: &[&str]| {
        let output = run(&setup, &app, &[&["ledger"], arguments].concat()).await;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
        told
    };
    how(&app, &ask("hi")).await;
    how(&app, &ask("hi")).await;
    let file = setup.folder().join("backup.db");
    let file = file.to_str().expect("a path of text");
    let made: Value =
        serde_json::from_str(&ledger(&["backup", file, "--json"]).await).expect("JSON");
    assert_eq!((&made["unflushed"], &made["interrupted_exchanges"]), (&json!(null), &json!(0)));
    let copy = format!("sqlite://{file}");
    let calls = run(&setup, &app, &["stats", "--json", "--database-url", &copy]).await;
    let calls: Value = serde_json::from_slice(&calls.stdout).expect("JSON");
    assert_eq!(calls["total"]["calls"], 2, "{calls}");
    let checked = ledger(&["check"]).await;
    assert!(checked.contains("with 2 calls and 1 exchange") && checked.contains("All is well."));
    let vacuumed: Value = serde_json::from_str(&ledger(&["vacuum", "--json"]).await).expect("JSON");
    assert_eq!(vacuumed["online"], true);
    assert_eq!(how(&app, &ask("hi")).await, "hit");
}
