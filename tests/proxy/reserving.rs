//! What is reserved while calls run, and what is owed for the part of an answer that came.

use http::StatusCode;
use reprise::domain::exchange::NanoDollars;
use serde_json::{Value, json};

use super::{
    budgets::{setup, ten_cents},
    chats::of,
};
use crate::support::{
    app::{App, CHAT, MODEL, Setup, ask, ask_whole},
    binary::{Binary, command},
    client::Client,
    script::{Gate, Script},
    sse::{self, Answer, Tokens},
    until,
    upstream::Upstream,
};

/// Nano-dollars of a token of `MODEL`: of input, and of output.
const PRICES: [u64; 2] = [1_000, 5_000];

/// What `reprise budgets` says of the first budget.
fn told(setup: &Setup) -> Value {
    let output = command(setup).args(["budgets", "--json"]).output().expect("the program");
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    told["budgets"][0].clone()
}

#[tokio::test]
async fn of_twenty_calls_at_once_only_those_are_admitted_that_fit() {
    let upstream = Upstream::start().await;
    let setup = setup(&upstream, "[[budget]]\nlimit = 0.25\nper = \"week\"\n");
    let app = setup.start().await;
    upstream.push(Script::sse(ten_cents()));
    app.client().post(CHAT, &ask("one")).await.text().await;
    // An answer is taken for as long as the last one: nine cents, of which the rest is enough for one.
    let gate = Gate::new();
    upstream.always(Script::sse(ten_cents()).hold(&gate));
    let client = app.client();
    let calls = (0..20).map(|n| {
        let (client, body) = (client.clone(), ask_whole(&format!("call {n}")));
        async move {
            let reply = client.post(CHAT, &body).await;
            (reply.status, reply.json().await)
        }
    });
    let looks = async {
        gate.reached(1).await;
        until("the others to be refused", async || app_is_refused(&client).await).await;
        until("the one to be seen outside", async || app.ledger().count("running").await == 1)
            .await;
        let while_it_runs = told(&setup);
        gate.open();
        while_it_runs
    };
    let (answers, while_it_runs) = tokio::join!(futures_util::future::join_all(calls), looks);
    let admitted = answers.iter().filter(|(status, _)| *status == StatusCode::OK).count();
    assert_eq!((admitted, upstream.requests().len()), (1, 2), "{answers:?}");
    for (status, body) in answers.iter().filter(|(status, _)| *status != StatusCode::OK) {
        assert_eq!(*status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(body["error"]["code"], "insufficient_quota");
        let message = body["error"]["message"].as_str().expect("a message");
        assert!(message.contains("does not have any more ($0.10 is spent, $0.09"), "{message}");
    }
    assert!(
        while_it_runs["reserved"]["nano_dollars"].as_u64() > Some(90_000_000),
        "{while_it_runs}"
    );
    assert_eq!(while_it_runs["spent"]["nano_dollars"], json!(100_000_000));
    until("the call to be sealed", async || app.ledger().count("running").await == 0).await;
    let nanos = |name: &str| told(&setup)[name]["nano_dollars"].clone();
    assert_eq!([nanos("reserved"), nanos("spent")], [json!(0), json!(200_000_000)]);
    // A repeat reserves nothing.
    assert_eq!(client.post(CHAT, &ask("one")).await.status, StatusCode::OK);
}

/// A further call is refused, since what is left is reserved.
async fn app_is_refused(client: &Client) -> bool {
    client.post(CHAT, &ask("a further one")).await.status == StatusCode::TOO_MANY_REQUESTS
}

#[tokio::test]
async fn of_the_first_calls_of_a_model_one_is_admitted_where_the_rest_may_be_enough_for_no_more() {
    let upstream = Upstream::start().await;
    let limits = "[[budget]]\nlimit = 0.05\nper = \"day\"\n";
    let app = setup(&upstream, limits).start().await;
    let gate = Gate::new();
    upstream.always(Script::sse(ten_cents()).hold(&gate));
    let client = app.client();
    let calls = (0..20).map(|n| {
        let (client, body) = (client.clone(), ask_whole(&format!("call {n}")));
        async move { client.post(CHAT, &body).await.status }
    });
    let opens = async {
        gate.reached(1).await;
        until("another to be refused", async || app_is_refused(&client).await).await;
        gate.open();
    };
    let (statuses, ()) = tokio::join!(futures_util::future::join_all(calls), opens);
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::OK).count(), 1);
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn calls_that_fail_or_are_left_reserve_nothing_any_more() {
    let upstream = Upstream::start().await;
    let setup = setup(&upstream, "[[budget]]\nlimit = 0.008\nper = \"day\"\n");
    let app = setup.start().await;
    let client = app.client();
    // Each would reserve more than half of the budget.
    for _ in 0..3 {
        upstream.push(Script::error(400, "invalid_request_error", "no"));
        assert_eq!(client.post(CHAT, &ask("a")).await.status, StatusCode::BAD_REQUEST);
    }
    for n in 0..3 {
        upstream.push(Script::silent());
        let left = until("the request to come", async || upstream.requests().len() == 4 + n);
        client.post_and_leave(CHAT, &ask("b"), left).await;
        until("the exchange to be stopped", async || app.ledger().exchanges().await.len() == 4 + n)
            .await;
    }
    upstream.push(Script::sse(Answer::of(MODEL).text(&["Hi"]).stop("end_turn")));
    assert_eq!(client.post(CHAT, &ask("c")).await.status, StatusCode::OK);
}

