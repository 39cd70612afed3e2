//! The page in a browser: what it shows, by keyboard, in both colours and on a phone, and that what was recorded stays
//! text.

use std::{fs, path::Path, sync::Arc};

use reprise::{
    answer,
    domain::{
        exchange::{AnsweredBy, Cost, NanoDollars, Outcome, Tokens, UnixMillis},
        user_name::UserName,
    },
    store::{CallRecord, Durable, Sealing},
};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use super::{month, setup};
use crate::{
    stats::books::Books,
    support::{
        app::{CHAT, MODEL, Setup, ask, with},
        browser::Browser,
        rows,
        script::{Gate, Script},
        sse::{self, Answer},
        until,
        upstream::{Outcome as Sent, Upstream},
    },
};

/// Texts that would run, load or break out of something where they are not escaped.
pub(super) const HOSTILE: [&str; 8] = [
    "<img src=x onerror=\"window.owned=1\">",
    "<script>window.owned=1</script>",
    "\"><svg onload=window.owned=1>",
    "' onmouseover='window.owned=1",
    "javascript:window.owned=1",
    "</title><iframe srcdoc='<script>parent.owned=1</script>'>",
    "{{constructor.constructor('window.owned=1')()}}",
    "<style>*{display:none}</style>\u{202e}&lt;b&gt;",
];

/// Traces of a text that became more than text: a value that it set, elements, addresses and attributes.
pub(super) const MADE: &str = "[window.owned ?? null, \
     document.querySelectorAll('img:not([src^=\"/page/calls/\"]), iframe, object, main script, main style').length, \
     [...document.querySelectorAll('a')].filter((a) => !/^(#|\\/page\\/calls\\/[0-9a-f-]+\\/attachments\\/|\\/page\\/sessions\\/[^/?#]+\\/fixtures$)/.test(a.getAttribute('href'))).length, \
     [...document.querySelectorAll('*')].flatMap((one) => [...one.attributes]) \
         .filter(({ name }) => name.startsWith('on')).length]";

/// Finds serious faults with axe-core.
const AXE: &str = "axe.run().then(({ violations }) => violations \
     .filter(({ impact }) => impact === 'serious' || impact === 'critical') \
     .map(({ id, nodes }) => [id, ...nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`)]))";

const VIEWS: [(&str, &str); 4] = [
    ("overview", "#/"),
    ("live", "#/live"),
    ("calls", "#/calls"),
    ("narrowed", "#/calls?user=user-001&answered_by=hit"),
];

/// Budgets of each state.
const BUDGETS: &str = "[[budget]]\nlimit = 500\nper = \"month\"\n\n[[budget]]\nlimit = 0.01\nper = \"month\"\n\
     model = \"claude-opus-5-5\"\n\n[[budget]]\nuser = \"*\"\nlimit = 1\nper = \"month\"\n";

async fn full() -> Setup {
    let setup = setup(month().await);
    let file = setup.folder().join("reprise.toml");
    fs::write(&file, BUDGETS).expect("a settings file");
    setup.set("REPRISE_CONFIG", file.to_str().expect("a path"))
}

/// Serious faults that axe-core finds in what is shown. Without its file, which `tests/run` fetches, none are looked for.
#[expect(
    clippy::print_stderr,
    reason = "a check that is skipped must not look like one that passed"
)]
pub(super) async fn faults(browser: &mut Browser) -> Vec<Value> {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("axe.min.js");
    let Ok(script) = fs::read_to_string(&file) else {
        eprintln!("skipped: there is no {}", file.display());
        return Vec::new();
    };
    browser.eval(&format!("{script}; true")).await;
    browser.eval(AXE).await.as_array().cloned().expect("a list")
}

