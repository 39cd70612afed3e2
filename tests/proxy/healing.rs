//! What upstream refuses by name is left out, once, with a note.

use serde_json::{Value, json};

use crate::support::{
    app::{App, CHAT, MODEL, ask_whole, with},
    script::Script,
    sse::Answer,
    upstream::{Request, Upstream},
};

const INVALID: &str = "invalid_request_error";

fn hello() -> Script {
    Script::sse(Answer::of(MODEL).text(&["Hello"]).stop("end_turn"))
}

fn warm(text: &str) -> Value {
    with(ask_whole(text), "temperature", json!(0.5))
}

#[tokio::test]
async fn a_refused_parameter_is_left_out_and_remembered() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(Script::error(400, INVALID, "`temperature` is deprecated for this model."));
    upstream.push(hello());
    let completion = app.client().post(CHAT, &warm("hi")).await.json().await;
    assert_eq!(completion["choices"][0]["message"]["content"], "Hello");
    let sent: Vec<Value> = upstream.requests().iter().map(Request::json).collect();
    assert_eq!((sent.len(), &sent[0]["temperature"]), (2, &json!(0.5)));
    assert_eq!(sent[1].get("temperature"), None);
    let notes = app.ledger().column("select notes from call").await;
    let notes = notes.first().expect("notes");
    assert!(notes.contains("temperature") && notes.contains("Anthropic refused it"), "{notes}");

    upstream.push(hello());
    app.client().post(CHAT, &warm("again")).await.text().await;
    assert_eq!(upstream.requests().len(), 3, "the second time it is known");
    assert_eq!(upstream.requests()[2].json().get("temperature"), None);

    let repeat = app.client().post(CHAT, &warm("hi")).await;
    assert!(
        repeat.header("cache-status").is_some_and(|how| how.contains("hit")),
        "the key is of the request as translated"
    );
}

#[tokio::test]
async fn the_ledger_keeps_the_request_that_went_upstream() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(Script::error(400, INVALID, "temperature: Extra inputs are not permitted"));
    upstream.always(hello());
    for question in ["healed", "known from the start"] {
        app.client().post(CHAT, &warm(question)).await.text().await;
    }
    let frames = "select cast(frame.body as text) from exchange join frame on frame.hash = frame";
    let frames = app.ledger().column(frames).await;
    assert_eq!((app.ledger().count("exchange").await, frames.len()), (2, 1), "{frames:?}");
    assert!(frames.iter().all(|frame| !frame.contains("temperature")), "{frames:?}");
}

#[tokio::test]
async fn a_refusal_that_was_healed_is_not_the_end() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(Script::error(400, INVALID, "temperature: Extra inputs are not permitted"));
    upstream.push(Script::json(200, &json!({})));
    let reply = app.client().post(CHAT, &warm("hi")).await;
    assert_eq!(reply.status.as_u16(), 502);
    let exchange = app.ledger().exchange().await;
    assert_eq!((exchange.status, exchange.upstream_request), (None, None));
}

#[tokio::test]
async fn another_model_is_still_asked_as_the_client_wants() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(Script::error(400, INVALID, "temperature: Extra inputs are not permitted"));
    upstream.push(hello());
    app.client().post(CHAT, &warm("hi")).await.text().await;
    upstream.push(hello());
    let other = with(warm("hi"), "model", json!("claude-sonnet-4-6"));
    app.client().post(CHAT, &other).await.text().await;
    assert_eq!(upstream.requests()[2].json()["temperature"], 0.5);
}

#[tokio::test]
async fn what_is_still_refused_is_passed_on() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let refusal = "temperature: Extra inputs are not permitted";
    upstream.push(Script::error(400, INVALID, refusal));
    upstream.push(Script::error(400, INVALID, refusal));
    let reply = app.client().post(CHAT, &warm("hi")).await;
    assert_eq!(reply.status.as_u16(), 400);
    let told = format!("Anthropic refused the request: {refusal}");
    assert_eq!(reply.json().await["error"]["message"], told);
    assert_eq!(upstream.requests().len(), 2);

    // What did not help is not remembered.
    upstream.push(hello());
    app.client().post(CHAT, &warm("again")).await.text().await;
    assert_eq!(upstream.requests()[2].json()["temperature"], 0.5);
}

#[tokio::test]
async fn what_is_wrong_with_one_request_is_not_held_against_the_next() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let hard = |text| with(ask_whole(text), "reasoning_effort", json!("high"));
    upstream.push(Script::error(
        400,
        INVALID,
        "`max_tokens` must be greater than `thinking.budget_tokens`.",
    ));
    upstream.push(hello());
    app.client().post(CHAT, &hard("hi")).await.text().await;
    assert_eq!(upstream.requests()[1].json().get("thinking"), None);
    upstream.push(hello());
    app.client().post(CHAT, &hard("again")).await.text().await;
    assert_eq!(upstream.requests()[2].json()["thinking"]["type"], "enabled");
}

