//! A Postgres that ends, restarts, hangs, refuses to write or is missing under load, and programs that are killed meanwhile:
//! no client loses its answer, and the ledger accounts for every request that upstream got. Without a Postgres for tests these
//! are skipped.

mod failover;
mod limits;
mod pooler;

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    app::{CHAT, MODEL, Setup, ask},
    backend::{self, Outside},
    binary::Binary,
    client::{Client, Reply},
    postgres::{Postgres, Shutdown},
    script::{Gate, Script},
    soon,
    sse::{self, Answer},
    until,
    upstream::Upstream,
};

/// Concurrent streams of a test under load.
const STREAMS: usize = 200;

/// A server of its own, and a program with its ledger there.
struct World {
    postgres: Postgres,
    upstream: Upstream,
    setup: Setup,
}

impl World {
    async fn new() -> Self {
        let postgres = Postgres::start().await;
        let address = postgres.address();
        Self::at(&address, postgres).await
    }

    /// The same with a server that the program knows under this address.
    async fn at(address: &str, postgres: Postgres) -> Self {
        let upstream = Upstream::start().await;
        let setup = Setup::of(&upstream);
        let folder = setup.folder().display();
        let url = format!(
            "{address}?schema=books&journal={folder}&connect_timeout=2&statement_timeout=20"
        );
        let setup = setup.set("REPRISE_DATABASE_URL", &url);
        Self { postgres, upstream, setup }
    }

    /// Begins this many streams, and waits until their clients have read the beginning; the rest comes when the gate opens.
    async fn begin(&self, binary: &Binary, round: &str, count: usize, gate: &Gate) -> Vec<Stream> {
        let streams = (0..count).map(|number| async move {
            let marker = format!("marker {round}-{number}.");
            let events = Answer::of(MODEL).text(&["It is ", &marker]).stop("end_turn");
            let script = Script::sse(events[..3].to_vec()).wait(gate);
            self.upstream.push(script.pieces(events[3..].to_vec()).only_for(&marker));
            let mut reply = binary.client().post(CHAT, &ask(&marker)).await;
            let begun = reply.read_until("It is").await;
            Stream { marker, reply, begun }
        });
        join_all(streams).await
    }

    /// A look into the ledger from outside.
    async fn look(&self) -> Outside {
        Outside::at(&self.postgres.address(), "books").await
    }

    /// Exchanges in the ledger by outcome.
    async fn exchanges(&self, outcome: &str) -> i64 {
        let sql = format!("select count(*) from exchange where outcome = '{outcome}'");
        self.look().await.count(&sql).await
    }
}

/// An answer that a client is reading.
struct Stream {
    marker: String,
    reply: Reply,
    begun: String,
}

impl Stream {
    /// Reads to the end, which is whole; returns the exchange.
    async fn finish(self) -> String {
        let Self { marker, mut reply, begun } = self;
        let exchange = reply.header("x-reprise-exchange").map(str::to_owned);
        let (rest, _) = reply.rest().await;
        let text = begun + str::from_utf8(&rest).expect("text");
        assert!(text.contains(&marker), "{text}");
        assert!(text.ends_with("[DONE]\n\n"), "{text}");
        exchange.expect("an exchange")
    }
}

/// The status of `/ready`, and what it says.
async fn ready(client: &Client) -> (u16, Value) {
    let reply = client.get("/ready").await;
    (reply.status.as_u16(), reply.json().await)
}

async fn is_ready(client: &Client) {
    until("the program to be ready", async || {
        let (status, body) = ready(client).await;
        status == 200 && body["ledger"]["queued"] == 0
    })
    .await;
}

async fn is_unready(client: &Client) {
    until("the program to say that it is not ready", async || ready(client).await.0 == 503).await;
}

