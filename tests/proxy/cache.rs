//! A repeat costs nothing and is the same answer; what is not a repeat is asked anew.

use reprise::domain::exchange::AnsweredBy;
use serde_json::{Value, json};

use crate::{
    proxy::streaming::assembled,
    support::{
        app::{App, CHAT, MODEL, Setup, ask, ask_whole, with},
        client::{Client, Reply},
        script::Script,
        sse::{self, Answer, Tokens},
        upstream::Upstream,
    },
};

fn hello() -> Script {
    Script::sse(Answer::of(MODEL).text(&["Hel", "lo"]).stop("end_turn"))
}

fn status(reply: &Reply) -> String {
    reply.header("cache-status").unwrap_or_default().to_owned()
}

fn is_hit(reply: &Reply) -> bool {
    let hit = status(reply).starts_with("reprise; hit; ttl=");
    assert_eq!(hit, reply.header("age").is_some(), "hits and only hits have an age");
    hit
}

/// Reads to the end, from when on the answer is in the ledger.
async fn was_hit(reply: Reply) -> bool {
    let hit = is_hit(&reply);
    reply.text().await;
    hit
}

/// A client that wants nothing but what is in the ledger.
fn only_if_cached(app: &App) -> Client {
    app.client().header("cache-control", "only-if-cached")
}

fn with_usage(request: Value) -> Value {
    with(request, "stream_options", json!({ "include_usage": true }))
}

#[tokio::test]
async fn a_repeat_is_the_same_answer_and_asks_nobody() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let tokens = Tokens { cache_read: 1000, thinking: 3, ..Tokens::default() };
    let events = Answer::counting(MODEL, tokens)
        .thinking(&["Hm"], "EqQB")
        .text(&["I'll ", "look"])
        .tool("toolu_01", "f", &["{\"a\":", "1}"])
        .stop("tool_use");
    upstream.push(Script::sse(events));
    let first = app.client().post(CHAT, &with_usage(ask("hi"))).await;
    assert!(status(&first).starts_with("reprise; fwd=miss; stored; key="), "{}", status(&first));
    assert!(!is_hit(&first));
    let exchange = first.header("x-reprise-exchange").map(str::to_owned);
    let first = first.text().await;
    let billed = sse::openai_sse(&first);
    for _ in 0..3 {
        let repeat = app.client().post(CHAT, &with_usage(ask("hi"))).await;
        assert!(is_hit(&repeat), "{}", status(&repeat));
        assert_eq!(repeat.header("x-reprise-exchange").map(str::to_owned), exchange);
        let repeat = repeat.text().await;
        let free = sse::openai_sse(&repeat);
        assert_ne!(free[0]["id"], billed[0]["id"]);
        let usage = &free[free.len() - 2]["usage"];
        let cost = &billed[billed.len() - 2]["usage"]["cost"];
        assert_eq!((&usage["cost"], &usage["saved"]), (&json!(0.0), cost));
        let paid =
            first.replace(&format!("\"cost\":{cost}"), &format!("\"cost\":0.0,\"saved\":{cost}"));
        assert_eq!(sse::joined(&repeat), sse::joined(&paid));
    }
    assert_eq!(upstream.requests().len(), 1);

    let ledger = app.stop().await;
    assert_eq!(ledger.count("exchange").await, 1);
    let calls = ledger.calls().await;
    assert_eq!(calls.len(), 4);
    for hit in &calls[1..] {
        assert_eq!((hit.answered_by.as_str(), hit.status), ("hit", Some(200)));
        assert_eq!(hit.exchange, exchange);
        assert_eq!((hit.cost, Some(hit.saved)), (Some(0), calls[0].cost));
    }
    let total = ledger.stats().await.total;
    let answered = [(AnsweredBy::Hit, 3), (AnsweredBy::Miss, 1)].into();
    assert_eq!((total.calls, &total.answered_by), (4, &answered));
    assert!(total.errors.is_empty());
    let cost = total.cost.nano_dollars.expect("a price");
    assert_eq!(total.saved.ledger.nano_dollars, Some(3 * cost));
}