#[tokio::test]
async fn thinking_that_is_refused_never_costs_the_answer() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(Script::error(
        400,
        INVALID,
        "messages.1.content.0: Invalid `signature` in `thinking` block",
    ));
    upstream.push(hello());
    let details = json!([{"type": "reasoning.text", "text": "Hm.", "signature": "c2ln"}]);
    let request = json!({
        "model": "claude-opus-5-5",
        "messages": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b", "reasoning_details": details},
            {"role": "user", "content": "c"},
        ],
    });
    let completion = app.client().post(CHAT, &request).await.json().await;
    assert_eq!(completion["choices"][0]["message"]["content"], "Hello");
    let sent = upstream.requests();
    assert_eq!(sent[0].json()["messages"][1]["content"][0]["signature"], "c2ln");
    let text = json!([{"type": "text", "text": "b"}]);
    assert_eq!(sent[1].json()["messages"][1]["content"], text);
}

const GRAMMAR: &str = "The compiled grammar is too large, which would cause performance issues. Simplify your tool schemas or reduce the number of strict tools.";
const TOOL: &str = "tools.1.custom.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12 (https://json-schema.org/draft/2020-12). Learn more about tool use at https://docs.claude.com/en/docs/tool-use.";

fn schema(property: &str) -> Value {
    json!({"type": "object", "properties": {property: {"type": "string"}},
        "required": [property], "additionalProperties": false})
}

fn with_tools(request: Value, names: &[&str], strict: Option<bool>) -> Value {
    let tool = |name: &&str| {
        let mut function = json!({"name": name, "parameters": schema(name)});
        if let Some(strict) = strict {
            function["strict"] = strict.into();
        }
        json!({"type": "function", "function": function})
    };
    with(request, "tools", names.iter().map(tool).collect())
}

fn with_format(request: Value) -> Value {
    let format = json!({"name": "a", "strict": true, "schema": schema("a")});
    with(request, "response_format", json!({"type": "json_schema", "json_schema": format}))
}

#[tokio::test]
async fn structured_output_that_is_refused_is_asked_for_in_words_and_the_next_turn_costs_one_call()
{
    for (format, strict) in [(true, true), (true, false), (false, true)] {
        let upstream = Upstream::start().await;
        let app = App::start(&upstream).await;
        let ask = |text| {
            let request = if format { with_format(ask_whole(text)) } else { ask_whole(text) };
            if strict { with_tools(request, &["f", "g"], Some(true)) } else { request }
        };
        let refusals = usize::from(format) + usize::from(strict);
        for _ in 0..refusals {
            upstream.push(Script::error(400, INVALID, GRAMMAR));
        }
        upstream.always(hello());
        let reply = app.client().post(CHAT, &ask("hi")).await;
        assert_eq!(reply.json().await["choices"][0]["message"]["content"], "Hello");
        assert_eq!(upstream.requests().len(), refusals + 1);
        let notes = app.ledger().column("select notes from call").await;
        let first = notes.first().expect("notes");
        assert_eq!(first.matches("Anthropic refused it").count(), refusals, "{first}");

        app.client().post(CHAT, &ask("again")).await.text().await;
        let sent = upstream.requests();
        assert_eq!(sent.len(), refusals + 2, "the next turn costs one call");
        for sent in sent[refusals..].iter().map(Request::json) {
            assert_eq!(sent.get("output_config"), None);
            assert!(
                sent["tools"]
                    .as_array()
                    .is_none_or(|tools| { tools.iter().all(|tool| tool.get("strict").is_none()) })
            );
            assert_eq!(sent["system"].to_string().contains("JSON schema"), format, "{sent}");
        }
        let repeat = app.client().post(CHAT, &ask("hi")).await;
        assert!(repeat.header("cache-status").is_some_and(|how| how.contains("hit")));

        let neither = app.client().post(CHAT, &ask_whole("neither")).await;
        assert_eq!(neither.status.as_u16(), 200);
        assert!(!upstream.requests()[refusals + 2].json().to_string().contains("JSON schema"));
    }
}

