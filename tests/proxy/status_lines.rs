//! Status lines of Open WebUI: what a person is told of an answer beside its text.

use serde_json::json;

use crate::{
    proxy::{
        chats::{of, says, status, task_of},
        streaming::without_ids,
    },
    support::{
        app::{App, CHAT, MODEL, Setup, ask, with},
        script::Script,
        sse::Answer,
        upstream::Upstream,
    },
};

#[tokio::test]
async fn a_hit_is_told_in_the_chat_to_whom_a_person_looks_at() {
    let upstream = Upstream::start().await;
    let setup = Setup::of(&upstream);
    let app = setup.start().await;
    upstream.always(says("Hello"));
    let miss = of(&app, "ann", "c1", "m1").post(CHAT, &ask("hi")).await.text().await;
    let hit = of(&app, "ann", "c2", "m2").post(CHAT, &ask("hi")).await.text().await;
    let told = "data: {\"event\":{\"type\":\"status\",\"data\":{\"description\":\
        \"Answered from the ledger · saved $0.000047\",\"done\":true}}}\n\n";
    let rest = hit.strip_prefix(told).expect("a status line first");
    let free = "\"cost\":0.0,\"saved\":0.000047,\"chat_cost\":0.0}";
    let paid = without_ids(&miss).replace("\"cost\":0.000047,\"chat_cost\":0.000047}", free);
    assert_eq!(without_ids(rest), paid, "else it is the same, byte for byte");

    let whole = with(ask("hi"), "stream", json!(false));
    let reply = of(&app, "ann", "c3", "m3").post(CHAT, &whole).await;
    assert_eq!(status(&reply), "hit");
    assert!(reply.json().await.get("event").is_none());
    app.stop().await;

    let quiet = setup.set("REPRISE_NO_STATUS_LINE", "true").start().await;
    let hit = of(&quiet, "ann", "c4", "m4").post(CHAT, &ask("hi")).await.text().await;
    assert_eq!(without_ids(&hit), paid);
}

#[tokio::test]
async fn an_answer_that_looks_finished_and_is_not_says_so_to_whom_a_person_looks_at() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let texts: [&[&str]; 2] = [&["Hel", "lo"], &[]];
    for (stop, texts, expected) in [
        ("max_tokens", texts[0], Some("Cut at the limit of 7 tokens; press Continue")),
        (
            "model_context_window_exceeded",
            texts[0],
            Some("Cut, because the context window is full"),
        ),
        ("refusal", texts[0], Some("Claude declined to answer")),
        ("end_turn", texts[1], Some("Claude said nothing")),
        ("end_turn", texts[0], None),
    ] {
        let answer = Answer::of(MODEL);
        let answer = if texts.is_empty() { answer } else { answer.text(texts) };
        upstream.always(Script::sse(answer.stop(stop)));
        let chat = format!("{stop} {}", texts.len());
        let client = of(&app, "ann", &chat, &format!("{chat} m"));
        let body = client.post(CHAT, &ask(&chat)).await.text().await;
        let lines: Vec<&str> = body.matches("\"description\":\"").collect();
        assert_eq!(lines.len(), usize::from(expected.is_some()), "{body}");
        if let Some(expected) = expected {
            let at = body.find(expected).unwrap_or_else(|| panic!("{expected} in {body}"));
            let finish = body.find("\"finish_reason\":\"").expect("a finish");
            assert!(body.find("Hel").is_none_or(|text| text < at) && at < finish, "{body}");
        }
        // Nobody looks at it.
        let body = app.client().post(CHAT, &ask(&chat)).await.text().await;
        assert!(!body.contains("description"), "{body}");
    }
}

