//! The cost of a chat so far, in the usage of its answers.

use serde_json::{Value, json};

use crate::{
    proxy::chats::{TITLE, asks_task, of, says, task_of},
    support::{
        app::{CHAT, MODEL, Setup, ask, ask_whole, with},
        client::Client,
        script::Script,
        sse::{self, Answer},
        until,
        upstream::Upstream,
    },
};

/// The cost of each answer, in nano-dollars.
const EACH: i64 = 47_000;

/// The cost of the chat as an answer tells it, in nano-dollars, and whether it is exact.
async fn chat_cost(client: Client, body: &Value) -> (Option<i64>, Option<String>) {
    let reply = client.post(CHAT, body).await;
    let usage = if body["stream"] == json!(true) {
        let body = reply.text().await;
        let chunks = sse::openai_sse(&body);
        let usage = |chunk: &Value| chunk.get("usage").filter(|usage| usage.is_object()).cloned();
        chunks.iter().find_map(usage).expect("usage")
    } else {
        reply.json().await["usage"].clone()
    };
    #[expect(clippy::cast_possible_truncation, reason = "a small amount")]
    let nanos =
        usage.get("chat_cost").map(|cost| (cost.as_f64().expect("a number") * 1e9).round() as i64);
    (nanos, usage.get("chat_cost_is").map(|word| word.as_str().expect("a word").to_owned()))
}

fn exactly(answers: i64) -> (Option<i64>, Option<String>) {
    (Some(answers * EACH), None)
}

#[tokio::test]
async fn the_usage_of_an_answer_tells_what_its_chat_has_cost_tasks_included() {
    let upstream = Upstream::start().await;
    upstream.always(says("Hello"));
    let setup = Setup::of(&upstream);
    let app = setup.start().await;
    let ann = |chat: &str, message: &str| of(&app, "ann", chat, message);
    assert_eq!(chat_cost(ann("c1", "m1"), &ask("one")).await, exactly(1));
    let title = task_of(&app, "ann", "c1", "title_generation");
    assert_eq!(chat_cost(title, &asks_task(TITLE)).await, (None, None), "nobody sees it");
    assert_eq!(chat_cost(ann("c1", "m2"), &ask_whole("two")).await, exactly(3));
    // A repeat adds nothing, in whatever chat.
    assert_eq!(chat_cost(ann("c2", "m3"), &ask("one")).await, exactly(0));
    assert_eq!(chat_cost(ann("c1", "m4"), &ask("three")).await, exactly(4));
    for message in ["m1", "m2"] {
        let body = ask(&format!("secret {message}"));
        let expected = exactly(if message == "m1" { 1 } else { 2 });
        assert_eq!(chat_cost(ann("temporary:1", message), &body).await, expected);
    }
    let without = with(ask("four"), "stream_options", json!({"include_usage": true}));
    assert_eq!(chat_cost(app.client(), &without).await, (None, None), "there is no chat");
    app.stop().await;

    // A restart knows it from the ledger.
    let app = setup.start().await;
    let ann = |message: &str| of(&app, "ann", "c1", message);
    assert_eq!(chat_cost(ann("m5"), &ask("one")).await, exactly(5), "a Regenerate");
    assert_eq!(chat_cost(of(&app, "ann", "c3", "m6"), &ask("two")).await, exactly(0));
    // Of a chat in which another user asks, too, not all may be told.
    let bob = of(&app, "bob", "c1", "m7");
    let at_least = Some("at least".to_owned());
    assert_eq!(chat_cost(bob, &ask("five")).await, (Some(EACH), at_least.clone()));

    // What was stopped costs at least what is known.
    let beginning =
        Answer::of(MODEL).event(sse::content_block_start(0, r#"{"type":"text","text":""}"#));
    let beginning = beginning.event(sse::text_delta(0, "Hel")).unfinished();
    upstream.push(Script::sse(beginning).stall());
    let mut reply = ann("m8").post(CHAT, &ask("six")).await;
    reply.read_until("Hel").await;
    drop(reply);
    let is_stopped = async || {
        let calls = app.ledger().calls().await;
        calls.iter().any(|call| call.outcome == "stopped")
    };
    until("a stopped call", is_stopped).await;
    let (cost, word) = chat_cost(ann("m9"), &ask("seven")).await;
    assert!(cost > Some(6 * EACH), "{cost:?}");
    assert_eq!(word, at_least);
}