#[tokio::test]
async fn structured_output_that_nobody_asked_for_cannot_be_refused() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.push(Script::error(400, INVALID, GRAMMAR));
    let reply = app.client().post(CHAT, &with_tools(ask_whole("hi"), &["f"], None)).await;
    assert_eq!(reply.status.as_u16(), 400);
    let told = format!("Anthropic refused the request: {GRAMMAR}");
    assert_eq!(reply.json().await["error"]["message"], told);
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn a_tool_that_is_refused_is_simplified_then_opened_and_known_in_every_list() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let ask = |text, names: &[&str]| with_tools(ask_whole(text), names, None);
    upstream.push(Script::error(400, INVALID, TOOL));
    upstream.push(Script::error(400, INVALID, TOOL));
    upstream.always(hello());
    app.client().post(CHAT, &ask("hi", &["f", "g", "h"])).await.text().await;
    app.client().post(CHAT, &ask("again", &["f", "g", "h"])).await.text().await;
    app.client().post(CHAT, &ask("other", &["x", "y", "g"])).await.text().await;
    let sent: Vec<Value> = upstream.requests().iter().map(Request::json).collect();
    assert_eq!(sent.len(), 5, "only the first turn is refused");
    let [first, simple, open, again, other] = &sent[..] else { unreachable!() };
    let simplified =
        json!({"type": "object", "properties": {"g": {"type": "string"}}, "required": ["g"]});
    assert_eq!(simple["tools"][1]["input_schema"], simplified);
    let opened = &open["tools"][1];
    assert_eq!(opened["input_schema"], json!({"type": "object"}));
    assert!(
        opened["description"].as_str().is_some_and(|told| told.contains("additionalProperties"))
    );
    assert_eq!((&again["tools"], &other["tools"][2]), (&open["tools"], opened));
    for untouched in [0, 2] {
        assert_eq!(first["tools"][untouched], open["tools"][untouched]);
    }
    let notes = app.ledger().column("select notes from call").await;
    assert!(notes.iter().all(|notes| notes.contains("`g`")), "{notes:?}");
}

#[tokio::test]
async fn a_tool_that_is_still_refused_ends_with_the_error_of_upstream() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    upstream.always(Script::error(400, INVALID, TOOL));
    let ask = with_tools(ask_whole("hi"), &["f", "g"], None);
    let reply = app.client().post(CHAT, &ask).await;
    assert_eq!(reply.status.as_u16(), 400);
    let told = format!("Anthropic refused the request: {TOOL}");
    assert_eq!(reply.json().await["error"]["message"], told);
    assert_eq!(upstream.requests().len(), 3);
}

#[tokio::test]
async fn a_limit_that_is_too_high_is_lowered_and_remembered_for_the_model() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let ask = |text| with(ask_whole(text), "max_tokens", json!(60_000));
    let refusal = format!(
        "max_tokens: 60000 > 32000, which is the maximum allowed number of output tokens for {MODEL}"
    );
    upstream.push(Script::error(400, INVALID, &refusal));
    upstream.always(hello());
    app.client().post(CHAT, &ask("hi")).await.text().await;
    app.client().post(CHAT, &ask("again")).await.text().await;
    let limits: Vec<Value> =
        upstream.requests().iter().map(|sent| sent.json()["max_tokens"].clone()).collect();
    assert_eq!(limits, [60_000, 32_000, 32_000]);
}

#[tokio::test]
async fn a_limit_that_does_not_fit_the_context_is_lowered_for_this_request_only() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let ask = |text| with(ask_whole(text), "max_tokens", json!(60_000));
    upstream.push(Script::error(
        400,
        INVALID,
        "input length and `max_tokens` exceed context limit: 178959 + 60000 > 200000, decrease input length or `max_tokens` and try again",
    ));
    upstream.always(hello());
    app.client().post(CHAT, &ask("hi")).await.text().await;
    app.client().post(CHAT, &ask("again")).await.text().await;
    let limits: Vec<Value> =
        upstream.requests().iter().map(|sent| sent.json()["max_tokens"].clone()).collect();
    assert_eq!(limits, [60_000, 21_041, 60_000]);
}

#[tokio::test]
async fn a_request_of_the_native_door_is_not_changed() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    for refusal in [
        GRAMMAR,
        TOOL,
        "max_tokens: 60000 > 32000, which is the maximum allowed number of output tokens for m",
    ] {
        upstream.push(Script::error(400, INVALID, refusal));
        let ask = json!({
            "model": MODEL, "max_tokens": 60_000,
            "messages": [{"role": "user", "content": refusal}],
            "output_config": {"format": {"type": "json_schema", "schema": schema("a")}},
            "tools": [
                {"name": "f", "input_schema": schema("a"), "strict": true},
                {"name": "g", "input_schema": schema("a"), "strict": true},
            ],
        });
        let reply = app.client().post("/v1/messages", &ask).await;
        assert_eq!(reply.status.as_u16(), 400);
        assert_eq!(reply.json().await["error"]["message"], refusal);
    }
    assert_eq!(upstream.requests().len(), 3);
}
