//! Clients that do their worst: slow, half-closed, floods, bombs, pipelines. The server goes on to answer the others; its
//! memory has a bound, and its descriptors go back to what they were.

use std::{fs, future::pending, io::Write};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    invariant,
    rounds::Rounds,
    traffic::{self, Order, Ticks},
    world::World,
};
use crate::support::{
    app::{CHAT, MODEL},
    binary::Binary,
    client::Client,
    script::Script,
    soon,
    sse::Answer,
    until,
};

/// More than all of this needs, in KiB, and much less than it would take without bounds.
const MOST_MEMORY: usize = 300 << 10;
/// Descriptors that may stay open: connections upstream and to the ledger, which are pooled.
const POOLED: usize = 50;

#[tokio::test]
async fn no_client_takes_the_server_from_the_others() {
    let mut rounds = Rounds::new("clients", 1);
    let mut most = 0;
    while rounds.next() {
        let chance = &mut rounds.chance.clone();
        rounds.chance.next();
        let mut world = World::new(chance).await;
        let binary = world.start().await;
        others_are_answered(&mut world, &binary, chance).await;
        let before = descriptors(&binary);

        let slow = slow_readers(&world, &binary, chance).await;
        others_are_answered(&mut world, &binary, chance).await;
        let idle = flood(&binary).await;
        others_are_answered(&mut world, &binary, chance).await;
        most = most.max(memory(&binary));
        bombs(&world, &binary).await;
        half_closed(&world, &binary, chance).await;
        pipelined(&binary).await;
        let url = binary.url().to_owned();
        let leaving: Vec<Order> =
            (0..20).map(|_| traffic::plain(chance).left_after(chance.below(4))).collect();
        world.traffic(&url, leaving, &Ticks::default(), pending()).await;
        others_are_answered(&mut world, &binary, chance).await;
        most = most.max(memory(&binary));
        drop((slow, idle));

        until("the descriptors to be closed", async || descriptors(&binary) <= before + POOLED)
            .await;
        until("the exchanges to end", async || world.ledger().count("running").await == 0).await;
        assert_eq!(world.ready(&binary).await.0, 200);
        assert!(most < MOST_MEMORY, "{most} KiB");
        world.stop(binary).await;
        invariant::check(&mut world, &mut rounds.tally).await;
    }
    rounds.tally.more = format!("at most {} MiB", most >> 10);
}

async fn others_are_answered(
    world: &mut World,
    binary: &Binary,
    chance: &mut super::rounds::Chance,
) {
    let orders = (0..4).map(|_| traffic::plain(chance)).collect();
    let url = binary.url().to_owned();
    let seen = world.traffic(&url, orders, &Ticks::default(), pending()).await;
    assert_eq!(seen, 4, "others go without an answer");
}

/// They ask for large answers, and read nothing of them.
async fn slow_readers(
    world: &World,
    binary: &Binary,
    chance: &mut super::rounds::Chance,
) -> Vec<TcpStream> {
    let mut slow = Vec::new();
    for _ in 0..12 {
        let order = traffic::plain(chance).streamed();
        let long = "long ".repeat(4_000);
        let parts = [&[order.marker.as_str()], &[long.as_str(); 30][..]].concat();
        let answer = Answer::of(MODEL).text(&parts).stop("end_turn");
        world.upstream.push(Script::sse(answer).only_for(&order.marker));
        let mut stream = connect(binary).await;
        stream.write_all(&order.request(&world.keys.client)).await.expect("a request");
        slow.push(stream);
    }
    slow
}

/// Connections that say nothing, or begin a request and stop.
async fn flood(binary: &Binary) -> Vec<TcpStream> {
    let mut idle = Vec::new();
    for number in 0..300 {
        let mut stream = connect(binary).await;
        if number % 2 == 0 {
            stream.write_all(b"POST /v1/chat/completions HTTP/1.1\r\nhost: ").await.expect("sent");
        }
        idle.push(stream);
    }
    idle
}

/// Heads and bodies that would be huge.
async fn bombs(world: &World, binary: &Binary) {
    let line = format!("GET /health HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    let many = format!("GET /health HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(20_000));
    for bomb in [line, many] {
        refused(&binary.client(), bomb.as_bytes(), &[400, 431]).await;
    }
    let zeros = vec![b' '; 1 << 20];
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for _ in 0..40 {
        packed.write_all(&zeros).expect("memory");
    }
    let packed = packed.finish().expect("memory");
    let key = &world.keys.client;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n\
         content-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        packed.len()
    );
    let bomb = [head.as_bytes(), &packed].concat();
    refused(&binary.client(), &bomb, &[413]).await;
    let length = 34 << 20;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n\
         content-length: {length}\r\n\r\n"
    );
    let large = [head.as_bytes(), &vec![b' '; length]].concat();
    refused(&binary.client(), &large, &[413]).await;
    let deep = format!("{{\"model\":\"{MODEL}\",\"messages\":{}", "[".repeat(100_000));
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n\
         content-length: {}\r\n\r\n",
        deep.len()
    );
    refused(&binary.client(), (head + &deep).as_bytes(), &[400]).await;
}

/// One of these statuses, or the end of the connection.
async fn refused(client: &Client, request: &[u8], by: &[u16]) {
    let reply = soon("an answer to a bomb", client.try_raw(request)).await;
    if let Some(reply) = reply {
        assert!(by.contains(&reply.status.as_u16()), "{}", reply.status);
    }
}

/// They send a request and close their side. They may be answered or taken for gone; nothing hangs.
async fn half_closed(world: &World, binary: &Binary, chance: &mut super::rounds::Chance) {
    for _ in 0..6 {
        let order = traffic::plain(chance);
        order.scripts.iter().for_each(|script| world.upstream.push(script.clone()));
        let mut stream = connect(binary).await;
        stream.write_all(&order.request(&world.keys.client)).await.expect("a request");
        stream.shutdown().await.expect("a half-closed connection");
        let mut answer = Vec::new();
        let read = soon("the end of a connection", stream.read_to_end(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(read.is_err() || answer.is_empty() || answer.starts_with("HTTP/1.1 "), "{answer}");
    }
}

async fn pipelined(binary: &Binary) {
    let mut stream = connect(binary).await;
    let requests = "GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".repeat(49)
        + "GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n";
    stream.write_all(requests.as_bytes()).await.expect("requests");
    let mut answers = String::new();
    soon("all answers", stream.read_to_string(&mut answers)).await.expect("answers");
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 50);
}

async fn connect(binary: &Binary) -> TcpStream {
    let address = binary.client().authority().to_owned();
    soon("a connection", TcpStream::connect(address)).await.expect("a connection")
}

/// The memory that is resident, in KiB.
pub(super) fn memory(binary: &Binary) -> usize {
    figure(binary, "VmRSS:")
}

pub(super) fn threads(binary: &Binary) -> usize {
    figure(binary, "Threads:")
}

fn figure(binary: &Binary, name: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", binary.id())).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a figure");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

pub(super) fn descriptors(binary: &Binary) -> usize {
    fs::read_dir(format!("/proc/{}/fd", binary.id())).expect("a process").count()
}