#[tokio::test]
async fn streamed_and_whole_share_one_recording() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(hello());
    upstream.push(hello());
    for number in 0..2 {
        let (first, second) =
            if number == 0 { (ask("a"), ask_whole("a")) } else { (ask_whole("b"), ask("b")) };
        assert!(!was_hit(app.client().post(CHAT, &first).await).await);
        assert!(was_hit(app.client().post(CHAT, &second).await).await);
    }
    let chunks = app.client().post(CHAT, &with_usage(ask("a"))).await.chunks().await;
    let whole = app.client().post(CHAT, &ask_whole("a")).await.json().await;
    let (message, finish_reason, usage) = assembled(&chunks);
    assert_eq!(whole["choices"][0]["message"], message);
    assert_eq!(whole["choices"][0]["finish_reason"], finish_reason);
    assert_eq!(whole["usage"], usage);
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn a_repeat_survives_a_restart() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    upstream.push(hello());
    let app = setup.start().await;
    let first = app.client().post(CHAT, &ask("hi")).await.text().await;
    app.stop().await;
    let app = setup.start().await;
    let repeat = app.client().post(CHAT, &ask("hi")).await;
    assert!(is_hit(&repeat));
    let repeat = repeat.text().await;
    assert_eq!(sse::joined(&repeat), sse::joined(&first));
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn what_means_the_same_is_the_same_and_what_does_not_is_not() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.always(hello());
    app.client().post(CHAT, &with(ask("hi"), "max_tokens", json!(100))).await.text().await;
    let spaced = format!(
        "{{ \"messages\" : [ {{ \"content\": \"hi\", \"role\": \"user\" }} ], \"max_completion_tokens\": 100,\n \"model\": \"{MODEL}\", \"stream\": true }}"
    );
    assert!(is_hit(&app.client().send("POST", CHAT, spaced.as_bytes()).await));
    let nulls = with(with(ask("hi"), "max_tokens", json!(100)), "temperature", Value::Null);
    assert!(is_hit(&app.client().post(CHAT, &nulls).await));
    assert_eq!(upstream.requests().len(), 1);
    for (field, value) in [
        ("max_tokens", json!(101)),
        ("temperature", json!(0.5)),
        ("stop", json!(["END"])),
        ("user", json!("ann")),
        ("model", json!("claude-sonnet-5-5")),
        ("messages", json!([{ "role": "user", "content": "hi " }])),
    ] {
        let other = with(with(ask("hi"), "max_tokens", json!(100)), field, value);
        assert!(!was_hit(app.client().post(CHAT, &other).await).await, "{field}");
        assert!(was_hit(app.client().post(CHAT, &other).await).await, "{field}");
    }
    assert_eq!(upstream.requests().len(), 7);
}

#[tokio::test]
async fn no_cache_asks_and_keeps_the_newest() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    for text in ["one", "two", "three"] {
        upstream.push(Script::sse(Answer::of(MODEL).text(&[text]).stop("end_turn")));
    }
    let get = async |control: &str| {
        let reply = app.client().header("cache-control", control).post(CHAT, &ask("hi")).await;
        let status = status(&reply);
        (status, sse::openai_text(&reply.chunks().await))
    };
    assert_eq!(get("").await.1, "one");
    let (status, text) = get("no-cache").await;
    assert!(status.contains("fwd=request; stored"), "{status}");
    assert_eq!(text, "two");
    assert_eq!(get("").await.1, "two");
    assert_eq!(get("max-age=0").await.1, "three");
    assert_eq!(get("max-age=60").await.1, "three");
    assert_eq!(upstream.requests().len(), 3);
    let calls = app.stop().await.calls().await;
    let answered: Vec<_> = calls.iter().map(|call| call.answered_by.as_str()).collect();
    assert_eq!(answered, ["miss", "refresh", "hit", "refresh", "hit"]);
}

#[tokio::test]
async fn no_store_keeps_totals_and_nothing_that_was_said() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.always(Script::sse(Answer::of(MODEL).text(&["a secret answer"]).stop("end_turn")));
    let no_store = app.client().header("cache-control", "no-store");
    let temporary = app.client().header("x-owui-chat", "temporary:1");
    for client in [&no_store, &no_store, &temporary] {
        let reply = client.post(CHAT, &ask("a secret question")).await;
        assert!(status(&reply).contains("fwd=bypass") && !status(&reply).contains("stored"));
        assert_eq!(sse::openai_text(&reply.chunks().await), "a secret answer");
    }
    assert_eq!(upstream.requests().len(), 3);
    let refused = only_if_cached(&app).post(CHAT, &ask("a secret question")).await;
    assert_eq!(refused.status.as_u16(), 504);

    for exchange in app.ledger().exchanges().await {
        assert_eq!((exchange.outcome.as_str(), exchange.servable), ("complete", false));
        assert_eq!((exchange.cost, exchange.output), (Some(47_000), 7));
        assert_eq!((exchange.frame, exchange.recording), (None, None));
    }
    for call in app.ledger().calls().await {
        let by = if call.outcome == "refused" { "refused" } else { "bypass" };
        assert_eq!((call.answered_by.as_str(), call.client_frame), (by, None));
    }
    for table in ["frame", "node", "blob"] {
        assert_eq!(app.ledger().count(table).await, 0, "{table}");
    }
    let bytes = app.ledger().bytes().await;
    assert!(!bytes.windows(8).any(|window| window == b"a secret"));
}

