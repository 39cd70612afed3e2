//! Halves of surrogate pairs, which clients send that cut a text in the middle of an emoji.

use serde_json::{Value, json};

use crate::support::{
    app::{App, CHAT, MODEL},
    script::Script,
    sse::Answer,
    upstream::Upstream,
};

/// Places of a chat request that a text can stand in. `HALF` is replaced.
const CHAT_PLACES: [&str; 11] = [
    r#""messages":[{"role":"user","content":"cut HALF"}]"#,
    r#""messages":[{"role":"user","content":[{"type":"text","text":"HALF cut"}]}]"#,
    r#""messages":[{"role":"system","content":"HALF"},{"role":"user","content":"hi"}]"#,
    r#""messages":[{"role":"user","name":"HALF","content":"hi","HALF":"HALF"}]"#,
    r#""messages":[{"role":"user","content":"hi"}],"metadata":{"k":"HALF","HALF":["HALF"]}"#,
    r#""messages":[{"role":"user","content":"hi"}],"HALF":1,"seed":"HALF""#,
    r#""messages":[{"role":"user","content":"hi"}],"stop":["HALF"]"#,
    r#""messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"f",
       "description":"HALF","parameters":{"type":"object","properties":{"a":{"type":"string","description":"HALF","enum":["HALF"]}}}}}]"#,
    r#""messages":[{"role":"user","content":"hi"},{"role":"assistant","tool_calls":[{"id":"t","type":"function",
       "function":{"name":"f","arguments":"{\"a\":\"HALF\"}"}}]},{"role":"tool","tool_call_id":"t","content":"HALF"}]"#,
    r#""messages":[{"role":"user","content":"hi"},{"role":"assistant","tool_calls":[{"id":"t","type":"function",
       "function":{"name":"f","arguments":"{\"a\":\"\HALF\"}"}}]},{"role":"tool","tool_call_id":"t","content":"ok"}]"#,
    r#""messages":[{"role":"user","content":"hi"},{"role":"assistant","tool_calls":[{"id":"t","type":"function",
       "function":{"name":"f","arguments":{"HALF":"HALF"}}}]},{"role":"tool","tool_call_id":"t","content":"ok"}]"#,
];

/// The same of a native request.
const NATIVE_PLACES: [&str; 3] = [
    r#""messages":[{"role":"user","content":"cut HALF"}]"#,
    r#""messages":[{"role":"user","content":[{"type":"text","text":"HALF"}]}],"system":"HALF""#,
    r#""messages":[{"role":"user","content":"hi"}],"HALF":{"HALF":"HALF"}"#,
];

/// Lone halves, and what becomes of them upstream.
const HALVES: [(&str, &str); 5] = [
    (r"\ud83d", "\u{fffd}"),
    (r"\ude00", "\u{fffd}"),
    (r"\uDE00\uD83D", "\u{fffd}\u{fffd}"),
    (r"\ud83d\ud83d\ude00", "\u{fffd}😀"),
    (r"\ud83d\u00e9", "\u{fffd}é"),
];

/// Places that say who the user is: two users must not become one.
const USERS: [(&str, &str); 3] = [
    (CHAT, r#""messages":[{"role":"user","content":"hi"}],"user":"u HALF""#),
    (CHAT, r#""messages":[{"role":"user","content":"hi"}],"safety_identifier":"HALF""#),
    (
        "/v1/messages",
        r#""messages":[{"role":"user","content":"hi"}],"metadata":{"user_id":"HALF"}"#,
    ),
];

/// The body of a request to this model.
fn body(place: &str, half: &str, stream: bool) -> String {
    let place = place.replace("HALF", half);
    format!(r#"{{"model":"{MODEL}","max_tokens":99,"stream":{stream},{place}}}"#)
}

#[tokio::test]
async fn lone_halves_become_replacement_characters_wherever_they_stand() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.always(Script::sse(Answer::of(MODEL).text(&["ok"]).stop("end_turn")));
    let client = app.client().header("cache-control", "no-store");
    let client = client.header("content-type", "application/json");
    let mut sent = 0;
    for (path, places) in [(CHAT, &CHAT_PLACES[..]), ("/v1/messages", &NATIVE_PLACES)] {
        for place in places {
            for (half, expected) in HALVES {
                for stream in [true, false] {
                    let body = body(place, half, stream);
                    let reply = client.send("POST", path, body.as_bytes()).await;
                    let status = reply.status.as_u16();
                    assert_eq!(status, 200, "{body}\n{}", reply.text().await);
                    sent += 1;
                    let request = upstream.await_request(sent).await;
                    let request: Value = serde_json::from_slice(&request.body).expect("JSON");
                    if place.contains("cut HALF") {
                        let text = request["messages"][0]["content"].to_string();
                        assert!(text.contains(&format!("cut {expected}")), "{text}");
                    }
                    let call = &request["messages"][1]["content"][0]["input"];
                    if place.contains(r#"\"a\":"#) {
                        assert_eq!(call, &json!({ "a": expected }), "{body}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn escaped_backslashes_are_text_and_whole_pairs_stay_as_they_are() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.always(Script::sse(Answer::of(MODEL).text(&["ok"]).stop("end_turn")));
    let client = app.client().header("content-type", "application/json");
    let body = body(NATIVE_PLACES[0], r"\\ud83d \ud83d\ude00 \\\\\ud83d\ude00", true);
    client.send("POST", "/v1/messages", body.as_bytes()).await.text().await;
    assert_eq!(upstream.await_request(1).await.body, body.as_bytes());
    let count = "/v1/messages/count_tokens";
    upstream.push(Script::json(200, &json!({ "input_tokens": 1 })));
    client.send("POST", count, body.replace("cut", r"\ud83d").as_bytes()).await.text().await;
    let expected = body.replace("cut", r"\ufffd");
    assert_eq!(upstream.await_request(2).await.body, expected.as_bytes());
}

#[tokio::test]
async fn bytes_that_are_not_utf8_become_replacement_characters() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.always(Script::sse(Answer::of(MODEL).text(&["ok"]).stop("end_turn")));
    // Half of a pair in the bytes of UTF-8, and a letter of Latin-1.
    for (bytes, text) in [
        (&b"cut \xed\xa0\xbd end"[..], "cut \u{fffd}\u{fffd}\u{fffd} end"),
        (b"caf\xe9", "caf\u{fffd}"),
    ] {
        for path in [CHAT, "/v1/messages"] {
            let [before, after] = body(CHAT_PLACES[0], "HALF", false)
                .split("cut HALF")
                .map(str::to_owned)
                .collect::<Vec<_>>()
                .try_into()
                .expect("two parts");
            let body = [before.as_bytes(), bytes, after.as_bytes()].concat();
            let client = app.client().header("content-type", "application/json");
            let reply = client.send("POST", path, &body).await;
            assert_eq!(reply.status.as_u16(), 200, "{path}");
            reply.json().await;
            let sent = upstream.requests().pop().expect("a request").json();
            assert!(sent["messages"].to_string().contains(text), "{sent}");
        }
    }
}

#[tokio::test]
async fn a_user_who_is_no_text_is_refused() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let client = app.client().header("content-type", "application/json");
    for (path, place) in USERS {
        let reply = client.send("POST", path, body(place, r"\ud83d", false).as_bytes()).await;
        assert_eq!(reply.status.as_u16(), 400, "{place}");
        assert!(reply.text().await.contains("is not text in UTF-8"));
    }
    assert_eq!(upstream.requests().len(), 0);
}
