//! Files that are uploaded to Open WebUI again, which get new ids: the ids are not part of the key, and no answer brings
//! an id into another chat.

use serde_json::{Value, json};

use super::chats::{answered, of, says, told};
use crate::support::{
    app::{App, CHAT, MODEL, ask, with},
    script::Script,
    sse::Answer,
    upstream::Upstream,
};

const IDS: [&str; 4] = [
    "e22d8e5e-dddd-49c6-987c-9920ac644475",
    "66ae69c5-3233-40cd-aeb0-b8fc3f161fbb",
    "27023b55-35b4-4f6a-b5fa-a7c4bcb87f70",
    "c1f1b77e-ce8e-460c-aee7-8c06d59fd40b",
];
const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";

fn attached(id: &str) -> String {
    format!(
        "<attached_files>\n<file type=\"file\" id=\"{id}\" url=\"{id}\" content_type=\"image/png\" \
         name=\"red.png\"/>\n</attached_files>\n\n"
    )
}

/// As Open WebUI sends it with its own tools.
fn about_picture(id: &str, picture: &str, question: &str) -> Value {
    let url = format!("data:image/png;base64,{picture}");
    let content = json!([
        {"type": "text", "text": attached(id)},
        {"type": "text", "text": question},
        {"type": "image_url", "image_url": {"url": url}},
    ]);
    let schema = json!({"type": "object", "properties": {"file_id": {"type": "string"}}});
    let tool = json!({"type": "function", "function": {"name": "view_file", "parameters": schema}});
    let request = with(ask(""), "messages", json!([{"role": "user", "content": content}]));
    with(request, "tools", json!([tool]))
}

fn about_document(id: &str, text: &str) -> Value {
    let source = format!(
        "<context>\n<source id=\"1\" name=\"doc.pdf\" resource-type=\"file\" resource-id=\"{id}\">{text}</source>\n\
         </context>\n\n"
    );
    ask(&format!("{source}{}What does it say?", attached(id)))
}

#[tokio::test]
async fn the_same_file_uploaded_again_is_answered_from_the_ledger_and_another_is_not() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let [a, b, c, d] = IDS;
    let other = PNG.replace("AAAAB", "AAAAC");
    for (chat, body, expected) in [
        ("1", about_picture(a, PNG, "Colour?"), ("fwd=miss; stored", "one")),
        ("2", about_picture(b, PNG, "Colour?"), ("hit", "one")),
        ("3", about_picture(c, &other, "Colour?"), ("fwd=miss; stored", "two")),
        ("4", about_picture(c, PNG, "Size?"), ("fwd=miss; stored", "three")),
        ("5", about_document(a, "Magenta"), ("fwd=miss; stored", "four")),
        ("6", about_document(d, "Magenta"), ("hit", "four")),
        ("7", about_document(d, "Cyan"), ("fwd=miss; stored", "five")),
        ("8", ask(&format!("What is {a}?")), ("fwd=miss; stored", "six")),
        ("9", ask(&format!("What is {b}?")), ("fwd=miss; stored", "seven")),
    ] {
        if expected.0 != "hit" {
            upstream.push(says(expected.1));
        }
        let reply = told(of(&app, "ann", chat, &format!("{chat}-m")), &body).await;
        assert_eq!(reply, answered(expected.0, expected.1), "{chat}");
    }
    // A Regenerate is none the less one.
    upstream.push(says("again"));
    let again = told(of(&app, "ann", "2", "2-m2"), &about_picture(b, PNG, "Colour?")).await;
    assert_eq!(again.1, "again");
    let sent = upstream.requests()[0].json()["messages"].to_string();
    assert!(sent.contains(a), "the request goes as it is: {sent}");
}

#[tokio::test]
async fn an_answer_that_names_a_file_is_served_only_to_a_request_with_that_file() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let [a, b, c, _] = IDS;
    let calls = |id: &str| {
        let (first, second) = id.split_at(11);
        let arguments = [r#"{"file_id":""#, first, second, r#""}"#];
        Script::sse(Answer::of(MODEL).tool("toolu_1", "view_file", &arguments).stop("tool_use"))
    };
    for (chat, id, is_hit) in [("1", a, false), ("2", b, false), ("3", b, true), ("4", c, false)] {
        if !is_hit {
            upstream.push(calls(id));
        }
        let client = of(&app, "ann", chat, &format!("{chat}-m"));
        let reply = client.post(CHAT, &about_picture(id, PNG, "Read it")).await;
        let status = reply.header("cache-status").unwrap_or_default().to_owned();
        let text = reply.text().await;
        assert_eq!(status.starts_with("reprise; hit"), is_hit, "{chat}: {status}");
        for other in IDS.iter().filter(|other| **other != id) {
            assert!(!text.contains(&other[11..]), "{chat}: {text}");
        }
    }
    assert_eq!(upstream.messages(), 3);
}

#[tokio::test]
async fn other_clients_ids_stay_in_the_key_and_calls_outside_of_chats_do_not_join() {
    let upstream = Upstream::start().await;
    upstream.always(says("one"));
    let app = App::start(&upstream).await;
    for id in &IDS[..2] {
        let reply = told(app.client(), &about_picture(id, PNG, "Colour?")).await;
        assert_eq!(reply.0, "fwd=miss; stored");
    }
    let by_key = || {
        let names = ["x-owui-task", "x-owui-chat", "x-owui-message", "x-owui-user-message"];
        names.iter().fold(app.client().header("x-owui-user", "ann"), |it, name| it.header(name, ""))
    };
    for (id, expected) in IDS.iter().zip(["fwd=miss; stored", "hit"]) {
        let reply = told(by_key(), &about_picture(id, PNG, "Colour?")).await;
        assert_eq!(reply.0, expected);
    }
}