#[tokio::test]
async fn only_if_cached_is_a_hit_or_nothing() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let nothing = only_if_cached(&app).post(CHAT, &ask("hi")).await;
    assert_eq!(nothing.status.as_u16(), 504);
    assert_eq!(nothing.json().await["error"]["code"], "not_cached");
    upstream.push(hello());
    app.client().post(CHAT, &ask("hi")).await.text().await;
    let reply = only_if_cached(&app).post(CHAT, &ask("hi")).await;
    assert!(is_hit(&reply));
    assert_eq!(sse::openai_text(&reply.chunks().await), "Hello");
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn users_and_chats_do_not_share() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.always(hello());
    let ann = app.client().header("x-owui-user", "ann");
    ann.post(CHAT, &ask("hi")).await.text().await;
    let strict = |client: Client| client.header("cache-control", "only-if-cached");
    assert!(is_hit(&strict(ann).post(CHAT, &ask("hi")).await));
    for other in [
        app.client(),
        app.client().header("x-owui-user", "bob"),
        app.client().header("x-owui-chat", "ann"),
        app.client().header("x-owui-chat", "c1"),
    ] {
        assert_eq!(strict(other).post(CHAT, &ask("hi")).await.status.as_u16(), 504);
    }
}

#[tokio::test]
async fn answers_that_are_not_whole_and_good_are_never_hits() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let answers = [
        Answer::of(MODEL).text(&["too lon"]).stop("max_tokens"),
        Answer::of(MODEL).text(&["no"]).stop("refusal"),
        Answer::of(MODEL).text(&["?"]).stop("a_reason_of_tomorrow"),
        Answer::of(MODEL).stop("end_turn"),
        Answer::of(MODEL)
            .whole(r#"{"type":"server_tool_use","id":"s","name":"web_search","input":{}}"#)
            .text(&["found"])
            .stop("end_turn"),
    ];
    for (number, events) in answers.into_iter().enumerate() {
        let question = ask(&format!("question {number}"));
        upstream.push(Script::sse(events));
        app.client().post(CHAT, &question).await.text().await;
        assert_eq!(
            only_if_cached(&app).post(CHAT, &question).await.status.as_u16(),
            504,
            "{number}"
        );
        let exchanges = app.ledger().exchanges().await;
        assert_eq!(
            (exchanges[number].outcome.as_str(), exchanges[number].servable),
            ("complete", false)
        );
        assert!(exchanges[number].recording.is_some(), "but it is kept");
    }
    upstream.push(Script::error(400, "invalid_request_error", "no"));
    app.client().post(CHAT, &ask("bad")).await;
    assert_eq!(only_if_cached(&app).post(CHAT, &ask("bad")).await.status.as_u16(), 504);
}

#[tokio::test]
async fn pictures_behind_urls_are_never_hits_and_pictures_in_the_request_are() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.always(hello());
    let showing = |url: &str| {
        let picture = json!({ "type": "image_url", "image_url": { "url": url } });
        with(
            ask(""),
            "messages",
            json!([{ "role": "user", "content": [{ "type": "text", "text": "?" }, picture] }]),
        )
    };
    let behind = showing("https://example.com/cat.png");
    for _ in 0..2 {
        assert!(!is_hit(&app.client().post(CHAT, &behind).await));
    }
    let inside = showing("data:image/png;base64,iVBORw0KGgo=");
    app.client().post(CHAT, &inside).await.text().await;
    assert!(is_hit(&app.client().post(CHAT, &inside).await));
    assert_eq!(upstream.requests().len(), 3);
}

