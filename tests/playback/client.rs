//! What a client understands of an answer, whichever way it gets it.
//!
//! Strings are kept as they are escaped, as half of a surrogate pair is no text until the other half comes.

use std::{borrow::Cow, collections::BTreeMap};

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
    /// Blocks of thinking that have anything in them, by number.
    details: BTreeMap<usize, Detail>,
    annotations: Vec<Value>,
    /// Of functions and of custom tools.
    tools: Vec<Tool>,
    /// The call in the old form: name, arguments.
    function_call: Option<(String, String)>,
    finish_reason: String,
    service_tier: Option<String>,
    pub(crate) usage: Value,
}

/// A call as it was put together.
#[derive(Debug, PartialEq)]
struct Tool {
    id: String,
    kind: String,
    name: String,
    /// Arguments or input.
    given: String,
}

/// A block of thinking as it was put together.
#[derive(Debug, PartialEq)]
struct Detail {
    kind: String,
    format: String,
    text: String,
    signature: String,
    data: String,
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
    service_tier: Option<String>,
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
    reasoning_details: Vec<Part<'a>>,
    #[serde(default)]
    annotations: Vec<Value>,
    #[serde(borrow, default)]
    tool_calls: Vec<Call<'a>>,
    #[serde(borrow)]
    function_call: Option<Function<'a>>,
}

/// A part of a block of thinking.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part<'a> {
    r#type: &'a str,
    format: &'a str,
    index: usize,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    signature: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call<'a> {
    index: Option<usize>,
    id: Option<Cow<'a, str>>,
    r#type: Option<&'a str>,
    #[serde(borrow)]
    function: Option<Function<'a>>,
    #[serde(borrow)]
    custom: Option<Custom<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Custom<'a> {
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    input: &'a RawValue,
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
        let Body { id: _, object: _, created: _, model, choices, usage, service_tier } = body;
        self.model = model;
        if service_tier.is_some() {
            self.service_tier = service_tier;
        }
        if let Some(usage) = usage {
            assert!(self.usage.is_null(), "usage comes once");
            self.usage = usage;
        }
        for Choice { index, message, logprobs, finish_reason } in choices {
            assert_eq!((index, logprobs), (0, Value::Null));
            let Said {
                role: _,
                content,
                reasoning_content,
                refusal,
                reasoning_details,
                annotations,
                tool_calls,
                function_call,
            } = message;
            add(&mut self.content, content);
            add(&mut self.reasoning, reasoning_content);
            add(&mut self.refusal, refusal);
            for part in reasoning_details {
                self.think(&part);
            }
            self.annotations.extend(annotations);
            for call in tool_calls {
                self.call(call);
            }
            if let Some(Function { name, arguments }) = function_call {
                let call = self.function_call.get_or_insert_default();
                call.0.push_str(&name.unwrap_or_default());
                call.1.push_str(inside(arguments));
            }
            self.finish_reason.push_str(&finish_reason.unwrap_or_default());
        }
    }

    fn think(&mut self, part: &Part<'_>) {
        let Part { r#type, format, index, text, signature, data } = part;
        // A block with nothing in it is told by one that does not stream only, and nobody needs it.
        if [text, signature, data].into_iter().flatten().all(|piece| inside(piece).is_empty()) {
            return;
        }
        let new = Detail {
            kind: (*r#type).to_owned(),
            format: (*format).to_owned(),
            text: String::new(),
            signature: String::new(),
            data: String::new(),
        };
        let detail = self.details.entry(*index).or_insert(new);
        assert_eq!((&*detail.kind, &*detail.format), (*r#type, *format), "a block has one kind");
        add(&mut detail.text, *text);
        add(&mut detail.signature, *signature);
        add(&mut detail.data, *data);
    }

    fn call(&mut self, call: Call<'_>) {
        let Call { index, id, r#type, function, custom } = call;
        let (kind, name, given) = match (function, custom) {
            (Some(Function { name, arguments }), None) => ("function", name, arguments),
            (None, Some(Custom { name, input })) => ("custom", name, input),
            _ => panic!("a call is of a function or of a custom tool"),
        };
        if let (Some(id), Some(name)) = (id, name) {
            assert_eq!(r#type, Some(kind));
            let number = self.tools.len();
            assert_eq!(index.unwrap_or(number), number, "numbers are dense");
            let (id, kind, name) = (id.into_owned(), kind.to_owned(), name.into_owned());
            self.tools.push(Tool { id, kind, name, given: String::new() });
        }
        let at = index.unwrap_or(self.tools.len() - 1);
        assert_eq!(self.tools[at].kind, kind, "a call has one kind");
        self.tools[at].given.push_str(inside(given));
    }

    pub(crate) fn content(&self) -> String {
        text(&self.content)
    }

    pub(crate) fn reasoning(&self) -> String {
        text(&self.reasoning)
    }

    /// True if everything that this says of the answer's content is the beginning of what `whole` says.
    pub(crate) fn begins(&self, whole: &Self) -> bool {
        let texts = |heard: &Self| [heard.content.clone(), heard.reasoning.clone()];
        let calls = self.tools.iter().zip(&whole.tools);
        texts(self).iter().zip(texts(whole)).all(|(part, whole)| whole.starts_with(part))
            && self.tools.len() <= whole.tools.len()
            && calls.into_iter().all(|(part, whole)| {
                (&part.id, &part.kind, &part.name) == (&whole.id, &whole.kind, &whole.name)
                    && whole.given.starts_with(&part.given)
            })
    }

    /// The texts of all blocks of thinking, as they go back with the next turn.
    pub(crate) fn details(&self) -> String {
        self.details.values().map(|detail| text(&detail.text)).collect()
    }

    /// Of each call: the kind and name of the tool.
    pub(crate) fn called(&self) -> Vec<(&str, &str)> {
        self.tools.iter().map(|tool| (&*tool.kind, &*tool.name)).collect()
    }

    /// The input of each call, without the escapes of the chunk.
    pub(crate) fn given(&self) -> Vec<String> {
        self.tools.iter().map(|tool| text(&tool.given)).collect()
    }

    pub(crate) fn finish_reason(&self) -> &str {
        &self.finish_reason
    }

    /// The call in the old form: name, arguments.
    pub(crate) fn function_call(&self) -> Option<(&str, Value)> {
        let (name, arguments) = self.function_call.as_ref()?;
        Some((name, serde_json::from_str(&text(arguments)).expect("arguments are JSON")))
    }

    /// Of each tool call.
    pub(crate) fn arguments(&self) -> Vec<Value> {
        let parse = |given: String| serde_json::from_str(&given).expect("arguments are JSON");
        self.given().into_iter().map(parse).collect()
    }
}

fn add(to: &mut String, more: Option<&RawValue>) {
    to.push_str(more.map_or("", inside));
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