/// The ledger has these exchanges and no others that are complete.
async fn has_all(world: &World, finished: &[String]) {
    let mut look = world.look().await;
    let rows: Vec<(String,)> =
        look.rows("select id from exchange where outcome = 'complete'").await;
    let rows: BTreeSet<&str> = rows.iter().map(|(id,)| &**id).collect();
    let finished: BTreeSet<&str> = finished.iter().map(|id| &**id).collect();
    assert_eq!(rows, finished);
    assert_eq!(
        look.count("select count(*) from call").await,
        look.count("select count(*) from exchange").await
    );
    look.close().await;
}

#[tokio::test]
async fn streams_outlive_a_server_that_restarts_hangs_and_crashes() {
    if !backend::is_postgres() {
        return;
    }
    let mut world = World::new().await;
    let binary = Binary::start(&world.setup).await;
    let client = binary.client();
    let mut finished = Vec::new();
    for round in ["hangs", "restarts", "crashes"] {
        let gate = Gate::new();
        let streams = world.begin(&binary, round, STREAMS, &gate).await;
        match round {
            "hangs" => world.postgres.pause(),
            "restarts" => world.postgres.stop(Shutdown::Fast).await,
            _ => world.postgres.stop(Shutdown::Immediate).await,
        }
        gate.open();
        let ended = soon("all answers", join_all(streams.into_iter().map(Stream::finish))).await;
        finished.extend(ended);
        is_unready(&client).await;
        // What comes while it is away is answered, too.
        let gate = Gate::new();
        gate.open();
        let more = world.begin(&binary, &format!("{round} more"), 20, &gate).await;
        finished.extend(join_all(more.into_iter().map(Stream::finish)).await);
        match round {
            "hangs" => world.postgres.resume(),
            _ => world.postgres.start_again().await,
        }
        is_ready(&client).await;
        has_all(&world, &finished).await;
    }
    assert_eq!(world.upstream.messages(), finished.len());
    let (_, body) = ready(&client).await;
    assert_eq!(
        (&body["ledger"]["lost"], &body["ledger"]["bodies_dropped"]),
        (&json!(0), &json!(0))
    );
    // Answers that were given while it was away are answers to repeats.
    let repeat = client.header("cache-control", "only-if-cached");
    let repeat = repeat.post(CHAT, &ask("marker crashes more-7.")).await;
    assert_eq!(sse::openai_text(&repeat.chunks().await), "It is marker crashes more-7.");
}

#[tokio::test]
async fn a_program_that_is_killed_while_the_server_is_away_loses_no_answer() {
    if !backend::is_postgres() {
        return;
    }
    let mut world = World::new().await;
    let mut binary = Binary::start(&world.setup).await;
    let (gate, never) = (Gate::new(), Gate::new());
    let streams = world.begin(&binary, "killed", STREAMS, &gate).await;
    let unfinished = world.begin(&binary, "unfinished", 20, &never).await;
    world.postgres.stop(Shutdown::Immediate).await;
    gate.open();
    let finished = join_all(streams.into_iter().map(Stream::finish)).await;
    binary.kill();
    drop(unfinished);
    world.postgres.start_again().await;
    let binary = Binary::start(&world.setup).await;
    is_ready(&binary.client()).await;
    has_all_and_lost(&world, &finished, 20).await;
    // The same again, with a server that hangs.
    let gate = Gate::new();
    let streams = world.begin(&binary, "killed again", STREAMS, &gate).await;
    world.postgres.pause();
    gate.open();
    let more = join_all(streams.into_iter().map(Stream::finish)).await;
    drop(binary);
    world.postgres.resume();
    until("the connections of the dead program to end", async || {
        const LOCKS: &str = "select count(*) from pg_locks where locktype = 'advisory'";
        world.look().await.count(LOCKS).await == 0
    })
    .await;
    let binary = Binary::start(&world.setup).await;
    is_ready(&binary.client()).await;
    has_all_and_lost(&world, &[finished, more].concat(), 20).await;
}

/// The ledger has these exchanges, so many that were lost, and none that run.
async fn has_all_and_lost(world: &World, finished: &[String], lost: i64) {
    has_all(world, finished).await;
    assert_eq!(world.exchanges("lost").await, lost);
    let known = i64::try_from(finished.len()).expect("a count") + lost;
    assert_eq!(i64::try_from(world.upstream.messages()), Ok(known));
    assert_eq!(world.look().await.count("select count(*) from running").await, 0);
}

