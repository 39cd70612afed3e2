//! Current activity: calls as they begin and end, answers as they are written, and the hand of an operator.

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    app::{App, CHAT, MODEL, Setup, ask, ask_whole, with},
    client::{Client, Read, Reply},
    script::{Gate, Script},
    sse::{self, Answer},
    until,
    upstream::{Outcome, Upstream},
};

pub(super) fn beginning() -> Vec<String> {
    let block = sse::content_block_start(0, r#"{"type":"text","text":""}"#);
    Answer::of(MODEL).event(block).event(sse::text_delta(0, "Hel")).unfinished()
}

fn end() -> Vec<String> {
    Answer::of(MODEL).text(&["Hel", "lo"]).stop("end_turn").split_off(3)
}

/// A browser that shows the page of this server.
fn page(app: &App) -> Client {
    app.client().header("sec-fetch-site", "same-origin")
}

/// A stream of events that is read one by one.
pub(super) struct Events {
    reply: Reply,
    text: String,
}

impl Events {
    pub(super) async fn open(client: &Client, path: &str) -> Self {
        let reply = client.get(path).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}");
        assert_eq!(reply.header("content-type"), Some("text/event-stream"));
        assert_eq!(reply.header("x-accel-buffering"), Some("no"));
        Self { reply, text: String::new() }
    }

    /// The next event of a name; others are passed over.
    pub(super) async fn next(&mut self, name: &str) -> Value {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |field: &str| event.lines().find_map(|line| line.strip_prefix(field));
                let (is_it, data) = (field("event: ") == Some(name), field("data: "));
                let data = data.map(|data| serde_json::from_str(data).expect("JSON"));
                let rest = rest.to_owned();
                self.text = rest;
                if is_it {
                    return data.expect("data");
                }
            }
            let piece = self.reply.piece().await;
            self.text.push_str(&piece);
        }
    }

    /// The stream ends by itself, and in order.
    async fn ends(mut self) {
        assert_eq!(self.reply.rest().await.1, Read::End);
    }
}

/// The only running call.
pub(super) fn one(list: &Value) -> Value {
    let running = list["running"].as_array().expect("a list");
    assert_eq!(running.len(), 1, "{list}");
    running[0].clone()
}

pub(super) fn path_of(running: &Value) -> String {
    format!("/page/live/{}", running["exchange"].as_str().expect("an exchange"))
}

/// The question of a user.
fn ann_asks() -> Value {
    with(ask("hi"), "user", json!("ann"))
}

/// An answer that has begun and waits, its client, and what the page tells of it.
async fn begun(upstream: &Upstream, app: &App, gate: &Gate) -> (Reply, Value) {
    upstream.push(Script::sse(beginning()).wait(gate).pieces(end()));
    let mut reply = app.client().post(CHAT, &ann_asks()).await;
    reply.read_until("Hel").await;
    let told = Events::open(&page(app), "/page/live").await.next("snapshot").await;
    (reply, one(&told))
}

