//! Open WebUI's chats and background calls: a repeat is answered from the ledger, a Regenerate never is.

use serde_json::{Value, json};

use crate::support::{
    app::{App, CHAT, MODEL, Setup, ask, with},
    client::{Client, Reply},
    script::{Gate, Script},
    sse::{self, Answer},
    upstream::{Outcome, Upstream},
};

/// A call of Open WebUI on behalf of a user: of a chat, and for a message in it.
pub(crate) fn of(app: &App, user: &str, chat: &str, message: &str) -> Client {
    let user_message = format!("{chat}-u");
    let ids =
        [("user", user), ("chat", chat), ("message", message), ("user-message", &*user_message)];
    ids.into_iter()
        .fold(app.client(), |client, (name, id)| client.header(&format!("x-owui-{name}"), id))
}

/// One of its background calls, as its header names it.
pub(crate) fn task_of(app: &App, user: &str, chat: &str, task: &str) -> Client {
    of(app, user, chat, "").header("x-owui-task", task)
}

/// What a background call asks.
pub(crate) fn asks_task(prompt: &str) -> Value {
    json!({ "model": MODEL, "stream": false, "messages": [{ "role": "user", "content": prompt }] })
}

pub(crate) const TITLE: &str =
    "### Task:\nGenerate a concise title summarizing the chat history.\n### Guidelines:\nUSER: hi";
const TAGS: &str = "### Task:\nGenerate 1-3 broad tags categorizing the main themes of the chat history, along with";

pub(crate) fn says(text: &str) -> Script {
    Script::sse(Answer::of(MODEL).text(&[text]).stop("end_turn"))
}

pub(crate) fn status(reply: &Reply) -> String {
    let status = reply.header("cache-status").unwrap_or_default();
    let told = status.strip_prefix("reprise; ").expect("a cache status");
    told.split("; key=")
        .next()
        .unwrap_or_default()
        .split("; ttl=")
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// How a call was answered, and with which text.
pub(crate) async fn told(client: Client, body: &Value) -> (String, String) {
    let reply = client.post(CHAT, body).await;
    (status(&reply), sse::openai_text(&reply.chunks().await))
}

pub(crate) fn answered(how: &str, text: &str) -> (String, String) {
    (how.to_owned(), text.to_owned())
}

#[tokio::test]
async fn a_regenerate_is_never_a_repeat() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let app = setup.start().await;
    for text in ["one", "two", "three", "four", "five"] {
        upstream.push(says(text));
    }
    let chat = async |app: &App, chat: &str, message: &str| {
        told(of(app, "ann", chat, message), &ask("hi")).await
    };
    let anew = "fwd=request; stored; detail=asked-before";
    assert_eq!(chat(&app, "c1", "m1").await, answered("fwd=miss; stored", "one"));
    assert_eq!(
        chat(&app, "c2", "m2").await,
        answered("hit", "one"),
        "another chat, the same question"
    );
    assert_eq!(chat(&app, "c1", "m3").await, answered(anew, "two"), "Regenerate");
    assert_eq!(chat(&app, "c2", "m4").await, answered(anew, "three"), "Regenerate after a hit");
    assert_eq!(
        chat(&app, "c1", "m5").await,
        answered(anew, "four"),
        "a newer answer from another chat does not beat Regenerate"
    );
    assert_eq!(chat(&app, "c3", "m6").await, answered("hit", "four"), "the newest");
    assert_eq!(chat(&app, "c3", "m6").await, answered("hit", "four"), "the same message again");
    app.stop().await;
    let app = setup.start().await;
    assert_eq!(chat(&app, "c3", "m7").await, answered(anew, "five"), "also after a restart");
    assert_eq!(chat(&app, "c4", "m8").await, answered("hit", "five"));
    let calls = app.stop().await.calls().await;
    let by: Vec<_> = calls.iter().map(|call| call.answered_by.as_str()).collect();
    let expected = ["miss", "hit", "refresh", "refresh", "refresh", "hit", "hit", "refresh", "hit"];
    assert_eq!(by, expected);
}

