//! Results that come late, early, twice, for no call or without its id; and parts that cannot be sent.

use serde_json::{Value, json};

use super::{MODELS, bytes, outcome, positions, same};

fn said(role: &str, text: &str) -> Value {
    json!({"role": role, "content": text})
}

fn calls(ids: &[&str]) -> Value {
    let call = |id: &&str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    json!({"role": "assistant", "tool_calls": ids.iter().map(call).collect::<Vec<_>>()})
}

fn result(id: &str, text: &str) -> Value {
    json!({"role": "tool", "tool_call_id": id, "content": text})
}

fn body(messages: &[Value]) -> Value {
    json!({"messages": messages})
}

#[test]
fn results_are_moved_to_their_calls() {
    let user = || said("user", "Hi");
    let wait = || said("assistant", "Wait");
    let meant =
        body(&[user(), calls(&["a"]), result("a", "rain"), said("user", "Well?"), wait(), user()]);
    let anthropics = json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "rain"}]});
    for result in [result("a", "rain"), anthropics] {
        let late =
            body(&[user(), calls(&["a"]), said("user", "Well?"), wait(), result.clone(), user()]);
        same("late", &late, &meant);
        let later =
            body(&[user(), calls(&["a"]), said("user", "Well?"), wait(), user(), result.clone()]);
        same("at the end", &later, &meant);
        let early = body(&[user(), result, calls(&["a"]), said("user", "Well?"), wait(), user()]);
        same("early", &early, &meant);
    }
    let meant =
        body(&[user(), calls(&["a", "b"]), result("a", "1"), result("b", "2"), wait(), user()]);
    let late =
        body(&[user(), calls(&["a", "b"]), result("a", "1"), wait(), result("b", "2"), user()]);
    same("one of two", &late, &meant);
    let late = body(&[
        user(),
        calls(&["a", "b"]),
        user(),
        wait(),
        result("b", "2"),
        result("a", "1"),
        user(),
    ]);
    let meant = body(&[
        user(),
        calls(&["a", "b"]),
        result("a", "1"),
        result("b", "2"),
        user(),
        wait(),
        user(),
    ]);
    same("both, the other way round", &late, &meant);
}

#[test]
fn an_id_that_is_used_again_means_the_last_call_that_waits() {
    let user = || said("user", "Hi");
    let meant = body(&[
        user(),
        calls(&["a"]),
        result("a", "1"),
        said("assistant", "x"),
        user(),
        calls(&["a"]),
        result("a", "2"),
        said("assistant", "y"),
        user(),
    ]);
    let late = body(&[
        user(),
        calls(&["a"]),
        user(),
        said("assistant", "x"),
        user(),
        calls(&["a"]),
        result("a", "2"),
        said("assistant", "y"),
        user(),
        result("a", "1"),
    ]);
    let upstream =
        |body: &Value| -> Value { serde_json::from_slice(&bytes(body, MODELS[0])).unwrap() };
    let results = |body: &Value| -> Vec<Value> {
        let body = upstream(body);
        let blocks = body["messages"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|message| message["content"].as_array().unwrap().clone());
        blocks.filter(|block| block["type"] == "tool_result").collect()
    };
    assert_eq!(results(&late), results(&meant));
    // The call of the last turn comes first, and what is said once more is left out.
    let twice = body(&[
        user(),
        calls(&["a"]),
        result("a", "1"),
        result("a", "1"),
        said("assistant", "x"),
        result("a", "1"),
        user(),
    ]);
    let once = body(&[user(), calls(&["a"]), result("a", "1"), said("assistant", "x"), user()]);
    same("twice", &twice, &once);
}

#[test]
fn results_without_a_name_and_without_a_call_do_not_end_the_chat() {
    let user = || said("user", "Hi");
    let unnamed = json!({"role": "tool", "content": "1"});
    let meant = body(&[user(), calls(&["a", "b"]), result("a", "1"), result("b", "2")]);
    same("unnamed", &body(&[user(), calls(&["a", "b"]), unnamed, result("b", "2")]), &meant);
    let nameless = json!({"role": "tool", "content": "2"});
    same(
        "unnamed",
        &body(&[user(), calls(&["a", "b"]), result("a", "1"), nameless.clone()]),
        &meant,
    );
    same("no call", &body(&[user(), nameless.clone(), user()]), &body(&[user(), user()]));
    // At the end it can still be given its name.
    let error = outcome(&body(&[user(), nameless]), MODELS[0]).unwrap_err();
    assert_eq!(error.param(), "messages[1].tool_call_id");
    same(
        "nothing else",
        &body(&[result("a", "2"), result("b", "3")]),
        &body(&[json!({"role": "user", "content": ["2", "3"]})]),
    );
    let old_call = json!({"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}});
    let old_result = json!({"role": "function", "name": "f", "content": "1"});
    let late = body(&[
        user(),
        old_call.clone(),
        user(),
        said("assistant", "x"),
        old_result.clone(),
        user(),
    ]);
    same(
        "in the old form",
        &late,
        &body(&[user(), old_call, old_result, user(), said("assistant", "x"), user()]),
    );
    let by_id = json!({"role": "function", "tool_call_id": "a", "name": "f", "content": "1"});
    let said = bytes(&body(&[user(), calls(&["a"]), by_id]), MODELS[0]);
    assert_eq!(said, bytes(&body(&[user(), calls(&["a"]), result("a", "1")]), MODELS[0]));
}

#[test]
fn a_part_that_cannot_be_sent_is_refused_only_while_the_client_can_change_it() {
    let not_sent = "(A part of this message could not be passed on.)";
    let picture = "[picture, which Claude cannot read]";
    for (part, not_sent) in [
        (json!({"type": "smell", "smell": "x"}), not_sent),
        (
            json!({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}),
            "[sound recording, which Claude cannot read]",
        ),
        (
            json!({"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}),
            "[video, which Claude cannot read]",
        ),
        (
            json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}),
            "[picture of type image/png, which Claude cannot read]",
        ),
        (json!({"type": "image_url"}), picture),
        (json!({"type": "input_image", "file_id": "file-openai"}), picture),
        (
            json!({"type": "file", "file": {"file_id": "file-1"}}),
            "[file, which Claude cannot read]",
        ),
    ] {
        let content = json!([{"type": "text", "text": "a"}, part]);
        let meant = json!(["a", not_sent]);
        let (said, meant) = (positions("user", &content), positions("user", &meant));
        let mut refused = 0;
        for (said, meant) in said.iter().zip(&meant) {
            let messages = said["messages"].as_array().unwrap();
            let is_last = messages[messages.len() - 1]["content"].is_array()
                || messages[messages.len() - 2]["content"].is_array()
                    && messages[messages.len() - 2]["role"] == "user";
            if is_last {
                let error = outcome(said, MODELS[0]).unwrap_err();
                assert!(error.param().contains(".content[1]"), "{error}");
                refused += 1;
            } else {
                same("earlier", said, meant);
            }
        }
        assert!(refused > 0);
        // What a tool returned, the client cannot change.
        let user = json!({"role": "user", "content": "Hi"});
        let text = |content: &Value| json!({"messages": [user, calls(&["a"]), {"role": "tool", "tool_call_id": "a", "content": content}]});
        assert!(outcome(&text(&content), MODELS[0]).is_ok(), "{content}");
    }
    let odd = json!([{"type": "smell", "text": "a"}]);
    for role in ["user", "assistant", "system"] {
        for (said, meant) in positions(role, &odd).iter().zip(positions(role, &json!("a"))) {
            same("for its text", said, &meant);
        }
    }
}
