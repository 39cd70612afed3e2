//! Where the prompt is cached when the client says nothing of it.

use reprise::domain::{
    alias::Aliases,
    anthropic::{BlockPosition, Breakpoint, Ttl},
    catalog::Catalog,
    openai,
    translate::{self, Cancellation, Occasion, Originals, TranslateContext},
};
use serde_json::{Value, json};

/// Where the marks stand, as `tool 1, system 0, message 0/0`, and `1h` behind those of an hour.
fn marks(occasion: Occasion, mut body: Value) -> String {
    let fields = body.as_object_mut().unwrap();
    fields.entry("model").or_insert_with(|| json!("claude-opus-5-5"));
    let request = openai::Request::parse(body.to_string().as_bytes()).unwrap();
    let (catalog, originals) = (Catalog::builtin(), Originals::new());
    let aliases = Aliases::default();
    let context = TranslateContext {
        catalog: &catalog,
        aliases: &aliases,
        occasion,
        originals: &originals,
        cancellation: Cancellation::NEVER,
    };
    let translated = translate::request(&request, &context).unwrap();
    let told: Vec<String> = translated.request.breakpoints.iter().map(told).collect();
    told.join(", ")
}

fn told(Breakpoint { at, ttl }: &Breakpoint) -> String {
    let at = match at {
        BlockPosition::Tool(at) => format!("tool {at}"),
        BlockPosition::System(at) => format!("system {at}"),
        BlockPosition::Message { message, block } => format!("message {message}/{block}"),
    };
    if *ttl == Ttl::OneHour { at + " 1h" } else { at }
}

/// Long enough for a model that caches from 512 tokens on, too short for one that does from 4096 on.
fn long() -> String {
    "All work and no play. ".repeat(100)
}

fn system() -> Value {
    json!({"role": "system", "content": long()})
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

fn assistant(text: &str) -> Value {
    json!({"role": "assistant", "content": text})
}

fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "a"}}, {"type": "function", "function": {"name": "b"}}])
}

fn retrieval(question: &str) -> Value {
    user(&format!(
        "### Task:\nRespond to the user query using the provided context, incorporating inline citations.\n\
         <context>\n<source id=\"1\">{}</source>\n</context>\n{question}",
        long()
    ))
}

#[test]
fn a_chat_is_cached_up_to_what_was_just_said() {
    let first = json!({"messages": [system(), user("Hi")]});
    assert_eq!(marks(Occasion::Chat, first), "system 0, message 0/0");
    let second = json!({"messages": [system(), user("Hi"), assistant("Hello"), user("Well?")]});
    assert_eq!(marks(Occasion::Chat, second), "system 0, message 0/0, message 2/0");
}

#[test]
fn a_question_that_stands_alone_is_cached_up_to_the_instructions() {
    let alone = json!({"messages": [system(), user("Hi")]});
    assert_eq!(marks(Occasion::Plain, alone), "system 0");
    let goes_on = json!({"messages": [system(), user("Hi"), assistant("Hello"), user("Well?")]});
    assert_eq!(marks(Occasion::Plain, goes_on), "system 0, message 0/0, message 2/0");
    let may_call = json!({"messages": [system(), user("Hi")], "tools": tools()});
    assert_eq!(marks(Occasion::Plain, may_call), "tool 1, system 0, message 0/0");
}

#[test]
fn a_loop_of_tools_is_found_again() {
    let call = |id: &str| {
        json!({"role": "assistant", "tool_calls": [{"id": id, "type": "function",
            "function": {"name": "a", "arguments": "{}"}}]})
    };
    let result = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "done"});
    let body = json!({"tools": tools(), "messages":
        [system(), user("Go"), call("1"), result("1"), call("2"), result("2")]});
    assert_eq!(marks(Occasion::Chat, body), "tool 1, system 0, message 2/0, message 4/0");
}

#[test]
fn what_was_said_in_a_row_is_one_turn() {
    let body = json!({"messages":
        [system(), user("a"), assistant("b"), user("c"), user("d")]});
    assert_eq!(marks(Occasion::Chat, body), "system 0, message 0/0, message 3/0");
}

#[test]
fn what_open_webui_takes_out_again_is_not_cached() {
    let first = json!({"messages": [system(), retrieval("What is it?")]});
    assert_eq!(marks(Occasion::Chat, first), "system 0");
    let second = json!({"messages":
        [system(), user("Hi"), assistant("Hello"), user("More"), assistant("So"), retrieval("And?")]});
    assert_eq!(marks(Occasion::Chat, second), "system 0, message 2/0, message 3/0");
    let title = user("### Task:\nRespond to the user query using the provided context");
    let without_context = json!({"messages": [system(), title]});
    assert_eq!(marks(Occasion::Chat, without_context), "system 0, message 0/0");
}

#[test]
fn what_is_said_for_one_turn_only_is_not_cached() {
    let go_on = json!({"messages": [system(), user("Write"), assistant("Once upon")]});
    assert_eq!(marks(Occasion::Chat, go_on), "system 0, message 0/0");
    let must_call =
        json!({"messages": [system(), user("Go")], "tools": tools(), "tool_choice": "required"});
    assert_eq!(marks(Occasion::Chat, must_call), "tool 1, system 0, message 0/0");
}

#[test]
fn tasks_and_short_prompts_are_not_cached() {
    let body = || json!({"messages": [system(), user("Hi")], "tools": tools()});
    assert_eq!(marks(Occasion::Task, body()), "");
    let mut haiku = body();
    haiku["model"] = json!("claude-haiku-4-5");
    assert_eq!(marks(Occasion::Chat, haiku), "");
    assert_eq!(marks(Occasion::Chat, json!({"messages": [user("Hi")]})), "");
    let picture = json!({"messages": [{"role": "user", "content":
        [{"type": "image_url", "image_url": "https://example.com/a.png"}]}]});
    assert_eq!(marks(Occasion::Chat, picture), "message 0/0");
}

#[test]
fn the_client_decides_for_how_long_and_whether() {
    let with = |field: &str, value: Value| {
        let mut body = json!({"messages": [system(), user("Hi")]});
        body[field] = value;
        marks(Occasion::Chat, body)
    };
    let (short, hour) = ("system 0, message 0/0", "system 0 1h, message 0/0 1h");
    assert_eq!(with("prompt_cache_retention", json!("24h")), hour);
    assert_eq!(with("prompt_cache_retention", json!("in_memory")), short);
    assert_eq!(with("prompt_cache_options", json!({"mode": "implicit", "ttl": "30m"})), hour);
    assert_eq!(with("prompt_cache_options", json!({"ttl": "5m"})), short);
    assert_eq!(with("prompt_cache_options", json!({"ttl": "long"})), short);
    assert_eq!(with("prompt_cache_options", json!({"mode": "explicit"})), "");
}

#[test]
fn the_clients_own_marks_are_the_only_ones() {
    let body = json!({"messages": [system(), {"role": "user", "content":
        [{"type": "text", "text": long(), "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "?"}]}]});
    assert_eq!(marks(Occasion::Chat, body.clone()), "message 0/0");
    assert_eq!(marks(Occasion::Task, body), "message 0/0");
}
