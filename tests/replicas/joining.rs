//! Of equal requests to several processes one is asked, whatever becomes of the process that asks.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{Replica, Shared};
use crate::{
    proxy::{
        chats::{TITLE, asks_task, says, status},
        streaming::without_ids,
    },
    support::{
        app::{CHAT, MODEL, ask, with},
        client::{Client, Reply},
        script::{Gate, Script},
        sse::{self, Answer},
        until,
        upstream::Upstream,
    },
};

const MANY: usize = 50;
/// The same as a number of rows.
const ROWS: i64 = 50;

async fn three(shared: &Shared, upstream: &Upstream) -> Vec<Replica> {
    join_all((0..3).map(|_| shared.start(upstream))).await
}

/// An answer that is held back before its first word.
fn slow(gate: &Gate) -> Script {
    Script::sse(Answer::of(MODEL).text(&["Hel", "lo", " there"]).stop("end_turn")).hold(gate)
}

fn of(client: Client, chat: &str, message: &str) -> Client {
    client
        .header("x-owui-user", "ann")
        .header("x-owui-chat", chat)
        .header("x-owui-message", message)
}

/// Waits until so many calls wait for upstream or for other processes.
async fn calls_run(replicas: &[Replica], calls: u64) {
    until(&format!("{calls} calls at once"), async || {
        let mut running = Vec::new();
        for replica in replicas {
            let ready = replica.binary.client().get("/ready").await.json().await;
            running.push(ready["running"]["calls"].as_u64().expect("a number"));
        }
        running.iter().sum::<u64>() == calls
    })
    .await;
}

/// Sends the request to each process in turn, and lets upstream answer when all wait. Returns the heads.
async fn all_at_once(
    replicas: &[Replica],
    gate: &Gate,
    body: &Value,
    client: impl Fn(Client) -> Client,
) -> Vec<Reply> {
    let clients: Vec<Client> =
        (0..MANY).map(|number| client(replicas[number % replicas.len()].binary.client())).collect();
    let replies = join_all(clients.iter().map(|client| client.post(CHAT, body)));
    let opened = async {
        calls_run(replicas, 50).await;
        gate.open();
    };
    tokio::join!(replies, opened).0
}

/// One asked and paid, the others got the same.
async fn one_asked(shared: &Shared, upstream: &Upstream, replies: Vec<Reply>) {
    let mut ways: Vec<_> = replies.iter().map(status).collect();
    ways.sort();
    assert_eq!(ways.iter().filter(|way| *way == "fwd=miss; collapsed").count(), MANY - 1);
    assert_eq!(ways[MANY - 1], "fwd=miss; stored");
    let exchange = replies[0].header("x-reprise-exchange").expect("an exchange").to_owned();
    assert!(replies.iter().all(|reply| reply.header("x-reprise-exchange") == Some(&*exchange)));
    let texts = join_all(replies.into_iter().map(Reply::text)).await;
    let cost = "\"cost\":0.000047";
    let free = |text: &str| without_ids(text).replace(cost, "\"cost\":0.0,\"saved\":0.000047");
    assert!(texts.iter().all(|text| free(text) == free(&texts[0]) && text.ends_with("[DONE]\n\n")));
    assert_eq!(upstream.requests().len(), 1);
    let calls = "select count(*) from call join exchange on exchange.id = call.exchange \
         where call.answered_by = 'collapsed' and call.outcome = 'complete' and call.cost = 0 and call.saved = 47000";
    until("all calls in the ledger", async || {
        shared.count("select count(*) from call").await == ROWS
    })
    .await;
    assert_eq!(shared.count(calls).await, ROWS - 1);
    assert_eq!(shared.count("select count(*) from call where cost = 47000").await, 1, "one pays");
    assert_eq!(shared.count("select count(*) from exchange").await, 1);
    assert_eq!(shared.count("select count(*) from claim").await, 0);
}

#[tokio::test]
async fn fifty_equal_tasks_over_three_processes_are_one_request() {
    let Some(shared) = Shared::new() else { return };
    let upstream = Upstream::start().await;
    let replicas = three(&shared, &upstream).await;
    let gate = Gate::new();
    upstream.push(slow(&gate));
    let title = with(asks_task(TITLE), "stream", json!(true));
    let task = |client| of(client, "c1", "").header("x-owui-task", "title_generation");
    let replies = all_at_once(&replicas, &gate, &title, task).await;
    one_asked(&shared, &upstream, replies).await;
}