#[tokio::test]
async fn an_answer_that_is_too_old_is_asked_for_again() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    upstream.always(hello());
    let app = setup.start().await;
    app.client().post(CHAT, &ask("hi")).await.text().await;
    let ledger = app.stop().await;
    ledger.run("update exchange set ended_at = ended_at - 7200000").await;

    let app = setup.clone().set("REPRISE_CACHE_TTL", "1h").start().await;
    assert_eq!(only_if_cached(&app).post(CHAT, &ask("hi")).await.status.as_u16(), 504);
    app.stop().await;
    let app = setup.set("REPRISE_CACHE_TTL", "3h").start().await;
    let hit = app.client().post(CHAT, &ask("hi")).await;
    let age: u64 = hit.header("age").and_then(|age| age.parse().ok()).expect("an age");
    assert!((7200..7260).contains(&age), "{age}");
    let status = status(&hit);
    let ttl = status.split("ttl=").nth(1).and_then(|rest| rest.split(';').next());
    let ttl: u64 = ttl.and_then(|ttl| ttl.parse().ok()).expect("a ttl");
    assert!((10_799..=10_800).contains(&(age + ttl)), "{status}");
}

/// A clock that was ahead by three months, and was then set right.
#[tokio::test]
async fn an_answer_from_the_future_is_never_younger_than_the_ledger_proves() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    upstream.always(hello());
    let app = setup.start().await;
    for text in ["hi", "there"] {
        app.client().post(CHAT, &ask(text)).await.text().await;
    }
    let ledger = app.stop().await;
    ledger.run("update exchange set ended_at = ended_at + 7776000000, opened_at = opened_at + 7776000000").await;
    ledger.run("update call set at = at + 7776000000").await;

    // Nothing tells its age, so it counts as too old, and another answer takes its place.
    let app = setup.start().await;
    assert!(!was_hit(app.client().post(CHAT, &ask("hi")).await).await);
    assert!(was_hit(app.client().post(CHAT, &ask("hi")).await).await);
    assert_eq!(upstream.requests().len(), 3);
    let ledger = app.stop().await;
    ledger.run("update exchange set ended_at = ended_at - 7200000 where id = (select max(id) from exchange)").await;
    ledger
        .run("update call set at = at - 7200000 where at < (select max(at) from call) - 86400000")
        .await;

    // Two hours later.
    let app = setup.start().await;
    for text in ["hi", "there"] {
        for _ in 0..2 {
            let hit = app.client().post(CHAT, &ask(text)).await;
            let age: u64 = hit.header("age").and_then(|age| age.parse().ok()).expect("an age");
            assert!((7200..7260).contains(&age), "{text}: {age}");
            hit.text().await;
        }
        let young = app.client().header("cache-control", "max-age=7000, only-if-cached");
        let refused = young.post(CHAT, &ask(text)).await;
        assert_eq!(refused.status.as_u16(), 504, "{text}");
    }
    assert_eq!(upstream.requests().len(), 3);
}

#[tokio::test]
async fn what_one_end_user_was_told_no_other_is() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.always(hello());
    let by = |id: &str| {
        let body = with(ask_whole("hi"), "user", json!("one app for all"));
        with(body, "safety_identifier", json!(id))
    };
    let long = |end: &str| "x".repeat(300) + end;
    for id in ["ann", "bob", &long("1"), &long("2")] {
        assert!(!was_hit(app.client().post(CHAT, &by(id)).await).await, "{id}");
        assert!(was_hit(app.client().post(CHAT, &by(id)).await).await, "{id}");
    }
}

#[tokio::test]
async fn of_a_user_whom_the_operator_wants_forgotten_only_totals_are_kept() {
    let upstream = Upstream::start().await;
    upstream.always(Script::sse(Answer::of(MODEL).text(&["Hello"]).stop("end_turn")));
    let app = Setup::of(&upstream).set("REPRISE_NO_STORE_USERS", "ann, eve").start().await;
    let how = async |user: &str| {
        let reply = super::chats::of(&app, user, "c1", "m1").post(CHAT, &ask("a secret")).await;
        let how = super::chats::status(&reply);
        reply.text().await;
        how
    };
    for user in ["ann", "eve", "ann"] {
        assert_eq!(how(user).await, "fwd=bypass; detail=user-no-store", "{user}");
    }
    assert!(app.ledger().bodies().await.is_empty());
    assert_eq!(how("bob").await, "fwd=miss; stored");
    let ledger = app.stop().await;
    let calls = ledger.calls().await;
    let by: Vec<_> = calls.iter().map(|call| call.answered_by.as_str()).collect();
    assert_eq!(by, ["bypass", "bypass", "bypass", "miss"]);
}