#[tokio::test]
async fn a_call_begins_writes_and_ends_before_the_eyes_of_an_operator() {
    let (upstream, gate) = (Upstream::start().await, Gate::new());
    let app = App::start(&upstream).await;
    let mut live = Events::open(&page(&app), "/page/live").await;
    assert_eq!(live.next("snapshot").await, json!({ "running": [], "more": 0, "ended": [] }));
    let (reply, running) = begun(&upstream, &app, &gate).await;
    let began = live.next("began").await;
    assert_eq!((&began["exchange"], &began["begun"]), (&running["exchange"], &json!(false)));
    assert_eq!((&began["call"]["user"], &began["call"]["model"]), (&json!("ann"), &json!(MODEL)));
    assert_eq!((&running["begun"], &running["readers"]), (&json!(true), &json!(1)));

    let mut written = Events::open(&page(&app), &path_of(&running)).await;
    assert_eq!(written.next("written").await, json!({ "kind": "text", "text": "Hel" }));
    gate.open();
    assert_eq!(written.next("written").await, json!({ "kind": "text", "text": "lo" }));
    assert_eq!(written.next("end").await, json!({}));
    written.ends().await;
    assert_eq!(sse::openai_text(&reply.chunks().await), "lo");
    let ended = live.next("ended").await;
    assert_eq!((&ended["id"], &ended["outcome"]), (&began["call"]["id"], &json!("complete")));
    assert!(ended["cost"]["nano_dollars"].as_u64() > Some(0));

    // A repeat asks nobody and ends at once.
    app.client().post(CHAT, &ann_asks()).await.text().await;
    assert_eq!(live.next("ended").await["answered_by"], "hit");
    until("both in the ledger", async || app.ledger().calls().await.len() == 2).await;
    let told = Events::open(&page(&app), "/page/live").await.next("snapshot").await;
    assert_eq!((&told["running"], told["ended"].as_array().map(Vec::len)), (&json!([]), Some(2)));
    let gone = page(&app).get(&path_of(&running)).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn changes_of_running_calls_are_told_and_lookers_are_no_readers() {
    let (upstream, gate) = (Upstream::start().await, Gate::new());
    let app = App::start(&upstream).await;
    let (_reply, running) = begun(&upstream, &app, &gate).await;
    let mut written = Events::open(&page(&app), &path_of(&running)).await;
    written.next("written").await;
    let mut live = Events::open(&page(&app), "/page/live").await;
    assert_eq!(one(&live.next("snapshot").await)["readers"], 1);
    let mut joined = app.client().post(CHAT, &ann_asks()).await;
    joined.read_until("Hel").await;
    assert_eq!(one(&live.next("running").await)["readers"], 2);
    drop(joined);
    assert_eq!(live.next("ended").await["answered_by"], "collapsed");
    assert_eq!(one(&live.next("running").await)["readers"], 1);
}

#[tokio::test]
async fn an_operator_who_looks_does_not_hold_an_abandoned_answer() {
    let (upstream, gate) = (Upstream::start().await, Gate::new());
    let app = App::start(&upstream).await;
    let (reply, running) = begun(&upstream, &app, &gate).await;
    let mut written = Events::open(&page(&app), &path_of(&running)).await;
    written.next("written").await;
    drop(reply);
    upstream.await_outcome(0, Outcome::Disconnected).await;
    written.next("end").await;
    written.ends().await;
    assert_eq!(app.ledger().await_exchange(1).await.outcome, "stopped");
}

#[tokio::test]
async fn a_stopped_answer_ends_with_an_error_that_says_so() {
    let (upstream, gate) = (Upstream::start().await, Gate::new());
    let app = App::start(&upstream).await;
    let (mut reply, running) = begun(&upstream, &app, &gate).await;
    let mut joined = app.client().post(CHAT, &ann_asks()).await;
    joined.read_until("Hel").await;
    let stop = format!("{}/stop", path_of(&running));
    assert_eq!(page(&app).post(&stop, &json!({})).await.status, StatusCode::NO_CONTENT);
    for reply in [&mut reply, &mut joined] {
        let (body, end) = reply.rest().await;
        let chunks = sse::openai_sse(str::from_utf8(&body).expect("text"));
        let error = chunks.last().map(|chunk| &chunk["error"]).expect("an error");
        assert_eq!((&error["code"], end), (&json!("stopped_by_operator"), Read::End));
        assert!(error["message"].as_str().is_some_and(|text| text.contains("operator")), "{error}");
    }
    upstream.await_outcome(0, Outcome::Disconnected).await;
    let exchange = app.ledger().await_exchange(1).await;
    assert_eq!((exchange.outcome.as_str(), exchange.servable), ("stopped", false));
    assert_eq!(exchange.cost_is, "at_least");
    until("both calls in the ledger", async || app.ledger().calls().await.len() == 2).await;
    for call in app.ledger().calls().await {
        assert_eq!(call.outcome, "stopped");
    }
    let again = page(&app).post(&stop, &json!({})).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    assert_eq!(again.json().await["error"]["code"], "not_running");
}

#[tokio::test]
async fn an_answer_that_is_stopped_before_its_beginning_is_not_asked_for_again() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(Script::silent());
    let client = app.client();
    let question = ask_whole("hi");
    let stopped = async {
        upstream.await_request(1).await;
        let told = Events::open(&page(&app), "/page/live").await.next("snapshot").await;
        let running = one(&told);
        assert_eq!(running["begun"], false);
        let stop = format!("{}/stop", path_of(&running));
        assert_eq!(page(&app).post(&stop, &json!({})).await.status, StatusCode::NO_CONTENT);
    };
    let (reply, ()) = tokio::join!(client.post(CHAT, &question), stopped);
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reply.header("x-should-retry"), Some("false"));
    assert_eq!(reply.json().await["error"]["code"], "stopped_by_operator");
    upstream.await_outcome(0, Outcome::Disconnected).await;
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn what_must_not_be_kept_is_not_shown() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let temporary = ["user", "chat", "message"].into_iter().fold(app.client(), |client, name| {
        client.header(&format!("x-owui-{name}"), &format!("temporary:{name}"))
    });
    for client in [app.client().header("cache-control", "no-store"), temporary] {
        upstream.push(Script::sse(beginning()).stall());
        let mut reply = client.post(CHAT, &ask("secret")).await;
        reply.read_until("Hel").await;
        let told = Events::open(&page(&app), "/page/live").await.next("snapshot").await;
        let running = one(&told);
        assert_eq!(running["readable"], false);
        let refused = page(&app).get(&path_of(&running)).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        assert_eq!(refused.json().await["error"]["code"], "not_readable");
        drop(reply);
        until("the end of it", async || app.ledger().count("running").await == 0).await;
    }
}

#[tokio::test]
async fn streams_end_with_their_session_and_with_the_server() {
    let upstream = Upstream::start().await;
    let app = Setup::of(&upstream).set("REPRISE_ADMIN_KEY", "adm").start().await;
    let signed_in = page(&app).post("/page/login", &json!({ "key": "adm" })).await;
    let cookie = signed_in.header("set-cookie").and_then(|cookie| cookie.split(';').next());
    let session = page(&app).header("cookie", cookie.expect("a cookie"));
    let mut live = Events::open(&session, "/page/live").await;
    live.next("snapshot").await;
    session.post("/page/logout", &json!({})).await;
    live.ends().await;
    assert_eq!(session.get("/page/live").await.status, StatusCode::UNAUTHORIZED);

    let by_program = app.client().bearer("adm");
    let mut live = Events::open(&by_program, "/page/live").await;
    live.next("snapshot").await;
    // It does not have to wait for the stream.
    app.stop().await;
    live.ends().await;
}

#[tokio::test]
async fn somebody_has_only_a_few_streams() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let mut open = Vec::new();
    let refused = loop {
        let reply = page(&app).get("/page/live").await;
        if reply.status != StatusCode::OK {
            break reply;
        }
        open.push(reply);
    };
    assert_eq!((open.len(), refused.status), (8, StatusCode::TOO_MANY_REQUESTS));
    drop(open);
    until("room for another", async || page(&app).get("/page/live").await.status == 200).await;
}