#[tokio::test]
async fn fifty_equal_streams_over_three_processes_are_one_request() {
    let Some(shared) = Shared::new() else { return };
    let upstream = Upstream::start().await;
    let replicas = three(&shared, &upstream).await;
    let gate = Gate::new();
    upstream.push(slow(&gate));
    let replies = all_at_once(&replicas, &gate, &ask("hi"), |client| client).await;
    one_asked(&shared, &upstream, replies).await;
}

#[tokio::test]
async fn when_the_process_that_asks_is_killed_one_of_the_others_asks() {
    let Some(shared) = Shared::new() else { return };
    let upstream = Upstream::start().await;
    let mut replicas = three(&shared, &upstream).await;
    upstream.push(Script::silent());
    upstream.push(says("yes"));
    let (killed, others) = replicas.split_at_mut(1);
    let body = ask("hi").to_string();
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    let (first, request) = (killed[0].binary.client(), head + &body);
    let asks = first.try_raw(request.as_bytes());
    let rest = async {
        upstream.await_request(1).await;
        let clients: Vec<Client> = (0..10).map(|n| others[n % 2].binary.client()).collect();
        let body = ask("hi");
        let replies = join_all(clients.iter().map(|client| client.post(CHAT, &body)));
        let kill = async {
            calls_run(others, 10).await;
            killed[0].binary.kill();
        };
        tokio::join!(replies, kill).0
    };
    let (unanswered, replies) = tokio::join!(asks, rest);
    assert!(unanswered.is_none());
    for reply in replies {
        assert_eq!(sse::openai_text(&reply.chunks().await), "yes");
    }
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn an_answer_that_is_no_good_for_others_is_asked_by_one_of_them() {
    let Some(shared) = Shared::new() else { return };
    let upstream = Upstream::start().await;
    let replicas = three(&shared, &upstream).await;
    let gate = Gate::new();
    upstream.push(Script::error(400, "invalid_request_error", "no").hold(&gate));
    upstream.push(says("yes"));
    let body = ask("hi");
    let first = replicas[0].binary.client();
    let asks = first.post(CHAT, &body);
    let others = async {
        upstream.await_request(1).await;
        let clients = [1, 2].map(|number| replicas[number].binary.client());
        let replies = join_all(clients.iter().map(|client| client.post(CHAT, &body)));
        let opened = async {
            calls_run(&replicas, 3).await;
            gate.open();
        };
        tokio::join!(replies, opened).0
    };
    let (refused, others) = tokio::join!(asks, others);
    assert_eq!(refused.status.as_u16(), 400);
    for other in others {
        assert_eq!(sse::openai_text(&other.chunks().await), "yes");
    }
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn a_regenerate_on_one_process_is_what_the_others_serve() {
    let Some(shared) = Shared::new() else { return };
    let upstream = Upstream::start().await;
    let replicas = three(&shared, &upstream).await;
    let told = async |replica: &Replica, chat: &str, message: &str| {
        let reply = of(replica.binary.client(), chat, message).post(CHAT, &ask("hi")).await;
        (status(&reply), sse::openai_text(&reply.chunks().await))
    };
    let is = |(way, text): (String, String), expected: [&str; 2]| {
        assert!(way.starts_with(expected[0]) && text == expected[1], "{way}: {text}");
    };
    upstream.push(says("one"));
    is(told(&replicas[0], "c1", "m1").await, ["fwd=miss", "one"]);
    // In the memory of both.
    is(told(&replicas[0], "c2", "m2").await, ["hit", "one"]);
    is(told(&replicas[1], "c3", "m3").await, ["hit", "one"]);
    upstream.push(says("two"));
    is(told(&replicas[1], "c1", "m4").await, ["fwd=", "two"]);
    for (number, replica) in replicas.iter().enumerate() {
        let mut again = 0;
        until("the newest answer", async || {
            again += 1;
            let chat = format!("c{number}-{again}");
            let (way, text) = told(replica, &chat, "m").await;
            assert_eq!(way, "hit");
            text == "two"
        })
        .await;
    }
    assert_eq!(upstream.requests().len(), 2);
}
