//! Properties that Anthropic refuses by their names go up and come back, whatever the way of an answer.

use serde_json::{Value, json};

use crate::{
    proxy::streaming::assembled,
    support::{
        app::{App, CHAT, MODEL, with},
        script::Script,
        sse::Answer,
        upstream::Upstream,
    },
};

fn question() -> Value {
    json!({
        "model": MODEL,
        "messages": [{"role": "user", "content": "Find it"}],
        "tools": [
            {"type": "function", "function": {"name": "find", "strict": true, "parameters": {
                "type": "object",
                "properties": {"filter[id]": {"type": "string"}, "$top": {"type": "integer"}},
                "required": ["filter[id]", "$top"], "additionalProperties": false}}},
            {"type": "function", "function": {"name": "other", "parameters": {"type": "object",
                "properties": {"$top": {"type": "integer"}, "top": {"type": "integer"}}}}},
        ],
    })
}

/// The names upstream of the first tool's properties, in their order.
fn upstream_names(sent: &Value) -> Vec<String> {
    let properties =
        sent["tools"][0]["input_schema"]["properties"].as_object().expect("properties");
    let names: Vec<String> = properties.keys().cloned().collect();
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    assert!(names.iter().all(|name| name.len() <= 64 && name.chars().all(plain)), "{names:?}");
    names
}

#[tokio::test]
async fn a_call_comes_back_under_the_clients_names_streamed_whole_and_from_the_ledger() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(Script::sse(Answer::of(MODEL).text(&["?"]).stop("end_turn")));
    app.client().post(CHAT, &with(question(), "user", json!("probe"))).await.text().await;
    let sent = upstream.requests().pop().expect("a request").json();
    let [filter, top] = &*upstream_names(&sent) else { panic!("two properties: {sent}") };
    assert_eq!(sent["tools"][0]["strict"], true);
    assert_eq!(sent["tools"][0]["input_schema"]["required"], json!([filter, top]));

    let input = json!({filter: "a", top: 5}).to_string();
    let pieces: Vec<&str> = (0..input.len()).map(|at| &input[at..=at]).collect();
    let other = json!({"top": 1, top: 2}).to_string();
    let answer =
        Answer::of(MODEL).tool("toolu_1", "find", &pieces).tool("toolu_2", "other", &[&other]);
    upstream.push(Script::sse(answer.stop("tool_use")));
    let ask = with(question(), "messages", json!([{"role": "user", "content": "Find it now"}]));
    let streamed = with(ask.clone(), "stream", json!(true));
    let (message, reason, _) = assembled(&app.client().post(CHAT, &streamed).await.chunks().await);
    assert_eq!(reason, "tool_calls");
    let arguments = |at: usize| {
        let arguments = &message["tool_calls"][at]["function"]["arguments"];
        arguments.as_str().expect("arguments").to_owned()
    };
    assert_eq!(arguments(0), r#"{"filter[id]":"a","$top":5}"#);
    assert_eq!(arguments(1), r#"{"top":1,"$top":2}"#);
    let asked = upstream.requests().len();
    let hit = app.client().post(CHAT, &ask).await.json().await;
    assert_eq!(hit["choices"][0]["message"], message);
    assert_eq!(upstream.requests().len(), asked, "the ledger answers");

    // The same call, and one that the client has changed, so that the recorded answer does not take its place.
    for (given, expected) in [
        (r#"{"filter[id]":"a","$top":5}"#, json!({filter: "a", top: 5})),
        (r#"{"filter[id]": "b", "$top": 6}"#, json!({filter: "b", top: 6})),
    ] {
        let mut turn = message.clone();
        turn["tool_calls"][0]["function"]["arguments"] = json!(given);
        let result = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "found"});
        let user = json!({"role": "user", "content": "Find it now"});
        let messages = json!([user, turn, result("toolu_1"), result("toolu_2")]);
        upstream.push(Script::sse(Answer::of(MODEL).text(&["Done."]).stop("end_turn")));
        app.client().post(CHAT, &with(question(), "messages", messages)).await.text().await;
        let sent = upstream.requests().pop().expect("a request").json();
        let calls = sent["messages"][1]["content"].as_array().expect("blocks");
        assert_eq!(calls[0]["input"], expected);
        assert_eq!(calls[1]["input"], json!({"top": 1, top: 2}));
    }
}