#[tokio::test]
async fn a_question_above_the_operators_limit_is_told_before_its_answer() {
    let upstream = Upstream::start().await;
    upstream.always(says("Hello"));
    // 10,000 tokens of prompt at $1 and 1,000 of an answer at $5 per million.
    let text = "word ".repeat(8_000);
    let setup = Setup::of(&upstream);
    for (above, told) in [("$0.012", true), ("1", false)] {
        let app = setup.clone().set("REPRISE_WARN_ABOVE", above).start().await;
        let dear = of(&app, "ann", above, "m1").post(CHAT, &ask(&text)).await.text().await;
        let expected = "This question may cost about $0.0150 (10,0";
        assert_eq!(line(&dear).is_some_and(|line| line.starts_with(expected)), told, "{dear}");
        assert!(!told || dear.starts_with("data: {\"event\":"), "before the answer: {dear}");
        // Nobody watches.
        let task = task_of(&app, "ann", above, "tags_generation").post(CHAT, &ask(&text)).await;
        assert_eq!(line(&task.text().await), None);
        // It costs nothing.
        let other = format!("{above} other");
        let hit = of(&app, "ann", &other, "m2").post(CHAT, &ask(&text)).await.text().await;
        assert!(line(&hit).expect("a line").starts_with("Answered from the ledger"), "{hit}");
        app.stop().await;
    }
}

/// *Continue* makes an answer whole into the same message, which keeps its status lines.
#[tokio::test]
async fn the_line_of_an_answer_that_was_cut_goes_when_it_is_continued() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let chat = || of(&app, "ann", "c", "m");
    let cut = Answer::of(MODEL).text(&["Once"]);
    upstream.push(Script::sse(cut.stop("max_tokens")));
    let first = chat().post(CHAT, &ask("Tell")).await.text().await;
    assert!(line(&first).expect("a line").starts_with("Cut at"), "{first}");
    upstream.push(says(" upon a time"));
    let mut rest = ask("Tell");
    let turn = json!({"role": "assistant", "content": "Once"});
    rest["messages"].as_array_mut().expect("messages").push(turn);
    let rest = chat().post(CHAT, &rest).await.text().await;
    assert_eq!(rest.matches("\"description\"").count(), 1, "{rest}");
    assert!(rest.starts_with("data: {\"event\":") && rest.contains("\"hidden\":true"), "{rest}");
}

/// Of an answer with calls of tools a part may be asked after a part came from the ledger.
#[tokio::test]
async fn a_step_of_an_answer_is_told_as_a_step() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let calls = Answer::of(MODEL).tool("toolu_01", "clock", &["{}"]).stop("tool_use");
    upstream.push(Script::sse(calls));
    upstream.push(says("noon"));
    let tools = json!([{"type": "function", "function": {"name": "clock", "parameters": {}}}]);
    let first = with(ask("Time?"), "tools", tools);
    let call = json!({"id": "toolu_01", "type": "function", "function": {"name": "clock", "arguments": "{}"}});
    let mut second = first.clone();
    let turn = json!({"role": "assistant", "content": null, "tool_calls": [call]});
    let result = json!({"role": "tool", "tool_call_id": "toolu_01", "content": "12:00"});
    second["messages"].as_array_mut().expect("messages").extend([turn, result]);
    let mut lines = Vec::new();
    for (chat, body) in [("c1", &first), ("c1", &second), ("c2", &first), ("c2", &second)] {
        let text = of(&app, "ann", chat, "m").post(CHAT, body).await.text().await;
        lines.push(line(&text).map(str::to_owned));
    }
    let saved = |line: &Option<String>| {
        let (_, saved) = line.as_deref()?.split_once(" · saved $")?;
        saved.parse::<f64>().ok()
    };
    let [None, None, Some(one), Some(all)] = &lines[..] else { panic!("{lines:?}") };
    assert!(one.starts_with("One step from the ledger · saved $"), "{one}");
    assert!(all.starts_with("All 2 steps from the ledger · saved $"), "{all}");
    assert!(saved(&lines[3]) > saved(&lines[2]), "{lines:?}");

    // A step that is asked anew is none of the ledger's.
    upstream.push(says("noon"));
    let anew = with(second.clone(), "max_tokens", json!(9));
    of(&app, "ann", "c3", "m").post(CHAT, &first).await.text().await;
    of(&app, "ann", "c3", "m").post(CHAT, &anew).await.text().await;
    let last = of(&app, "ann", "c3", "m").post(CHAT, &second).await.text().await;
    assert!(line(&last).expect("a line").starts_with("2 of 3 steps from the ledger"), "{last}");
}

/// The first status line of an answer.
fn line(body: &str) -> Option<&str> {
    body.split_once("\"description\":\"")?.1.split('"').next()
}
