//! Killed at any moment, the ledger has every answer that a client saw the end of, and says of the others that they are
//! lost.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream::FuturesUnordered};

use crate::support::{
    app::{CHAT, MODEL, Setup, ask, ask_whole},
    binary::{Binary, command},
    client::{Client, Read},
    script::{Gate, Script},
    sse::{self, Answer},
    until,
    upstream::Upstream,
};

const ROUNDS: usize = 40;
const CLIENTS: usize = 6;

/// An answer that a client got to its end.
struct Finished {
    marker: String,
    exchange: String,
}

/// Reads to the end, or as far as it goes.
async fn read(client: Client, marker: String, whole: bool) -> Option<Finished> {
    let body = if whole { ask_whole(&marker) } else { ask(&marker) }.to_string();
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    let mut reply = client.try_raw((head + &body).as_bytes()).await?;
    let exchange = reply.header("x-reprise-exchange").map(str::to_owned);
    let (body, end) = reply.rest().await;
    let body = str::from_utf8(&body).expect("text");
    let finished = if whole { end == Read::End } else { body.contains("[DONE]") };
    finished.then(|| {
        assert!(body.contains(&marker), "another's answer: {body}");
        Finished { marker, exchange: exchange.expect("an exchange") }
    })
}

#[tokio::test]
async fn kill_9_loses_nothing_that_a_client_has_seen_the_end_of() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let ledger = setup.ledger();
    let mut finished = Vec::new();
    let mut lost = BTreeSet::new();
    let mut least = 0;
    for round in 0..ROUNDS {
        let mut binary = Binary::start(&setup).await;
        assert_eq!(ledger.count("running").await, 0, "the start has closed the books of the dead");
        let log = std::fs::read_to_string(setup.folder().join("log")).expect("a log");
        assert!(!log.contains("newest rows"), "nothing is missing: {log}");
        let mut reading = FuturesUnordered::new();
        for number in 0..CLIENTS {
            let marker = format!("marker {round}-{number}.");
            let answer = Answer::of(MODEL).text(&["It is ", &marker]).stop("end_turn");
            upstream.push(Script::sse(answer).only_for(&marker));
            reading.push(read(binary.client(), marker, number % 2 == 1));
        }
        // Killed as soon as so many have seen the end; what is in the others' sockets by then counts, too.
        let enough = round % CLIENTS + 1;
        least += enough;
        let mut seen = 0;
        while let Some(one) = reading.next().await {
            finished.extend(one);
            seen += 1;
            if seen == enough {
                binary.kill();
            }
        }
        ledger.is_left().await;
        let begun = ledger.begun().await;
        // What is in the journal only is in any report, too.
        let report = command(&setup).arg("stats").output().expect("the program");
        assert!(report.status.success(), "{report:?}");
        let complete = ledger.column("select id from exchange where outcome = 'complete'").await;
        let calls = ledger.column("select exchange from call where outcome = 'complete'").await;
        for Finished { marker, exchange } in &finished {
            assert!(complete.contains(exchange), "round {round}: {marker} is not in the ledger");
            assert!(calls.contains(exchange), "round {round}: the call of {marker} is missing");
            assert!(!begun.contains(exchange));
        }
        lost.extend(begun);
    }
    assert!(finished.len() >= least, "{} of {least}", finished.len());

    let binary = Binary::start(&setup).await;
    let asked = upstream.requests().len();
    for Finished { marker, exchange } in finished {
        let repeat = binary.client().header("cache-control", "only-if-cached");
        let repeat = repeat.post(CHAT, &ask(&marker)).await;
        assert_eq!(repeat.header("x-reprise-exchange"), Some(&*exchange));
        let text = sse::openai_text(&repeat.chunks().await);
        assert_eq!(text, format!("It is {marker}"));
    }
    assert_eq!(upstream.requests().len(), asked);
    let closed = ledger.column("select id from exchange where outcome = 'lost'").await;
    assert_eq!(closed, lost, "what was upstream when the process died");
}