/// The date in the system prompt is another one today, or the tools are after an upgrade: the person still wants another
/// answer.
#[tokio::test]
async fn a_regenerate_is_one_also_where_the_request_has_changed_since() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let app = setup.start().await;
    for text in ["yesterday's", "today's", "another", "a third"] {
        upstream.push(says(text));
    }
    let on = |day: &str| {
        let system = json!({"role": "system", "content": format!("Today is {day}.")});
        with(ask(""), "messages", json!([system, {"role": "user", "content": "hi"}]))
    };
    told(of(&app, "ann", "c1", "m1"), &on("Monday")).await;
    told(of(&app, "ann", "c2", "m2"), &on("Tuesday")).await;
    let anew = "fwd=request; stored; detail=asked-before";
    assert_eq!(told(of(&app, "ann", "c1", "m3"), &on("Tuesday")).await, answered(anew, "another"));
    app.stop().await;
    let app = setup.start().await;
    assert_eq!(told(of(&app, "ann", "c1", "m4"), &on("Tuesday")).await, answered(anew, "a third"));
}

#[tokio::test]
async fn after_stop_another_chats_answer_is_not_served_to_the_same_chat() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let block = sse::content_block_start(0, r#"{"type":"text","text":"Hel"}"#);
    let beginning = Answer::of(MODEL).event(block).unfinished();
    upstream.push(Script::sse(beginning).stall());
    let mut stopped = of(&app, "ann", "c1", "m1").post(CHAT, &ask("hi")).await;
    stopped.read_until("Hel").await;
    drop(stopped);
    upstream.await_outcome(0, Outcome::Disconnected).await;
    upstream.push(says("from another chat"));
    upstream.push(says("anew"));
    let other = told(of(&app, "ann", "c2", "m2"), &ask("hi")).await;
    assert_eq!(other, answered("fwd=miss; stored", "from another chat"));
    let again = told(of(&app, "ann", "c1", "m3"), &ask("hi")).await;
    assert_eq!(again, answered("fwd=request; stored; detail=asked-before", "anew"));
}

/// Open WebUI sends a *Continue* of an empty answer as the same request for the same message.
#[tokio::test]
async fn after_stop_a_continue_is_not_answered_by_another_chat_either() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(Script::silent());
    let arrived = async { drop(upstream.await_request(1).await) };
    of(&app, "ann", "c1", "m1").post_and_leave(CHAT, &ask("hi"), arrived).await;
    upstream.await_outcome(0, Outcome::Disconnected).await;
    upstream.push(says("from another chat"));
    upstream.push(says("anew"));
    told(of(&app, "ann", "c2", "m2"), &ask("hi")).await;
    let continued = told(of(&app, "ann", "c1", "m1"), &ask("hi")).await;
    assert_eq!(continued, answered("fwd=request; stored; detail=asked-before", "anew"));
    let sent_again = told(of(&app, "ann", "c1", "m1"), &ask("hi")).await;
    assert_eq!(sent_again, answered("hit", "anew"), "what was lost on the way is not asked twice");
}

#[tokio::test]
async fn two_columns_both_ask() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let gate = Gate::new();
    upstream.push(says("left").hold(&gate));
    upstream.push(says("right").hold(&gate));
    let columns = async {
        let (left, right) = (of(&app, "ann", "c1", "m1"), of(&app, "ann", "c1", "m2"));
        let question = ask("hi");
        tokio::join!(told(left, &question), told(right, &question))
    };
    let both_ask = async {
        gate.reached(2).await;
        gate.open();
    };
    let ((left, right), ()) = tokio::join!(columns, both_ask);
    let mut texts = [left.1, right.1];
    texts.sort();
    assert_eq!(texts, ["left", "right"]);
}

#[tokio::test]
async fn of_two_columns_in_another_chat_one_at_most_is_a_repeat() {
    let upstream = Upstream::start().await;
    upstream.always(says("Hello"));
    let app = App::start(&upstream).await;
    assert_eq!(told(of(&app, "ann", "c1", "m1"), &ask("hi")).await.0, "fwd=miss; stored");
    let columns = ["m2", "m3"].map(|message| of(&app, "ann", "c2", message));
    let mut how = Vec::new();
    for column in columns {
        how.push(told(column, &ask("hi")).await.0);
    }
    assert_eq!(how[0], "hit");
    assert!(how[1].starts_with("fwd="), "{how:?}");
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn a_title_that_is_asked_for_again_is_another_one_and_other_tasks_are_not() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    for text in ["a title", "tags", "another title"] {
        upstream.push(says(text));
    }
    let call = async |chat: &str, task: &str, prompt: &str| {
        let reply = task_of(&app, "ann", chat, task).post(CHAT, &asks_task(prompt)).await;
        let status = status(&reply);
        (
            status,
            reply.json().await["choices"][0]["message"]["content"]
                .as_str()
                .map(str::to_owned)
                .unwrap(),
        )
    };
    let title = "title_generation";
    assert_eq!(call("c1", title, TITLE).await, answered("fwd=miss; stored", "a title"));
    assert_eq!(call("c1", "tags_generation", TAGS).await, answered("fwd=miss; stored", "tags"));
    assert_eq!(call("c2", title, TITLE).await, answered("hit", "a title"));
    assert_eq!(call("c1", "tags_generation", TAGS).await, answered("hit", "tags"));
    let anew = "fwd=request; stored; detail=asked-before";
    assert_eq!(call("c1", title, TITLE).await, answered(anew, "another title"));
    assert_eq!(call("c3", title, TITLE).await, answered("hit", "another title"));
}