/// Checks what is shown on a screen in light colours and on a phone in dark ones: no serious faults, nothing wider than the
/// window. Takes a picture of both.
pub(super) async fn sound(browser: &mut Browser, name: &str) {
    for (scheme, width) in [("dark", 390), ("light", 1280)] {
        browser.look(width, scheme).await;
        browser.picture(&format!("{name}-{scheme}-{width}")).await;
        let faults = faults(browser).await;
        assert!(faults.is_empty(), "{name} {scheme} {width}: {faults:#?}");
        let wide = browser.eval("document.documentElement.scrollWidth > innerWidth").await;
        assert_eq!(wide, json!(false), "{name} is wider than {width}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_view_is_sound_in_both_colours_and_on_a_phone() {
    let Some(mut browser) = Browser::start().await else { return };
    let (full, empty) =
        (full().await.start().await, setup(tempdir().expect("a folder")).start().await);
    let keyed = setup(tempdir().expect("a folder")).set("REPRISE_ADMIN_KEY", "adm").start().await;
    for (scheme, width) in [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)] {
        browser.look(width, scheme).await;
        let views = VIEWS.iter().map(|(name, hash)| (*name, format!("{}/{hash}", full.url())));
        let others =
            [("empty", format!("{}/", empty.url())), ("login", format!("{}/", keyed.url()))];
        for (name, address) in views.chain(others) {
            browser.open(&address).await;
            browser.picture(&format!("{name}-{scheme}-{width}")).await;
            let faults = faults(&mut browser).await;
            assert!(faults.is_empty(), "{name} {scheme} {width}: {faults:#?}");
            let wide = browser.eval("document.documentElement.scrollWidth > innerWidth").await;
            assert_eq!(wide, json!(false), "{name} is wider than {width}");
            let outside: Vec<String> = browser
                .requests()
                .into_iter()
                .filter(|url| !url.starts_with("http://127.0.0.1:"))
                .filter(|url| url != "about:blank" && !url.starts_with("data:"))
                .collect();
            assert!(outside.is_empty(), "{outside:?}");
            assert_eq!(browser.complaints(), Vec::<String>::new(), "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_has_the_period_and_figures_lead_to_their_calls() {
    let Some(mut browser) = Browser::start().await else { return };
    let app = full().await.start().await;
    browser.look(1280, "light").await;
    browser.open(&format!("{}/", app.url())).await;
    assert_eq!(browser.eval("location.hash").await, json!("#/?since=30d"));
    browser.click(".period a[href*='since=7d']").await;
    browser.until("location.hash === '#/?since=7d'").await;
    browser.settled().await;
    assert_eq!(
        browser.eval("document.querySelector('.period [aria-current]').textContent").await,
        json!("7 days")
    );
    let stats = app.client().get("/page/stats?since=7d").await.json().await;
    let shown = "[...document.querySelectorAll('.figure')].find((one) => one.querySelector('dt').textContent === 'Calls').querySelector('.value').textContent";
    assert_eq!(browser.eval(shown).await, json!(stats["total"]["calls"].to_string()));
    // The same address shows the same in another window.
    browser.open(&format!("{}/#/?since=7d", app.url())).await;
    assert_eq!(browser.eval(shown).await, json!(stats["total"]["calls"].to_string()));
    browser.eval("[...document.querySelectorAll('.card a')].find((a) => a.getAttribute('href').includes('answered_by=hit')).click()").await;
    browser.until("document.title === 'Calls · Reprise'").await;
    browser.settled().await;
    assert_eq!(
        browser.eval("document.activeElement.tagName").await,
        json!("H1"),
        "the focus goes along"
    );
    assert_eq!(browser.eval("document.querySelectorAll('tbody tr').length > 0 && [...document.querySelectorAll('.source')].every((one) => one.textContent === 'Repeat')").await, json!(true));
    browser.click("tbody a").await;
    browser.until("document.title === 'Call · Reprise'").await;
    browser.settled().await;
    browser.picture("call-light-1280").await;
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_signs_in_and_out_with_the_keyboard() {
    let Some(mut browser) = Browser::start().await else { return };
    let app = setup(month().await).set("REPRISE_ADMIN_KEY", "adm").start().await;
    browser.look(1280, "light").await;
    browser.open(&format!("{}/#/calls?since=7d", app.url())).await;
    assert_eq!(browser.eval("document.activeElement.type").await, json!("password"));
    browser.write("wrong").await;
    browser.press("Tab", 9).await;
    browser.eval("document.activeElement.click()").await;
    browser.until("document.querySelector('#problem').textContent !== ''").await;
    browser.picture("login-wrong-light-1280").await;
    // The wrong one is marked, so that the next replaces it.
    browser.write("adm").await;
    browser.press("Tab", 9).await;
    browser.eval("document.activeElement.click()").await;
    browser.until("document.title === 'Calls · Reprise'").await;
    browser.settled().await;
    assert_eq!(browser.eval("location.hash").await, json!("#/calls?since=7d"), "the way goes on");
    assert_eq!(browser.eval("document.cookie").await, json!(""), "scripts do not see the session");
    browser.eval("[...document.querySelectorAll('button')].find((one) => one.textContent === 'Sign out').click()").await;
    browser.until("document.title === 'Sign in · Reprise'").await;
    let complaints = browser.complaints();
    assert!(complaints.iter().all(|told| told.contains("401")), "{complaints:?}");
}

/// A ledger in which every field that a client or upstream states is hostile.
async fn hostile() -> TempDir {
    let books = Books::open().await;
    let now = answer::now();
    for (n, text) in (1_u128..).zip(HOSTILE) {
        let text = || text.to_owned();
        let call = CallRecord {
            user: Some(text()),
            chat: Some(text()),
            message: Some(text()),
            user_message: Some(text()),
            task: Some(text()),
            client: Some(text()),
            client_key: Some(text()),
            reason: None,
            ..rows::call(n, UnixMillis(now.0 - 1_000), AnsweredBy::Miss, &text())
        };
        books.ledger.name_user(
            &text(),
            &UserName::of(Some(&text()), Some(&text())).expect("a name"),
            now,
        );
        let opening = Arc::new(rows::opening(n, call));
        let cost = Cost::Exact(NanoDollars(1_000_000));
        let sealing = Sealing {
            outcome: Outcome::Failed,
            error_kind: Some(text()),
            error: Some(text()),
            upstream_request: Some(text()),
            model_served: Some(text()),
            stop_reason: Some(text()),
            ..rows::sealing(now, Tokens { input: 10, output: 5, ..Tokens::default() }, cost)
        };
        let sealing = sealing.with_call_of(&opening);
        let opened = books.ledger.open_exchange(&opening).await;
        let sealed = books.ledger.commit_seal(&opening, sealing).await;
        assert_eq!((opened, sealed), (Durable::Committed, Durable::Committed));
    }
    until("all calls in the ledger", async || books.ledger.state().queued == 0).await;
    books.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_recorded_stays_text() {
    let Some(mut browser) = Browser::start().await else { return };
    let app = setup(hostile().await).start().await;
    browser.look(1280, "light").await;
    let calls = app.client().get("/page/calls").await.json().await;
    let calls = calls["calls"].as_array().cloned().expect("calls");
    assert_eq!(calls.len(), HOSTILE.len());
    let details =
        calls.iter().map(|call| format!("#/calls/{}", call["id"].as_str().expect("an id")));
    let filters = ["user", "chat", "model", "task", "key", "tag", "error", "answered_by"]
        .into_iter()
        .zip(HOSTILE)
        .map(|(name, text)| {
            let query = url::form_urlencoded::Serializer::new(String::new())
                .append_pair(name, text)
                .finish();
            format!("#/calls?{query}")
        });
    let odd = HOSTILE.map(|text| format!("#/{text}"));
    for hash in ["#/", "#/live", "#/calls"]
        .into_iter()
        .map(str::to_owned)
        .chain(details)
        .chain(filters)
        .chain(odd)
    {
        browser.open(&format!("{}/{hash}", app.url())).await;
        let made = browser.eval(MADE).await;
        assert_eq!(made, json!([null, 0, 0, 0]), "{hash}");
        let blocked: Vec<String> =
            browser.complaints().into_iter().filter(|told| !told.contains("400")).collect();
        assert!(blocked.is_empty(), "{hash}: {blocked:?}");
    }
    browser.open(&format!("{}/#/", app.url())).await;
    browser.picture("hostile-light-1280").await;
    for text in HOSTILE {
        let shown = format!("document.querySelector('main').textContent.includes({})", json!(text));
        assert_eq!(browser.eval(&shown).await, json!(true), "{text} is shown as it is");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_answer_is_read_along_as_text_and_stopped() {
    let Some(mut browser) = Browser::start().await else { return };
    let (upstream, gate) = (Upstream::start().await, Gate::new());
    let app = Setup::of(&upstream).start().await;
    let hostile = HOSTILE.join(" ");
    let block = sse::content_block_start(0, r#"{"type":"text","text":""}"#);
    let first = Answer::of(MODEL).event(block).event(sse::text_delta(0, &hostile)).unfinished();
    let more = sse::text_delta(0, " and more");
    upstream.push(Script::sse(first).wait(&gate).pieces([more]).stall());
    browser.look(1280, "light").await;
    browser.open(&format!("{}/#/live", app.url())).await;
    let main = |text: &str| {
        format!("document.querySelector('main').textContent.includes({})", json!(text))
    };
    browser.until(&main("Connected.")).await;
    browser.until(&main("Nothing is running.")).await;
    let question = with(ask("hi"), "user", json!(HOSTILE[0]));
    let mut reply = app.client().post(CHAT, &question).await;
    browser.until(&main(HOSTILE[0])).await;
    browser.until(&main("Writing")).await;
    browser.click("[aria-expanded]").await;
    browser.until(&main(&hostile)).await;
    gate.open();
    browser.until(&main(" and more")).await;
    assert_eq!(browser.eval(MADE).await, json!([null, 0, 0, 0]));
    for (scheme, width) in [("light", 1280), ("dark", 390)] {
        browser.look(width, scheme).await;
        browser.picture(&format!("running-{scheme}-{width}")).await;
        let faults = faults(&mut browser).await;
        assert!(faults.is_empty(), "{scheme} {width}: {faults:#?}");
        let wide = browser.eval("document.documentElement.scrollWidth > innerWidth").await;
        assert_eq!(wide, json!(false), "wider than {width}");
    }
    browser.click(".stop").await;
    browser.picture("stopping-dark-390").await;
    assert_eq!(
        browser.eval("document.activeElement.textContent").await,
        json!("Stop it"),
        "a person confirms it"
    );
    assert_eq!(upstream.outcome(0), Sent::Running);
    browser.click(".danger").await;
    let (body, _) = reply.rest().await;
    assert!(String::from_utf8_lossy(&body).contains("stopped_by_operator"));
    upstream.await_outcome(0, Sent::Disconnected).await;
    browser.until(&main("Nothing is running.")).await;
    browser.until(&main("Stopped: stopped_by_operator")).await;
    browser.click("tbody a").await;
    browser.until("document.title === 'Call · Reprise'").await;
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_live_view_says_when_it_is_paused_when_the_connection_is_lost_and_when_it_is_back() {
    let Some(mut browser) = Browser::start().await else { return };
    let setup = setup(tempdir().expect("a folder"));
    let app = setup.start().await;
    let url = app.url().to_owned();
    let state = |text: &str| {
        format!("document.querySelector('.live-state').textContent === {}", json!(text))
    };
    browser.open(&format!("{url}/#/live")).await;
    browser.until(&state("Connected.")).await;
    for (hidden, expected) in [(true, "Paused while the window is hidden."), (false, "Connected.")]
    {
        let hide = format!(
            "Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }}); \
             document.dispatchEvent(new Event('visibilitychange')); true"
        );
        browser.eval(&hide).await;
        browser.until(&state(expected)).await;
    }
    app.stop().await;
    browser.until(&state("The connection is lost. Trying again…")).await;
    let port = url.rsplit(':').next().expect("a port");
    let _again = setup.set("REPRISE_PORT", port).start().await;
    browser.until(&state("Connected.")).await;
}
