//! A Postgres whose disk is full, and one that takes no more connections.

use std::{
    fs::File,
    io::{ErrorKind, Write},
    path::Path,
    process::Command,
};

use tempfile::TempDir;

use super::*;

/// A small disk.
struct Disk {
    folder: TempDir,
}

impl Disk {
    /// `None`, and says so, where nothing may be mounted.
    #[expect(
        clippy::print_stderr,
        reason = "a test that is skipped must not look like one that passed"
    )]
    fn new() -> Option<Self> {
        let folder = TempDir::new().expect("a temporary folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=96m", "tmpfs"]).arg(folder.path());
        let mounted = mount.output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Some(Self { folder });
        }
        eprintln!("skipped: a small disk cannot be mounted here");
        None
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn ballast(&self) -> std::path::PathBuf {
        self.path().join("ballast")
    }

    /// Writes until nothing more can be written.
    fn fill(&self) {
        let mut ballast = File::create(self.ballast()).expect("a file");
        for size in [1 << 16, 1 << 12] {
            let piece = vec![0; size];
            let error = std::iter::repeat_with(|| ballast.write_all(&piece)).find_map(Result::err);
            assert_eq!(error.expect("the end").kind(), ErrorKind::StorageFull);
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.ballast()).expect("a file");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The server on it may still be ending.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

/// What `/ready` says of the ledger.
async fn error(client: &Client) -> String {
    let (_, body) = ready(client).await;
    body["ledger"]["error"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn rows_wait_for_a_disk_that_is_full() {
    if !backend::is_postgres() {
        return;
    }
    let Some(disk) = Disk::new() else { return };
    let postgres = Postgres::start_on(disk.path()).await;
    let address = postgres.address();
    let world = World::at(&address, postgres).await;
    let binary = Binary::start(&world.setup).await;
    let client = binary.client();
    disk.fill();
    // Hardly compressible: more than the free space in the pages of the tables.
    let large: String =
        (0..10_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_string()).collect();
    let asked = (0..20).map(|n| {
        let (world, client, large) = (&world, &client, &large);
        async move {
            let marker = format!("marker {n}.");
            let events = Answer::of(MODEL).text(&[large, "It is ", &marker]).stop("end_turn");
            world.upstream.push(Script::sse(events).only_for(&marker));
            let reply = client.clone().post(CHAT, &ask(&marker)).await;
            let exchange = reply.header("x-reprise-exchange").expect("an exchange").to_owned();
            assert!(reply.text().await.ends_with("[DONE]\n\n"));
            exchange
        }
    });
    let mut finished = soon("all answers", join_all(asked)).await;
    until("the program to say why", async || error(&client).await.contains("53100")).await;
    assert_eq!(ready(&client).await.0, 503);
    disk.free();
    is_ready(&client).await;
    let gate = Gate::new();
    gate.open();
    let more = world.begin(&binary, "more", 5, &gate).await;
    finished.extend(join_all(more.into_iter().map(Stream::finish)).await);
    is_ready(&client).await;
    has_all_and_lost(&world, &finished, 0).await;
    let (_, body) = ready(&client).await;
    assert_eq!(
        (&body["ledger"]["lost"], &body["ledger"]["bodies_dropped"]),
        (&json!(0), &json!(0))
    );
}

#[tokio::test]
async fn rows_wait_for_a_server_that_takes_no_more_connections() {
    if !backend::is_postgres() {
        return;
    }
    let postgres = Postgres::start().await;
    let mut look = Outside::at(&postgres.address(), "public").await;
    // Limits do not hold for superusers.
    look.run("create role keeper login; grant create on database postgres to keeper").await;
    let address = postgres.address().replace("reprise@", "keeper@");
    let world = World::at(&address, postgres).await;
    let binary = Binary::start(&world.setup).await;
    let client = binary.client();
    let gate = Gate::new();
    gate.open();
    let streams = world.begin(&binary, "before", 10, &gate).await;
    let mut finished = join_all(streams.into_iter().map(Stream::finish)).await;

    look.run("alter role keeper connection limit 0").await;
    end_connections(&mut look).await;
    let streams = world.begin(&binary, "none", 20, &gate).await;
    finished.extend(join_all(streams.into_iter().map(Stream::finish)).await);
    until("the program to say why", async || error(&client).await.contains("53300")).await;
    assert_eq!(ready(&client).await.0, 503);

    look.run("alter role keeper connection limit -1").await;
    is_ready(&client).await;
    has_all_and_lost(&world, &finished, 0).await;
    let (_, body) = ready(&client).await;
    assert_eq!(body["ledger"]["lost"], 0);
    let repeat = client.header("cache-control", "only-if-cached");
    let repeat = repeat.post(CHAT, &ask("marker none-7.")).await;
    assert_eq!(sse::openai_text(&repeat.chunks().await), "It is marker none-7.");
    look.close().await;
}

/// Ends all connections of the program.
async fn end_connections(look: &mut Outside) {
    const END: &str =
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = 'keeper'";
    const THERE: &str = "select count(*) from pg_stat_activity where usename = 'keeper'";
    look.count(END).await;
    until("the connections to end", async || look.count(THERE).await == 0).await;
}
