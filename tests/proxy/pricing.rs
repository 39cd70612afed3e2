//! Prices while a server runs: models that it does not know, and prices that are imported meanwhile.

use std::fs;

use http::StatusCode;
use reprise::{
    domain::{catalog::Catalog, price},
    store::{
        Occasion,
        prices::{self, PriceChange},
    },
};

use serde_json::Value;

use crate::support::{
    app::{App, CHAT, Setup, ask_whole, with},
    ledger::Ledger,
    rows,
    script::Script,
    sse::{Answer, Tokens},
    until,
    upstream::Upstream,
};

const SNAPSHOT: &str = "claude-sonnet-5-5-20260928";
const ASKED: &str = "claude-sonnet-5-5";
const UNKNOWN: &str = "claude-of-tomorrow";

/// 4,000 tokens of input and 1,000 of output: 1.8 cents at $2 and $10 per million.
fn answer(model: &str) -> Script {
    let tokens = Tokens { input: 4_000, output: 1_000, ..Tokens::default() };
    Script::sse(Answer::counting(model, tokens).text(&["Hello"]).stop("end_turn"))
}

fn with_budget(upstream: &Upstream, limit: &str) -> Setup {
    let setup = Setup::of(upstream);
    let file = setup.folder().join("reprise.toml");
    fs::write(&file, format!("[[budget]]\nlimit = {limit}\nper = \"day\"\n")).expect("a file");
    setup.set("REPRISE_CONFIG", file.to_str().expect("a path"))
}

async fn asks(app: &App, model: &str, text: &str) -> (StatusCode, Value) {
    let request = with(ask_whole(text), "model", model.into());
    let reply = app.client().post(CHAT, &request).await;
    (reply.status, reply.json().await)
}

async fn import(ledger: &Ledger, model: &str, input: f64) {
    import_from("2026-01-01", ledger, model, input).await;
}

async fn import_from(since: &str, ledger: &Ledger, model: &str, input: f64) {
    let text = format!(
        "[[price]]\nmodel = \"{model}\"\nsince = \"{since}\"\ninput = {input}\noutput = {}\n\
         cache_write_5m = 1\ncache_write_1h = 1\ncache_read = 1\n",
        input * 5.0
    );
    let news = price::own(&text).expect("a price").prices;
    let reader = ledger.reader().await;
    let today =
        news[0].dated.since.max(jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date());
    let before = Catalog::builtin().with_prices(&reader.prices().await.expect("prices"), today);
    let after = before.with_prices(&news, today);
    let change = PriceChange { prices: Some(&news), before: &before, after: &after, from: None };
    let occasion = Occasion { at: reprise::answer::now(), cause: "a test", operator: "ann" };
    prices::change(&ledger.url(), rows::owner(7), change, occasion).await.expect("an import");
}

#[tokio::test]
async fn a_snapshot_that_the_catalog_lacks_is_priced_and_counts_in_a_budget() {
    let upstream = Upstream::start().await;
    upstream.always(answer(SNAPSHOT));
    let app = with_budget(&upstream, "0.03").start().await;
    let (_, first) = asks(&app, ASKED, "one").await;
    assert_eq!(first["usage"]["cost"], 0.018);
    assert_eq!(asks(&app, ASKED, "two").await.0, StatusCode::OK);
    assert_eq!(asks(&app, ASKED, "three").await.0, StatusCode::TOO_MANY_REQUESTS);
    // It may be asked for by this name, too: its price is known.
    let app = with_budget(&upstream, "0.03").start().await;
    assert_eq!(asks(&app, SNAPSHOT, "one").await.0, StatusCode::OK);
    let ledger = app.stop().await;
    let stats = ledger.stats().await;
    assert_eq!(stats.total.cost.nano_dollars, Some(18_000_000));
    let [as_another] = &stats.priced_as[..] else { panic!("{:?}", stats.priced_as) };
    assert_eq!(
        (&*as_another.model, &*as_another.priced_as, as_another.calls),
        (SNAPSHOT, ASKED, 1)
    );
    assert!(stats.to_string().contains(&format!("1 call of {SNAPSHOT} at the price of {ASKED}")));
}

#[tokio::test]
async fn a_model_without_a_price_is_not_free_in_a_budget_and_costs_what_is_learnt_later() {
    let upstream = Upstream::start().await;
    upstream.always(answer(UNKNOWN));
    let setup = with_budget(&upstream, "0.05");
    // Made before there was a budget.
    let app = setup.clone().unset("REPRISE_CONFIG").start().await;
    for text in ["one", "two"] {
        let (status, body) = asks(&app, UNKNOWN, text).await;
        assert_eq!((status, &body["usage"]["cost"]), (StatusCode::OK, &Value::Null));
    }
    let (_, hit) = asks(&app, UNKNOWN, "one").await;
    assert_eq!((&hit["usage"]["cost"], &hit["usage"]["saved"]), (&0.0.into(), &Value::Null));
    let ledger = app.stop().await;
    assert_eq!(ledger.stats().await.total.cost.nano_dollars, None, "nobody knows");

    // Fable 5.1 would have cost 9 cents each.
    let app = setup.start().await;
    let (status, body) = asks(&app, ASKED, "three").await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{body}");
    assert!(
        body["error"]["message"].as_str().expect("a message").contains("is spent (≥ $0.18)"),
        "{body}"
    );
    let _ = app.stop().await;

    import(&ledger, UNKNOWN, 1.0).await;
    let told = ledger.stats().await;
    assert_eq!(told.total.cost.nano_dollars, Some(2 * 9_000_000));
    assert_eq!(told.total.saved.ledger.nano_dollars, Some(9_000_000), "the hit, too");
    let app = setup.start().await;
    assert_eq!(asks(&app, UNKNOWN, "three").await.0, StatusCode::OK, "1.8 of 5 cents are spent");
    let (_, hit) = asks(&app, UNKNOWN, "two").await;
    assert_eq!((&hit["usage"]["cost"], &hit["usage"]["saved"]), (&0.0.into(), &0.009.into()));
}