/// A large answer does not fit into a line of the journal that is written before its commit.
#[tokio::test]
async fn a_large_answer_survives_the_program_although_its_commit_is_late() {
    if !backend::is_postgres() {
        return;
    }
    let mut world = World::new().await;
    let mut binary = Binary::start(&world.setup).await;
    // Hardly compressible.
    let large: String =
        (0..60_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_string()).collect();
    world.postgres.stop(Shutdown::Fast).await;
    let mut finished = Vec::new();
    for n in 0..2 {
        let marker = format!("marker {n}.");
        let events = Answer::of(MODEL).text(&[&large, "It is ", &marker]).stop("end_turn");
        world.upstream.push(Script::sse(events).only_for(&marker));
        let reply = binary.client().post(CHAT, &ask(&marker)).await;
        finished.push(reply.header("x-reprise-exchange").expect("an exchange").to_owned());
        assert!(reply.text().await.ends_with("[DONE]\n\n"));
    }
    binary.kill();
    world.postgres.start_again().await;
    let binary = Binary::start(&world.setup).await;
    has_all(&world, &finished).await;
    let repeat = binary.client().header("cache-control", "only-if-cached");
    let repeat = sse::openai_text(&repeat.post(CHAT, &ask("marker 1.")).await.chunks().await);
    assert!(repeat.starts_with(&large) && repeat.ends_with("marker 1."));
}

/// After a failover the old server is read-only; the disk of a server is full; a role may no longer write.
#[tokio::test]
async fn rows_wait_for_a_server_that_cannot_write() {
    if !backend::is_postgres() {
        return;
    }
    let world = World::new().await;
    let binary = Binary::start(&world.setup).await;
    let client = binary.client();
    let gate = Gate::new();
    gate.open();
    let mut look = world.look().await;
    look.run("alter system set default_transaction_read_only = on").await;
    look.run("select pg_reload_conf()").await;
    until("the server to be read-only", async || {
        world.look().await.rows::<(String,)>("show default_transaction_read_only").await[0].0
            == "on"
    })
    .await;
    let streams = world.begin(&binary, "read-only", 10, &gate).await;
    let finished = join_all(streams.into_iter().map(Stream::finish)).await;
    is_unready(&client).await;
    let (_, body) = ready(&client).await;
    assert!(body["ledger"]["error"].as_str().expect("an error").contains("25006"), "{body}");
    look.run("alter system reset default_transaction_read_only").await;
    look.run("select pg_reload_conf()").await;
    is_ready(&client).await;
    has_all(&world, &finished).await;
    look.close().await;
}

/// A question does not wait for a server that hangs, whether it has an answer or not.
#[tokio::test]
async fn look_ups_in_a_server_that_hangs_are_bounded() {
    if !backend::is_postgres() {
        return;
    }
    let world = World::new().await;
    let binary = Binary::start(&world.setup).await;
    let gate = Gate::new();
    gate.open();
    let streams = world.begin(&binary, "before", 1, &gate).await;
    join_all(streams.into_iter().map(Stream::finish)).await;
    world.postgres.pause();
    let answers = async {
        for round in 0..10 {
            let marker = format!("{round} while it hangs");
            let events = Answer::of(MODEL).text(&["It is ", &marker]).stop("end_turn");
            world.upstream.push(Script::sse(events).only_for(&marker));
            let client = binary.client().header("x-owui-user", "ann").header("x-owui-chat", "c1");
            let client = client.header("x-owui-message", &format!("m{round}"));
            assert!(client.post(CHAT, &ask(&marker)).await.text().await.ends_with("[DONE]\n\n"));
        }
    };
    let began = std::time::Instant::now();
    soon("ten answers", answers).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    world.postgres.resume();
    is_ready(&binary.client()).await;
    assert_eq!(world.exchanges("complete").await, 11);
}