#[tokio::test]
async fn what_was_upstream_at_the_kill_is_lost_at_the_next_start() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let mut binary = Binary::start(&setup).await;
    let block = sse::content_block_start(0, r#"{"type":"text","text":"Hel"}"#);
    let beginning = Answer::of(MODEL).event(block).unfinished();
    upstream.push(Script::sse(beginning).stall());
    let client = binary.client().header("x-owui-user", "ann").header("x-owui-chat", "c1");
    let mut reply = client.post(CHAT, &ask("hi")).await;
    reply.read_until("Hel").await;
    let id = reply.header("x-reprise-exchange").map(str::to_owned).expect("an exchange");
    let ledger = setup.ledger();
    // Its request is kept from then on.
    until("a row", async || ledger.count("running").await == 1).await;
    binary.kill();
    assert_eq!(reply.rest().await.1, Read::Cut);
    assert_eq!(ledger.count("exchange").await, 0);

    let binary = Binary::start(&setup).await;
    let exchange = ledger.exchange().await;
    assert_eq!((exchange.id, exchange.outcome.as_str()), (id.clone(), "lost"));
    // The kill may have come before the journal had the beginning of the answer: 12 tokens and one.
    assert!([Some(0), Some(12 * 1_000 + 5_000)].contains(&exchange.cost), "{:?}", exchange.cost);
    assert_eq!(exchange.cost_is, "at_least");
    assert!(!exchange.servable && exchange.frame.is_some(), "what was asked is known");
    let calls = ledger.calls().await;
    assert_eq!(calls.len(), 1);
    assert_eq!((calls[0].exchange.as_ref(), calls[0].outcome.as_str()), (Some(&id), "lost"));
    assert_eq!((calls[0].status, calls[0].answered_by.as_str()), (None, "miss"));
    assert!(calls[0].client_frame.is_some());
    assert_eq!(ledger.count("running").await, 0);
    upstream.push(Script::sse(Answer::of(MODEL).text(&["Hello"]).stop("end_turn")));
    assert_eq!(
        sse::openai_text(&binary.client().post(CHAT, &ask("hi")).await.chunks().await),
        "Hello"
    );
}

#[tokio::test]
async fn a_hit_that_the_ledger_could_not_take_yet_survives_kill_9() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let ledger = setup.ledger();
    let mut binary = Binary::start(&setup).await;
    upstream.push(Script::sse(Answer::of(MODEL).text(&["Hello"]).stop("end_turn")));
    binary.client().post(CHAT, &ask("hi")).await.text().await;
    // The writer cannot commit, and the answer is in memory.
    let lock = ledger.lock().await;
    for whole in [false, true] {
        let question = if whole { ask_whole("hi") } else { ask("hi") };
        let hit = binary.client().post(CHAT, &question).await;
        assert!(hit.header("cache-status").is_some_and(|status| status.contains("hit")));
        hit.text().await;
    }
    binary.kill();
    lock.release().await;
    assert_eq!(ledger.count("call").await, 1);

    for start in ["the start after the kill", "the one after that"] {
        let mut binary = Binary::start(&setup).await;
        let calls = ledger.calls().await;
        assert_eq!(calls.len(), 3, "{start}");
        for call in &calls[1..] {
            assert_eq!((call.answered_by.as_str(), call.outcome.as_str()), ("hit", "complete"));
            assert_eq!((call.cost, call.status), (Some(0), Some(200)));
            assert_eq!((call.saved, &call.exchange), (calls[0].cost.unwrap(), &calls[0].exchange));
        }
        assert_eq!(calls[1].client_frame, calls[0].client_frame, "the same request");
        binary.kill();
    }
    assert_eq!(ledger.stats().await.total.calls, 3);
}

#[tokio::test]
async fn a_call_that_joined_survives_kill_9_and_ends_as_the_one_it_joined() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let ledger = setup.ledger();
    let mut binary = Binary::start(&setup).await;
    let end = Gate::new();
    let events = Answer::of(MODEL).text(&["Hel", "lo"]).stop("end_turn");
    let script = Script::sse(events[..3].to_vec()).wait(&end).pieces(events[3..].to_vec());
    upstream.push(script);
    let mut first = binary.client().post(CHAT, &ask("hi")).await;
    first.read_until("Hel").await;
    let mut joined = binary.client().post(CHAT, &ask("hi")).await;
    joined.read_until("Hel").await;
    end.open();
    first.read_until("[DONE]").await;
    joined.read_until("[DONE]").await;
    binary.kill();

    let _binary = Binary::start(&setup).await;
    let calls = ledger.calls().await;
    let [asker, joined] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!((joined.answered_by.as_str(), joined.outcome.as_str()), ("collapsed", "complete"));
    assert_eq!((joined.cost, Some(joined.saved), joined.status), (Some(0), asker.cost, Some(200)));
    assert_eq!(joined.exchange, asker.exchange);
}

#[tokio::test]
async fn every_try_of_a_lost_exchange_is_counted() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let mut binary = Binary::start(&setup).await;
    for _ in 0..2 {
        upstream.push(Script::error(529, "overloaded_error", "Overloaded"));
    }
    upstream.push(Script::silent());
    let client = binary.client();
    let killed = async {
        upstream.await_request(3).await;
        binary.kill();
    };
    client.post_and_leave(CHAT, &ask("hi"), killed).await;
    let _binary = Binary::start(&setup).await;
    let exchange = setup.ledger().exchange().await;
    assert_eq!((exchange.outcome.as_str(), exchange.tries), ("lost", 3));
}
