//! Sessions on the page: their list and search, a chat with its branches and files, and answers played back.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::tempdir;

use super::{
    browser::{HOSTILE, MADE, faults, sound},
    data::{get, told},
    setup,
};
use crate::{
    fixtures::recorded::{Call, asks, record},
    support::{
        app::{App, Setup},
        browser::Browser,
    },
};

/// A picture of one pixel.
const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
/// Microseconds between two events of an answer that is watched.
const PACE: i64 = 30_000_000;

pub(super) fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

fn answered(text: &str) -> Value {
    json!({"role": "assistant", "content": text})
}

pub(super) fn says(text: &str) -> Value {
    json!({"content": [{"type": "text", "text": text}], "usage": {"input_tokens": 20, "output_tokens": 9}})
}

/// A server over a ledger with these calls.
pub(super) async fn recorded(calls: &[Call]) -> (Setup, App) {
    let setup = setup(tempdir().expect("a folder"));
    // The server makes the folder of its ledger.
    let ledger = setup.start().await.stop().await;
    record(&ledger.url(), calls).await;
    let app = setup.start().await;
    (setup, app)
}

/// A chat with a picture, a document, thinking and a tool, which was asked again and edited; another one; a task.
pub(super) fn chats() -> Vec<Call> {
    let file = |name: &str, data: &str| {
        let data = format!("data:text/html;base64,{}", STANDARD.encode(data));
        json!({"type": "file", "file": {"filename": name, "file_data": data}})
    };
    let picture = format!("data:image/png;base64,{PIXEL}");
    let question = || {
        json!({"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": picture}},
            file("päge.html", "<svg onload=alert(1)>"),
        ]})
    };
    let message = json!({"usage": {"input_tokens": 20, "output_tokens": 9}, "content": [
        {"type": "thinking", "thinking": "A picture.", "signature": "EqQB"},
        {"type": "text", "text": "I look:\n```js\nlook(1)\n```\nNow."},
        {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": 1}},
    ]});
    let calling = json!({"role": "assistant", "content": "I look.", "tool_calls": [
        {"id": "toolu_1", "type": "function", "function": {"name": "look", "arguments": "{\"at\":1}"}},
    ]});
    let result = json!({"role": "tool", "tool_call_id": "toolu_1", "content": "a white pixel"});
    let first = [
        asks(json!([question()]), message).paced(PACE),
        asks(json!([question(), calling, result]), says("It is a white pixel.")),
        asks(json!([question()]), says("A dot.")),
        asks(json!([question(), answered("A dot."), user("Sure?")]), says("Yes.")),
        asks(json!([question(), answered("A dot."), user("Really?")]), says("Really.")),
    ];
    let task = asks(json!([user("Title?")]), says("{\"title\": \"A pixel\"}"));
    let mut calls: Vec<Call> = first.map(|call| call.chat("chat/1").user("u1")).into();
    calls.push(task.task("title_generation").chat("chat/1").user("u1"));
    calls.push(asks(json!([user("Something else")]), says("A zebra.")).chat("chat 2").user("u2"));
    calls
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_those_of_the_commands() {
    let (setup, app) = recorded(&chats()).await;
    for (query, arguments) in [
        ("", &["list"][..]),
        ("?since=2020-01&until=2030-01", &["list", "--since", "2020-01", "--until", "2030-01"]),
        ("?since=2020-01&until=2021-01", &["list", "--since", "2020-01", "--until", "2021-01"]),
        ("?since=&user=u2", &["list", "--user", "u2"]),
        ("?task=title_generation", &["list", "--task", "title_generation"]),
        ("?model=none", &["list", "--model", "none"]),
        ("?words=zebra", &["search", "zebra"]),
        ("?words=white+pix*&user=u1", &["search", "white", "pix*", "--user", "u1"]),
        ("?words=nothing", &["search", "nothing"]),
    ] {
        let page = get(&app, &format!("/page/sessions{query}")).await;
        let command = told(&setup, &[&["sessions"], arguments, &["--json"]].concat()).await;
        assert_eq!(page, command, "{query}");
    }
    assert_eq!(get(&app, "/page/sessions").await["sessions"].as_array().map(Vec::len), Some(2));
    let session = get(&app, "/page/sessions/chat%2F1").await;
    assert_eq!(session, told(&setup, &["sessions", "show", "chat/1", "--json"]).await);
    // Commands take the beginning of an id, an address does not.
    assert_eq!(app.client().get("/page/sessions/chat").await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_come_by_pages() {
    let calls: Vec<Call> =
        (0..35).map(|n| asks(json!([user(&format!("Question {n}"))]), says("Yes."))).collect();
    let (_, app) = recorded(&calls).await;
    let first = get(&app, "/page/sessions").await;
    assert_eq!((&first["more"], first["sessions"].as_array().map(Vec::len)), (&json!(5), Some(30)));
    let next = first["next"].as_str().expect("a next page");
    let second = get(&app, &format!("/page/sessions?after={next}")).await;
    assert_eq!(second["next"], json!(null));
    let titles: Vec<_> = [&first, &second]
        .into_iter()
        .flat_map(|page| page["sessions"].as_array().expect("sessions"))
        .map(|session| session["title"].as_str().expect("a title").to_owned())
        .collect();
    let expected: Vec<_> = (0..35).rev().map(|n| format!("Question {n}")).collect();
    assert_eq!(titles, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_played_back_and_requests_are_read() {
    let (setup, app) = recorded(&chats()).await;
    let session = get(&app, "/page/sessions/chat%2F1").await;
    let turn = &session["turns"][0];
    let id = |name: &str| turn[name].as_str().expect("an id");
    let played = get(&app, &format!("/page/playback/{}", id("exchange"))).await;
    let kinds: Vec<_> = played["blocks"].as_array().expect("blocks").iter().collect();
    let kinds: Vec<_> = kinds.iter().map(|block| &block["kind"]).collect();
    assert_eq!(kinds, ["thinking", "text", "tool_call"]);
    assert_eq!(played["blocks"][0]["steps"][0][1], "A picture.");
    assert!(played["duration_us"].as_i64().expect("a time") > PACE);
    let bodies = get(&app, &format!("/page/calls/{}/requests", id("call"))).await;
    let shown = told(&setup, &["calls", "show", id("call"), "--body", "--json"]).await;
    assert_eq!(bodies, shown["bodies"]);
    assert_eq!(bodies["client"]["messages"][0]["content"][0]["text"], "What is this?");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_pictures_are_shown_and_other_files_are_saved() {
    let (_, app) = recorded(&chats()).await;
    let session = get(&app, "/page/sessions/chat%2F1").await;
    let turns = session["turns"].as_array().expect("turns");
    let files = turns[0]["attachments"].as_array().expect("files");
    let address = |turn: usize, file: usize| {
        let call = turns[turn]["call"].as_str().expect("a call");
        let hash = files[file]["hash"].as_str().expect("a hash");
        format!("/page/calls/{call}/attachments/{hash}")
    };
    let picture = app.client().get(&address(0, 0)).await;
    assert_eq!(picture.header("content-type"), Some("image/png"));
    assert_eq!(picture.header("content-disposition"), Some("inline"));
    assert_eq!(picture.header("x-content-type-options"), Some("nosniff"));
    assert_eq!({ picture }.rest().await.0, STANDARD.decode(PIXEL).expect("base64"));
    let document = app.client().get(&address(0, 1)).await;
    assert_eq!(document.header("content-type"), Some("application/octet-stream"));
    let disposition = "attachment; filename*=UTF-8''p%C3%A4ge%2Ehtml";
    assert_eq!(document.header("content-disposition"), Some(disposition));
    let policy = document.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert_eq!(
        app.client().get(&address(1, 0)).await.status,
        404,
        "another call has not this file"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_index_of_words_a_search_says_so() {
    let setup = setup(tempdir().expect("a folder")).set("REPRISE_SEARCH", "off");
    let app = setup.start().await;
    let reply = app.client().get("/page/sessions?words=a").await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.json().await["error"]["code"], "not_searchable");
    assert_eq!(get(&app, "/page/sessions").await["sessions"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_finds_a_chat_and_watches_it_again() {
    let Some(mut browser) = Browser::start().await else { return };
    let (_, app) = recorded(&chats()).await;
    for (scheme, width) in [("light", 1280), ("dark", 390)] {
        browser.look(width, scheme).await;
        for (name, hash) in [
            ("sessions", "#/sessions?since="),
            ("sessions-found", "#/sessions?since=&words=pixel"),
            ("sessions-empty", "#/sessions?since=2020-01-01&until=2020-01-02"),
            ("session", "#/sessions/chat%2F1?turn=2"),
        ] {
            browser.open(&format!("{}/{hash}", app.url())).await;
            if name == "session" {
                browser.until("document.querySelector('.picture img').complete").await;
            }
            browser.picture(&format!("{name}-{scheme}-{width}")).await;
            let faults = faults(&mut browser).await;
            assert!(faults.is_empty(), "{name} {scheme} {width}: {faults:#?}");
            let wide = browser.eval("document.documentElement.scrollWidth > innerWidth").await;
            assert_eq!(wide, json!(false), "{name} is wider than {width}");
            assert_eq!(browser.complaints(), Vec::<String>::new(), "{name}");
        }
    }
    // From the list by the search to the chat.
    browser.look(1280, "light").await;
    browser.open(&format!("{}/#/sessions?since=", app.url())).await;
    browser.eval("document.querySelector('.search input').focus()").await;
    browser.write("zebra").await;
    browser.click(".search button").await;
    browser.until("location.hash === '#/sessions?since=&words=zebra'").await;
    browser.settled().await;
    browser.until("document.querySelectorAll('tbody tr').length === 1").await;
    browser.open(&format!("{}/#/sessions?since=", app.url())).await;
    browser.eval("[...document.querySelectorAll('tbody a')].find((a) => a.textContent === 'A pixel').click()").await;
    browser.until("document.title === 'Session · Reprise'").await;
    browser.settled().await;
    // The newest branch is shown, and the others are there.
    let shown = "[...document.querySelectorAll('.turn')].map((one) => Number(one.dataset.turn))";
    assert_eq!(browser.eval(shown).await, json!([3, 5]));
    browser.click("[data-turn='5'] .branch button").await;
    assert_eq!(browser.eval(shown).await, json!([3, 4]));
    browser.click("[data-turn='3'] .branch button").await;
    assert_eq!(browser.eval(shown).await, json!([1, 2]));
    assert_eq!(browser.eval("location.hash").await, json!("#/sessions/chat%2F1?turn=1"));
    assert_eq!(
        browser.eval("document.querySelector('[data-turn=\"2\"] .result pre').textContent").await,
        json!("a white pixel")
    );
    assert_eq!(
        browser.eval("document.querySelector('.claude pre').textContent").await,
        json!("look(1)"),
        "code is set apart"
    );
    browser.until("document.querySelector('.picture img').naturalWidth === 1").await;
    browser.picture("session-branch-light-1280").await;
    watch(&mut browser).await;
    browser.eval("[...document.querySelectorAll('[data-turn=\"1\"] .actions button')].find((one) => one.textContent === 'Both requests').click()").await;
    browser.until("document.querySelectorAll('.beside pre').length === 2").await;
    let both = "[...document.querySelectorAll('.beside pre')].every((one) => one.textContent.includes('What is this?'))";
    assert_eq!(browser.eval(both).await, json!(true));
    sound(&mut browser, "session-requests").await;
    // From a turn to its call, and from there to the one that asked for the same.
    browser.click("[data-turn='1'] .branch button:not([disabled])").await;
    browser.click("[data-turn='3'] .actions a").await;
    browser.until("document.title === 'Call · Reprise'").await;
    browser.settled().await;
    let session = get(&app, "/page/sessions/chat%2F1").await;
    let first = session["turns"][0]["call"].as_str().expect("an id");
    let leads = format!("!!document.querySelector('dd a[href=\"#/calls/{first}\"]')");
    assert_eq!(browser.eval(&leads).await, json!(true));
    browser.picture("call-of-session-light-1280").await;
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_played_in_few_steps_for_people_who_want_less_motion() {
    let Some(mut browser) = Browser::start().await else { return };
    let (_, app) = recorded(&chats()).await;
    let features = json!([{ "name": "prefers-reduced-motion", "value": "reduce" }]);
    browser.send("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    browser.open(&format!("{}/#/sessions/chat%2F1?turn=1", app.url())).await;
    browser.click("[data-turn='1'] .actions button").await;
    browser.until("!!document.querySelector('.player')").await;
    browser.eval("{ const speed = document.querySelector('.player select'); speed.value = '10'; speed.dispatchEvent(new Event('change')); }").await;
    browser.eval("{ const seek = document.querySelector('.seek'); seek.value = 920; seek.dispatchEvent(new Event('input')); }").await;
    browser.eval("window.changes = 0; new MutationObserver(() => { window.changes += 1; }).observe(document.querySelector('.clock'), { childList: true }); true").await;
    browser.until("document.querySelector('.player button').textContent === 'Play again'").await;
    let changes = browser.eval("window.changes").await.as_u64().expect("a number");
    // The last 29 seconds at ten times the speed, in steps of a second.
    assert!((1..=8).contains(&changes), "{changes}");
}

/// Plays the answer of the first turn, pauses and seeks.
async fn watch(browser: &mut Browser) {
    const TEXT: &str = "[...document.querySelectorAll('.played .block:not([hidden]) .body')].map((one) => one.textContent)";
    browser.click("[data-turn='1'] .actions button").await;
    browser.until("!!document.querySelector('.player')").await;
    assert_eq!(
        browser.eval("document.querySelector('.player button').textContent").await,
        json!("Pause")
    );
    assert_eq!(browser.eval("document.activeElement.textContent").await, json!("Pause"));
    browser.until("Number(document.querySelector('.seek').value) > 0").await;
    browser.click(".player button").await;
    let seek = |place: u32| {
        format!(
            "{{ const seek = document.querySelector('.seek'); seek.value = {place}; \
             seek.dispatchEvent(new Event('input')); seek.value }}"
        )
    };
    browser.eval(&seek(0)).await;
    assert_eq!(browser.eval(TEXT).await, json!([]), "nothing has come");
    browser.eval(&seek(1000)).await;
    let whole = browser.eval(TEXT).await;
    assert_eq!(whole[0], "A picture.");
    assert_eq!(whole[2], "{\"at\":1}");
    browser.eval(&seek(500)).await;
    let half = browser.eval(TEXT).await;
    let half = half.as_array().expect("texts");
    assert!((1..3).contains(&half.len()), "{half:?}");
    assert_eq!(half[0], "A picture.");
    sound(browser, "session-playing").await;
    // To the end, ten times as fast.
    browser.eval("{ const speed = document.querySelector('.player select'); speed.value = '10'; speed.dispatchEvent(new Event('change')); }").await;
    browser.eval(&seek(990)).await;
    browser.click(".player button").await;
    browser.until("document.querySelector('.player button').textContent === 'Play again'").await;
    assert_eq!(browser.eval(TEXT).await, whole);
    browser.eval("[...document.querySelectorAll('.player button')].at(-1).click()").await;
    assert_eq!(browser.eval("document.querySelector('.player')").await, json!(null));
    assert_eq!(
        browser
            .eval("document.querySelectorAll('[data-turn=\"1\"] .content > .block').length")
            .await,
        json!(3)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_stays_text() {
    let Some(mut browser) = Browser::start().await else { return };
    let calls = HOSTILE.map(|text| {
        let message = json!({"usage": {}, "content": [
            {"type": "thinking", "thinking": text, "signature": "EqQB"},
            {"type": "text", "text": format!("{text}\n```{text}\n{text}\n```\n{text}\n\n- [{text}](javascript:window.owned=1) \
                 ![{text}](https://example.com/x.png) <https://example.com>\n\n| {text} |\n| - |\n| {text} |")},
            {"type": "tool_use", "id": text, "name": text, "input": {text: text}},
        ]});
        let data = format!("data:text/html;base64,{}", STANDARD.encode(text));
        let question = json!({"role": "user", "content": [
            {"type": "text", "text": text},
            {"type": "file", "file": {"filename": text, "file_data": data}},
        ]});
        asks(json!([question]), message).chat(text).user(text)
    });
    let (_, app) = recorded(&calls).await;
    browser.look(1280, "light").await;
    let sessions = get(&app, "/page/sessions").await;
    let sessions = sessions["sessions"].as_array().expect("sessions");
    assert_eq!(sessions.len(), HOSTILE.len());
    let query = |name: &str, value: &str| {
        let query = url::form_urlencoded::Serializer::new(String::new());
        format!("#/sessions?since=&{}", { query }.append_pair(name, value).finish())
    };
    let lists = HOSTILE
        .iter()
        .flat_map(|text| ["user", "model", "words", "after"].map(|name| query(name, text)));
    for hash in lists.chain(["#/sessions?since=".to_owned()]) {
        browser.open(&format!("{}/{hash}", app.url())).await;
        assert_eq!(browser.eval(MADE).await, json!([null, 0, 0, 0]), "{hash}");
        let complaints = browser.complaints().into_iter().filter(|told| !told.contains("400"));
        assert_eq!(complaints.collect::<Vec<_>>(), Vec::<String>::new(), "{hash}");
    }
    for text in HOSTILE {
        let script = format!("encodeURIComponent({})", json!(text));
        let id = browser.eval(&script).await;
        browser.open(&format!("{}/#/sessions/{}", app.url(), id.as_str().expect("text"))).await;
        browser.click(".actions button").await;
        browser.until("!!document.querySelector('.player')").await;
        browser.eval("[...document.querySelectorAll('.actions button')].at(-1).click()").await;
        browser.until("!!document.querySelector('.beside')").await;
        assert_eq!(browser.eval(MADE).await, json!([null, 0, 0, 0]), "{text}");
        let shown = format!(
            "document.querySelector('.bubble.person').textContent.includes({})",
            json!(text)
        );
        assert_eq!(browser.eval(&shown).await, json!(true), "{text}");
        assert_eq!(browser.complaints(), Vec::<String>::new(), "{text}");
    }
}