/// Open WebUI makes four calls for a first question, and none for one that was asked before: a hit has the same text, so
/// the prompts that are made from it are the same, too.
#[tokio::test]
async fn a_first_question_that_was_asked_before_costs_no_call_at_all() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    for text in ["{\"title\":\"Hi\"}", "Hello, what a day", "{\"follow_ups\":[]}", "{\"tags\":[]}"]
    {
        upstream.push(says(text));
    }
    let first_question = async |chat: &str| {
        let post = async |task: &str, prompt: String| {
            let reply = task_of(&app, "ann", chat, task).post(CHAT, &asks_task(&prompt)).await;
            reply.json().await["choices"][0]["message"]["content"].clone()
        };
        let title = post("title_generation", TITLE.to_owned()).await;
        let reply = of(&app, "ann", chat, &format!("{chat}-m")).post(CHAT, &ask("hi")).await;
        let text = sse::openai_text(&reply.chunks().await);
        let history = format!("<chat_history>\nUSER: hi\nASSISTANT: {text}\n</chat_history>");
        let follow_ups = format!("### Task:\nPredict 3-5 useful messages\n{history}");
        let follow_ups = post("follow_up_generation", follow_ups).await;
        let tags = post("tags_generation", format!("{TAGS}\n{history}")).await;
        (title, text, follow_ups, tags)
    };
    let first = first_question("c1").await;
    assert_eq!(upstream.requests().len(), 4);
    assert_eq!(first_question("c2").await, first);
    assert_eq!(upstream.requests().len(), 4);
}

#[tokio::test]
async fn without_a_message_id_a_chat_that_asked_before_asks_anew() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.always(says("Hello"));
    let own_headers = |chat: &str| {
        app.client().header("x-openwebui-user-id", "ann").header("x-openwebui-chat-id", chat)
    };
    for (chat, how) in [
        ("c1", "fwd=miss; stored"),
        ("c1", "fwd=request; stored; detail=asked-before"),
        ("c2", "hit"),
        ("c2", "fwd=request; stored; detail=asked-before"),
    ] {
        assert_eq!(told(own_headers(chat), &ask("hi")).await, answered(how, "Hello"), "{chat}");
    }
}

#[tokio::test]
async fn without_ids_tasks_are_hits_and_chats_are_asked_anew() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.always(says("Hello"));
    let client = || app.client().header("user-agent", "Python/3.12 aiohttp/3.14.1");
    let anew = "fwd=request; stored; detail=no-chat-id";
    for (body, how) in [
        (ask("hi"), anew),
        (ask("hi"), anew),
        (asks_task(TITLE), "fwd=miss; stored"),
        (asks_task(TITLE), "hit"),
        // A question about a document begins so, too.
        (asks_task("### Task:\nRespond to the user query using the provided context"), anew),
        (with(asks_task(TITLE), "stream", json!(true)), anew),
    ] {
        let reply = client().post(CHAT, &body).await;
        assert_eq!(status(&reply), how, "{body}");
        reply.text().await;
    }
}

/// A misspelt template arrives as it was written: as an id it would be everybody's.
#[tokio::test]
async fn a_template_that_was_not_filled_in_is_no_id() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.always(says("Hello"));
    let anew = "fwd=request; stored; detail=no-chat-id";
    for _ in 0..2 {
        let client = app.client().header("x-owui-user", "{{USERID}}");
        let client = client.header("x-owui-chat", "{{CHATID}}").header("x-owui-task", "{{TASK}}");
        assert_eq!(told(client, &ask("hi")).await, answered(anew, "Hello"));
    }
}