#[tokio::test]
async fn a_running_server_takes_prices_that_are_imported() {
    let upstream = Upstream::start().await;
    upstream.always(answer(UNKNOWN));
    let app = App::start(&upstream).await;
    let ledger = app.ledger();
    asks(&app, UNKNOWN, "one").await;
    asks(&app, UNKNOWN, "one").await;
    assert_eq!(ledger.stats().await.total.cost.nano_dollars, None);
    import(&ledger, UNKNOWN, 1.0).await;
    let stats = ledger.stats().await;
    assert_eq!(stats.total.cost.nano_dollars, Some(9_000_000), "reports do not wait");
    // The server follows. What it records until then follows, too.
    let mut texts = 0;
    until("the price", async || {
        texts += 1;
        let (_, body) = asks(&app, UNKNOWN, &format!("text {texts}")).await;
        body["usage"]["cost"] == 0.009
    })
    .await;
    until("the costs of all calls", async || {
        let stats = ledger.stats().await;
        stats.total.cost.nano_dollars == Some(9_000_000 * (texts + 1))
    })
    .await;
    until("the end of it", async || ledger.count("price_state where applied = version").await == 1)
        .await;
    // A hit saves what the exchange costs now, not what was in memory.
    let (_, hit) = asks(&app, UNKNOWN, "one").await;
    assert_eq!(hit["usage"]["saved"], 0.009);
    let ledger = app.stop().await;
    let stats = ledger.stats().await;
    assert_eq!(stats.total.saved.ledger.nano_dollars, Some(18_000_000));
    assert_eq!(stats.total.cost.unpriced, 0);
}

#[tokio::test]
async fn the_budgets_of_a_running_server_follow_a_corrected_price() {
    let upstream = Upstream::start().await;
    upstream.always(answer(ASKED));
    let app = with_budget(&upstream, "0.03").start().await;
    for text in ["one", "two"] {
        assert_eq!(asks(&app, ASKED, text).await.0, StatusCode::OK);
    }
    let (status, body) = asks(&app, ASKED, "three").await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{body}");
    let today = reprise::domain::catalog::day_of(reprise::answer::now());
    import_from(&today.to_string(), &app.ledger(), ASKED, 1.0).await;
    until("the other price", async || asks(&app, ASKED, "three").await.0 == StatusCode::OK).await;
    // Three of 0.9 cents are spent, so that a fourth has no room.
    assert_eq!(asks(&app, ASKED, "four").await.0, StatusCode::TOO_MANY_REQUESTS);
}

/// The first request writes the prompt to the prompt cache. Asking again at once would read it there.
#[tokio::test]
async fn a_repeat_saves_the_cost_of_asking_again() {
    let upstream = Upstream::start().await;
    let tokens = Tokens { input: 3, cache_write_5m: 1_000, output: 2, ..Tokens::default() };
    let events = Answer::counting("claude-opus-5-5", tokens).text(&["Hello"]).stop("end_turn");
    upstream.always(Script::sse(events));
    let setup = Setup::of(&upstream);
    let app = setup.start().await;
    let (_, miss) = asks(&app, "claude-opus-5-5", "hi").await;
    // $4 input, $5 writes, $0.20 reads, $20 answers.
    let (written, read) = (0.005_052, 0.000_252);
    assert_eq!(miss["usage"]["cost"], written);
    let (_, hit) = asks(&app, "claude-opus-5-5", "hi").await;
    assert_eq!((&hit["usage"]["cost"], &hit["usage"]["saved"]), (&0.0.into(), &read.into()));
    let ledger = app.stop().await;
    ledger
        .run("update exchange set ended_at = ended_at - 300000, opened_at = opened_at - 300000")
        .await;
    let app = setup.start().await;
    let (_, hit) = asks(&app, "claude-opus-5-5", "hi").await;
    assert_eq!(hit["usage"]["saved"], written, "the prompt cache has it no longer");
    let ledger = app.stop().await;
    let saved: Vec<i64> = ledger.calls().await.iter().map(|call| call.saved).collect();
    assert_eq!(saved, [0, 252_000, 5_052_000]);
    let stats = ledger.stats().await;
    assert_eq!(stats.total.saved.ledger.nano_dollars, Some(5_304_000));
}
