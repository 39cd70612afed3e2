//! Who got the end of an answer can rely on it: it is in the ledger. And the ledger's troubles cost nobody an answer.

use std::time::{Duration, Instant};

use crate::support::{
    app::{App, CHAT, MODEL, ask, ask_whole},
    backend,
    script::{Gate, Script},
    sse::Answer,
    until,
    upstream::Upstream,
};

/// The longest that the end of an answer may wait for the ledger, and what a busy machine adds to it.
const BOUND: Duration = Duration::from_secs(5);

fn hello() -> Vec<String> {
    Answer::of(MODEL).text(&["Hel", "lo"]).stop("end_turn")
}

async fn ready(app: &App) -> (u16, serde_json::Value) {
    let reply = app.client().get("/ready").await;
    (reply.status.as_u16(), reply.json().await)
}

#[tokio::test]
async fn whoever_has_read_done_finds_the_exchange_in_the_ledger() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.always(Script::sse(hello()));
    for number in 1..=20 {
        let question = ask(&format!("question {number}"));
        let mut reply = app.client().post(CHAT, &question).await;
        reply.read_until("[DONE]").await;
        let (exchanges, calls) = (app.ledger().exchanges().await, app.ledger().calls().await);
        assert_eq!((exchanges.len(), calls.len()), (number, number));
        let (exchange, call) = (&exchanges[number - 1], &calls[number - 1]);
        assert_eq!((exchange.outcome.as_str(), exchange.servable), ("complete", true));
        assert!(exchange.recording.is_some() && exchange.frame.is_some());
        assert_eq!((exchange.cost, exchange.cost_is.as_str()), (Some(47_000), "exact"));
        assert_eq!((exchange.input, exchange.output), (12, 7));
        assert_eq!(exchange.stop_reason.as_deref(), Some("end_turn"));
        let request = format!("req_{:03}", number - 1);
        assert_eq!(exchange.upstream_request, Some(request));
        assert_eq!(reply.header("x-reprise-exchange"), Some(&*exchange.id));
        assert_eq!(call.exchange.as_ref(), Some(&exchange.id));
        assert_eq!((call.answered_by.as_str(), call.status), ("miss", Some(200)));
        assert_eq!((call.cost, call.saved, call.outcome.as_str()), (Some(47_000), 0, "complete"));
        assert_eq!(app.ledger().count("running").await, 0);
    }
}

#[tokio::test]
async fn a_whole_completion_is_in_the_ledger_before_its_first_byte() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(Script::sse(hello()));
    let reply = app.client().post(CHAT, &ask_whole("hi")).await;
    assert_eq!(app.ledger().exchange().await.outcome, "complete");
    assert_eq!(reply.json().await["choices"][0]["message"]["content"], "Hello");
}

#[tokio::test]
async fn what_runs_upstream_is_known_before_the_first_byte_leaves_and_soon_has_a_row() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let gate = Gate::new();
    upstream.push(Script::sse(hello()).hold(&gate));
    let question = ask("hi");
    tokio::join!(async { drop(app.client().post(CHAT, &question).await.text().await) }, async {
        upstream.await_request(1).await;
        let begun = app.ledger().begun().await;
        assert_eq!(begun.len(), 1);
        until("a row", async || app.ledger().count("running").await == 1).await;
        assert_eq!(app.ledger().begun().await, begun);
        gate.open();
    });
    assert!(app.ledger().begun().await.is_empty());
}

#[tokio::test]
async fn a_locked_ledger_does_not_hold_back_the_end_and_loses_nothing() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let (middle, end) = (Gate::new(), Gate::new());
    let events = hello();
    let script = Script::sse(events[..3].to_vec()).wait(&middle).pieces(events[3..5].to_vec());
    upstream.push(script.wait(&end).pieces(events[5..].to_vec()));

    let mut reply = app.client().post(CHAT, &ask("hi")).await;
    reply.read_until("Hel").await;
    let lock = app.ledger().lock().await;
    middle.open();
    assert!(!reply.read_until("\"lo\"").await.contains("[DONE]"));
    let before_end = Instant::now();
    end.open();
    let rest = reply.read_until("[DONE]").await;
    assert!(rest.contains("\"finish_reason\":\"stop\"") && reply.is_complete());
    assert!(before_end.elapsed() < BOUND);
    assert_eq!(app.ledger().committed("exchange").await, 0);
    until("/ready to say that the ledger is locked", async || ready(&app).await.0 == 503).await;
    let (_, body) = ready(&app).await;
    assert_eq!(body["ledger"]["writable"], false);
    // Where others share the ledger, the end waits for the commit, for a limited time.
    let late = u64::from(backend::is_postgres());
    assert_eq!((&body["ledger"]["late"], &body["ledger"]["queued"]), (&late.into(), &1.into()));
    assert_eq!(body["status"], "the ledger cannot be written, 1 row late");

    lock.release().await;
    let exchange = app.ledger().await_exchange(1).await;
    assert_eq!((exchange.outcome.as_str(), exchange.cost), ("complete", Some(47_000)));
    assert!(exchange.servable && exchange.recording.is_some());
    assert_eq!(app.ledger().count("call").await, 1);
    assert_eq!(app.ledger().count("running").await, 0);
    until("/ready to be content again", async || ready(&app).await.0 == 200).await;
}

#[tokio::test]
async fn a_locked_ledger_does_not_stop_answers_or_repeats() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.always(Script::sse(hello()));
    app.client().post(CHAT, &ask("known")).await.text().await;

    let lock = app.ledger().lock().await;
    let hit = app.client().post(CHAT, &ask("known")).await;
    assert!(hit.header("cache-status").is_some_and(|status| status.contains("hit")));
    hit.text().await;
    assert_eq!(ready(&app).await.1["ledger"]["late"], 0, "hits never wait");
    let new = app.client().post(CHAT, &ask("new")).await;
    assert!(new.text().await.ends_with("data: [DONE]\n\n"));
    // What is not committed yet can be repeated.
    let repeat = app.client().post(CHAT, &ask("new")).await;
    assert!(repeat.header("cache-status").is_some_and(|status| status.contains("hit")));
    repeat.text().await;
    assert_eq!(upstream.requests().len(), 2);
    lock.release().await;

    let ledger = app.stop().await;
    assert_eq!(ledger.exchanges().await.len(), 2);
    let answered: Vec<_> = ledger.calls().await.into_iter().map(|it| it.answered_by).collect();
    assert_eq!(answered, ["miss", "hit", "miss", "hit"]);
    assert_eq!(ledger.count("running").await, 0);
}
