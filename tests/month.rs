//! A month of an office's traffic, and what the commands say of it, word for word: what the documentation shows.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, too")]

use std::process::Command;

use reprise::domain::exchange::UnixMillis;

use crate::{
    stats::{
        books::Books,
        traffic::{self, Traffic},
    },
    support::generated,
};

/// The first of October 2026.
const OCTOBER: UnixMillis = UnixMillis(1_790_812_800_000);

/// What the command says on standard output; it must succeed.
fn told(books: &Books, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_reprise"))
        .env_clear()
        .env("REPRISE_DATABASE_URL", books.url())
        .env("TZ", "UTC")
        .env("COLUMNS", "100")
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    text(&output.stdout)
}

fn check(name: &str, told: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("month/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, told));
}

#[tokio::test]
async fn a_month_is_told_in_every_form() {
    let mut books = Books::open().await;
    let events = traffic::days(&mut Traffic::new(2026, 6), OCTOBER, 31, 24);
    books.write(&events).await;

    let shown = "stats --by task --since 2026-10 --until 2026-10";
    let commands = [
        ("by_task", shown),
        ("by_model", "stats"),
        ("by_week_and_user", "stats --by week,user --since 2026-10-05 --until 2026-10-18"),
        ("by_day_in_kolkata", "stats --by day --timezone Asia/Kolkata --since 2026-10-19"),
        ("by_answered_by", "stats --by answered-by"),
        ("by_chat", "stats --by chat,user --top 5"),
        ("markdown", "stats --by month,client --markdown"),
        ("csv", "stats --by model --csv"),
        ("json", "stats --by client --json"),
        ("reprice", "stats --reprice"),
        ("nothing", "stats --since 2027-01-01"),
    ];
    // The running server writes on; nothing was summed up yet, and then everything is.
    for (name, command) in commands {
        let told = told(&books, &command.split(' ').collect::<Vec<_>>());
        if name != "reprice" {
            check(name, &told);
        }
        if !matches!(name, "csv" | "json" | "markdown") {
            let widest = told.lines().map(|line| line.chars().count()).max().unwrap_or(0);
            assert!(widest <= 100, "{told}");
        }
        if name == "by_task" {
            let block = format!("```console\n$ reprise {shown}\n{told}```\n");
            generated::part("costs.md", "stats", &block, "month::");
        }
        if name == "by_model" {
            reprise::store::roll_up(&books.url(), &reprise::domain::catalog::Catalog::builtin(), 1)
                .await
                .unwrap();
            assert_eq!(told, self::told(&books, &["stats"]), "the sums say the same");
        }
    }
}