const DELTAS: usize = 265;

/// The beginning of a long answer.
fn beginning(input: u64) -> Vec<String> {
    let tokens = Tokens { input, ..Tokens::default() };
    let answer = Answer::counting(MODEL, tokens);
    let answer = answer.event(sse::content_block_start(0, r#"{"type":"text","text":""}"#));
    let deltas = (1..=DELTAS).map(|n| sse::text_delta(0, &format!("word{n} ")));
    deltas.fold(answer, Answer::event).unfinished()
}

fn native(text: &str) -> Value {
    let messages = json!([{"role": "user", "content": text}]);
    json!({"model": MODEL, "max_tokens": 4_000, "stream": true, "messages": messages})
}

#[tokio::test]
async fn what_was_received_bounds_what_is_owed_however_an_answer_breaks_off() {
    let last = format!("word{DELTAS} ");
    for (path, stops) in
        [(CHAT, true), (CHAT, false), ("/v1/messages", true), ("/v1/messages", false)]
    {
        let upstream = Upstream::start().await;
        let setup = setup(&upstream, "[[budget]]\nlimit = 9\nper = \"month\"\n");
        let app = setup.start().await;
        let script = Script::sse(beginning(1_000));
        upstream.push(if stops { script.stall() } else { script.cut() });
        let body = if path == CHAT { ask("hi") } else { native("hi") };
        let client = app.client().header("anthropic-version", "2023-06-01");
        let mut reply = client.post(path, &body).await;
        reply.read_until(&last).await;
        drop(reply);
        let exchange = app.ledger().await_exchange(1).await;
        let owed = 1_000 * PRICES[0] + DELTAS as u64 * PRICES[1];
        assert_eq!(
            (exchange.output, exchange.cost),
            (265, i64::try_from(owed).ok()),
            "{path} {stops}"
        );
        assert_eq!(exchange.cost_is, "at_least");
        app.stop().await;
        let told = told(&setup);
        let spent = &told["spent"];
        assert_eq!([&spent["nano_dollars"], &spent["at_least"]], [&json!(owed), &json!(1)]);
        let output = command(&setup).args(["budgets"]).output().expect("the program");
        assert!(String::from_utf8_lossy(&output.stdout).contains("≥ $0.0023"), "{output:?}");
    }
}

fn dollars(nanos: u64) -> f64 {
    format!("{nanos}e-9").parse().expect("a number")
}

#[tokio::test]
async fn of_a_killed_exchange_is_counted_what_was_known_of_it() {
    let upstream = Upstream::start().await;
    let setup = setup(&upstream, "[[budget]]\nlimit = 9\nper = \"month\"\n");
    let mut binary = Binary::start(&setup).await;
    upstream.push(Script::sse(beginning(1_000)).stall());
    let mut reply = binary.client().post(CHAT, &ask("hi")).await;
    reply.read_until(&format!("word{DELTAS} ")).await;
    let noted = || {
        let lines = setup.ledger().journal("progress").into_iter();
        lines.filter_map(|line| line["tokens"]["output"].as_u64()).max()
    };
    until("the journal to be written", async || noted() >= Some(128)).await;
    binary.kill();
    let binary = Binary::start(&setup).await;
    let lost = setup.ledger().exchange().await;
    assert_eq!((&*lost.outcome, &*lost.cost_is, lost.input), ("lost", "at_least", 1_000));
    assert!((128..=265).contains(&lost.output), "{}", lost.output);
    let owed = 1_000 * PRICES[0] + u64::try_from(lost.output).expect("a count") * PRICES[1];
    assert_eq!(lost.cost, i64::try_from(owed).ok());
    assert_eq!(told(&setup)["spent"]["nano_dollars"], json!(owed));
    drop(binary);
}

/// The bodies of the messages that a webhook got.
fn messages(hook: &Upstream) -> Vec<Value> {
    let requests = hook.requests().into_iter();
    requests.map(|it| serde_json::from_slice(&it.body).expect("JSON")).collect()
}

#[tokio::test]
async fn a_webhook_is_told_each_threshold_once_also_across_restarts() {
    let (upstream, hook) = (Upstream::start().await, Upstream::start().await);
    upstream.always(Script::sse(ten_cents()));
    hook.push(Script::respond(503));
    hook.always(Script::respond(204));
    let address = hook.url().replace("http://", "http://me:hush@") + "/told?token=hush";
    let limits = "[[budget]]\nlimit = 0.45\nper = \"day\"\nwarn_at = 0.4\nuser = \"*\"\n";
    let setup = setup(&upstream, limits).set("REPRISE_BUDGET_WEBHOOK", &address);
    let app = setup.start().await;
    let asks = async |app: &App, text: &str| {
        let client = app.client().header("x-owui-user", "ann");
        client.post(CHAT, &ask(text)).await.text().await;
    };
    asks(&app, "one").await;
    asks(&app, "two").await;
    until("the webhook to be told", async || hook.requests().len() == 2).await;
    let told = messages(&hook);
    assert_eq!(told[0], told[1], "it is told again what it did not take");
    let warned = &told[1];
    assert_eq!(
        [&warned["event"], &warned["threshold"], &warned["user"]],
        ["budget", "warn", "ann"]
    );
    assert_eq!([&warned["spent"], &warned["limit"]], [&json!(0.2), &json!(0.45)]);
    assert_eq!(warned["budget"], "$0.45 a day for each user");
    let first = &hook.requests()[0];
    assert_eq!((&*first.method, &*first.path, &*first.query), ("POST", "/told", "token=hush"));
    assert!(first.headers["authorization"].to_str().expect("text").starts_with("Basic "));
    app.stop().await;
    let app = setup.start().await;
    asks(&app, "three").await;
    app.stop().await;
    assert_eq!(
        messages(&hook).len(),
        2,
        "what was above the threshold at the start is not told again"
    );
}

#[tokio::test]
async fn reports_budgets_and_the_status_line_agree_to_the_nano_dollar() {
    let upstream = Upstream::start().await;
    let limits = "[[budget]]\nlimit = 90\nper = \"month\"\nwarn_at = 0.00001\n";
    let setup = setup(&upstream, limits);
    let app = setup.start().await;
    let client = app.client();
    let mut owed = 0;
    let answer = |input: u64, output: u64| {
        let tokens = Tokens { input, output, ..Tokens::default() };
        let events = Answer::counting(MODEL, tokens).text(&["Hello"]).stop("end_turn");
        (Script::sse(events), input * PRICES[0] + output * PRICES[1])
    };

    // Twenty calls at once, with odd amounts.
    let gate = Gate::new();
    for n in 0..20 {
        let (script, cost) = answer(1_001 + n, 333 + 7 * n);
        upstream.push(script.hold(&gate));
        owed += cost;
    }
    let calls = (0..20).map(|n| {
        let (client, body) = (client.clone(), ask_whole(&format!("call {n}")));
        async move { client.post(CHAT, &body).await.status }
    });
    let opens = async {
        gate.reached(20).await;
        gate.open();
    };
    let (statuses, ()) = tokio::join!(futures_util::future::join_all(calls), opens);
    assert_eq!(statuses, [StatusCode::OK; 20]);

    // One that is tried again.
    upstream.push(Script::error(429, "rate_limit_error", "later").header("retry-after", "0"));
    let (script, cost) = answer(77, 11);
    upstream.push(script);
    owed += cost;
    assert_eq!(client.post(CHAT, &ask_whole("retried")).await.status, StatusCode::OK);

    // One whose end comes late, and two that break off.
    let mut events = Answer::of(MODEL).text(&["Hello"]).stop("end_turn");
    let end = events.pop().expect("an end");
    let gate = Gate::new();
    upstream.push(Script::sse(events).wait(&gate).pieces([end]));
    owed += 12 * PRICES[0] + 7 * PRICES[1];
    let mut reply = client.post(CHAT, &ask("late")).await;
    reply.read_until("Hello").await;
    gate.open();
    reply.text().await;
    for stops in [true, false] {
        let script = Script::sse(beginning(2_000));
        upstream.push(if stops { script.stall() } else { script.cut() });
        owed += 2_000 * PRICES[0] + DELTAS as u64 * PRICES[1];
        let mut reply = client.post(CHAT, &ask(if stops { "stopped" } else { "cut" })).await;
        reply.read_until(&format!("word{DELTAS} ")).await;
    }
    until("all calls to be sealed", async || app.ledger().count("call").await == 24).await;

    // A repeat is free; the budget is told to who asks anew.
    assert_eq!(client.post(CHAT, &ask_whole("retried")).await.status, StatusCode::OK);
    upstream.always(answer(12, 7).0);
    let next = of(&app, "ann", "c1", "m1").post(CHAT, &ask("next")).await;
    assert_eq!(
        next.header("x-reprise-budget"),
        Some(&*format!("spent={}; limit=90; per=month; at_least", dollars(owed)))
    );
    let line = next.text().await;
    let amount = NanoDollars(i64::try_from(owed).expect("an amount"));
    assert!(line.contains(&format!("Budget: ≥ {amount:#} of $90.00 a month spent")), "{line}");
    owed += 12 * PRICES[0] + 7 * PRICES[1];
    let ledger = app.stop().await;
    let stats = ledger.stats().await.total;
    assert_eq!(stats.cost.nano_dollars, i64::try_from(owed).ok());
    assert_eq!((stats.cost.at_least, stats.calls, stats.upstream_requests), (2, 26, 26));
    let told = told(&setup);
    assert_eq!(
        [
            &told["spent"]["nano_dollars"],
            &told["reserved"]["nano_dollars"],
            &told["spent"]["at_least"]
        ],
        [&json!(owed), &json!(0), &json!(2)]
    );
}
