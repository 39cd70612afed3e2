//! What a client understands of an answer, whichever way it gets it.
//!
//! Strings are kept as they are escaped, as half of a surrogate pair is no text until the other half comes.

use std::borrow::Cow;

use reprise::domain::json::inside;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// Everything that matters of an answer.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Heard {
    model: String,
    content: String,
    reasoning: String,
    refusal: String,
    /// Id, name, arguments.
    tools: Vec<(String, String, String)>,
    finish_reason: String,
    pub(crate) usage: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'a> {
    id: &'a str,
    object: &'a str,
    created: i64,
    model: String,
    #[serde(borrow)]
    choices: Vec<Choice<'a>>,
    usage: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Choice<'a> {
    index: u32,
    #[serde(borrow, alias = "delta")]
    message: Said<'a>,
    #[serde(default)]
    logprobs: Value,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said<'a> {
    role: Option<&'a str>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_calls: Vec<Call<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call<'a> {
    index: Option<usize>,
    id: Option<Cow<'a, str>>,
    r#type: Option<&'a str>,
    #[serde(borrow)]
    function: Function<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Function<'a> {
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    arguments: &'a RawValue,
}

impl Heard {
    /// Reads what was streamed. Each chunk must be one that a strict client accepts.
    pub(crate) fn of_chunks(sse: &[u8]) -> Self {
        let sse = std::str::from_utf8(sse).expect("chunks are text");
        assert!(sse.is_empty() || sse.ends_with("\n\n"), "a chunk is torn");
        let mut heard = Self::default();
        let (mut chunks, mut done) = (0, false);
        for event in sse.split_terminator("\n\n").filter(|event| *event != ": ping") {
            assert!(!done, "nothing comes after the end: {event}");
            let data = event.strip_prefix("data: ").expect("only data and pings");
            assert!(!data.contains('\n'), "a chunk is one line: {data}");
            if data == "[DONE]" {
                done = true;
                continue;
            }
            let body = body(data, "chat.completion.chunk");
            if let Some(choice) = body.choices.first() {
                assert_eq!(
                    choice.message.role.is_some(),
                    chunks == 0,
                    "the role comes once: {data}"
                );
                assert!(heard.finish_reason.is_empty(), "nothing is said after the finish: {data}");
            }
            heard.hear(body);
            chunks += 1;
        }
        assert_eq!(done, !heard.finish_reason.is_empty(), "the finish and the end come together");
        heard
    }

    /// Reads a completion.
    pub(crate) fn of_completion(json: &[u8]) -> Self {
        let text = std::str::from_utf8(json).expect("JSON is text");
        let body = body(text, "chat.completion");
        assert_eq!(body.choices[0].message.role, Some("assistant"));
        let mut heard = Self::default();
        heard.hear(body);
        heard
    }

    fn hear(&mut self, body: Body<'_>) {
        let Body { id: _, object: _, created: _, model, choices, usage } = body;
        self.model = model;
        if let Some(usage) = usage {
            assert!(self.usage.is_null(), "usage comes once");
            self.usage = usage;
        }
        for Choice { index, message, logprobs, finish_reason } in choices {
            assert_eq!((index, logprobs), (0, Value::Null));
            let Said { role: _, content, reasoning_content, refusal, tool_calls } = message;
            let add =
                |to: &mut String, more: Option<&RawValue>| to.push_str(more.map_or("", inside));
            add(&mut self.content, content);
            add(&mut self.reasoning, reasoning_content);
            add(&mut self.refusal, refusal);
            for Call { index, id, r#type, function: Function { name, arguments } } in tool_calls {
                if let (Some(id), Some(name)) = (id, name) {
                    assert_eq!(r#type, Some("function"));
                    assert_eq!(
                        index.unwrap_or(self.tools.len()),
                        self.tools.len(),
                        "numbers are dense"
                    );
                    self.tools.push((id.into_owned(), name.into_owned(), String::new()));
                }
                let at = index.unwrap_or(self.tools.len() - 1);
                self.tools[at].2.push_str(inside(arguments));
            }
            self.finish_reason.push_str(&finish_reason.unwrap_or_default());
        }
    }

    pub(crate) fn content(&self) -> String {
        text(&self.content)
    }

    pub(crate) fn reasoning(&self) -> String {
        text(&self.reasoning)
    }

    /// Of each tool call.
    pub(crate) fn arguments(&self) -> Vec<Value> {
        let parse =
            |arguments: &str| serde_json::from_str(&text(arguments)).expect("arguments are JSON");
        self.tools.iter().map(|(_, _, arguments)| parse(arguments)).collect()
    }
}

fn body<'a>(json: &'a str, object: &str) -> Body<'a> {
    let body: Body<'_> =
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"));
    assert_eq!((body.id, body.object, body.created), (super::ID, object, super::CREATED));
    body
}

/// Without its escapes.
fn text(inside: &str) -> String {
    serde_json::from_str(&format!("\"{inside}\"")).expect("the pieces make a JSON string")
}