#[tokio::test]
async fn of_a_temporary_chat_nothing_is_kept_not_even_a_title() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.always(says("Hello"));
    for _ in 0..2 {
        for client in [
            of(&app, "ann", "temporary:1", "m1"),
            of(&app, "ann", &format!("temporary:{}", "x".repeat(300)), "m1"),
            task_of(&app, "ann", "temporary:1", "title_generation"),
        ] {
            let reply = client.post(CHAT, &ask("hi")).await;
            assert_eq!(status(&reply), "fwd=bypass; detail=temporary");
            reply.text().await;
        }
    }
    assert_eq!(app.ledger().count("node").await, 0);
}

#[tokio::test]
async fn users_share_only_where_the_operator_says_so() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    upstream.always(says("Hello"));
    for (scope, how) in [("user", "fwd=miss; stored"), ("shared", "hit")] {
        let app = setup.clone().set("REPRISE_CACHE_SCOPE", scope).start().await;
        let question = ask(scope);
        told(of(&app, "ann", "c1", "m1"), &question).await;
        let other = told(of(&app, "bob", "c2", "m2"), &question).await;
        assert_eq!(other, answered(how, "Hello"));
        app.stop().await;
    }
}

#[tokio::test]
async fn the_operator_says_what_may_be_answered_from_the_ledger() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    upstream.always(says("Hello"));
    let off = "fwd=bypass; stored; detail=cache-off";
    let no_ttl = "fwd=bypass; stored; detail=no-ttl";
    for (name, value, task, plain) in [
        ("REPRISE_CACHE", "off", off, off),
        ("REPRISE_CACHE", "tasks", "hit", off),
        ("REPRISE_TASK_TTL", "title=off", no_ttl, "hit"),
    ] {
        let app = setup.clone().set(name, value).start().await;
        for (round, expected) in [[None, None], [Some(task), Some(plain)]].into_iter().enumerate() {
            let title = task_of(&app, "ann", &format!("c{round}"), "title_generation");
            let clients = [(title, asks_task(value)), (app.client(), ask(value))];
            for ((client, body), expected) in clients.into_iter().zip(expected) {
                let reply = client.post(CHAT, &body).await;
                let how = status(&reply);
                reply.text().await;
                assert_eq!(expected.unwrap_or(&how), how, "{name}={value}");
            }
        }
        app.stop().await;
    }
}

#[tokio::test]
async fn background_calls_may_be_asked_of_a_cheaper_model() {
    let upstream = Upstream::start().await;
    let app = Setup::of(&upstream).set("REPRISE_TASK_MODEL", "claude-haiku-5-5").start().await;
    upstream.always(says("Hello"));
    let opus = |body| with(body, "model", json!("claude-opus-5-5"));
    let title = task_of(&app, "ann", "c1", "title_generation");
    title.post(CHAT, &opus(asks_task(TITLE))).await.text().await;
    of(&app, "ann", "c1", "m1").post(CHAT, &opus(ask("hi"))).await.text().await;
    let merged = task_of(&app, "ann", "c1", "moa_response_generation");
    merged.post(CHAT, &opus(asks_task("merge"))).await.text().await;
    let asked: Vec<_> =
        upstream.requests().iter().map(|asked| asked.json()["model"].clone()).collect();
    assert_eq!(asked, ["claude-haiku-5-5", "claude-opus-5-5", "claude-opus-5-5"]);
}

/// Open WebUI fills in none of the ids for calls by its API keys and from its playground.
#[tokio::test]
async fn a_call_of_open_webui_that_belongs_to_no_chat_is_one_like_any_clients() {
    let upstream = Upstream::start().await;
    upstream.always(says("Hello"));
    let app = App::start(&upstream).await;
    let by_key = || {
        let names = ["x-owui-task", "x-owui-chat", "x-owui-message", "x-owui-user-message"];
        names.iter().fold(app.client().header("x-owui-user", "ann"), |it, name| it.header(name, ""))
    };
    assert_eq!(told(by_key(), &ask("hi")).await.0, "fwd=miss; stored");
    assert_eq!(told(by_key(), &ask("hi")).await.0, "hit");
    // Without the line nobody knows which chat asks.
    let without = || app.client().header("x-openwebui-user-id", "ann");
    assert_eq!(told(without(), &ask("hi")).await.0, "fwd=request; stored; detail=no-chat-id");
    let ledger = app.stop().await;
    let clients = ledger.rows::<(String,)>("select client from call order by seq").await;
    let clients: Vec<String> = clients.into_iter().map(|(client,)| client).collect();
    assert_eq!(clients, ["open-webui-api", "open-webui-api", "open-webui"]);
}
