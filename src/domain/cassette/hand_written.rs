//! Checks of a response that was written by hand, in which every unknown word is a mistake: a message and its blocks, and
//! an error. A recorded response may have words that are newer than this version.
//!
//! Every mistake is found, not only the first, each with its place in the text.

use std::collections::{HashMap, HashSet};

use super::tree::{JsonNode, Tree, decode};
use crate::domain::{anthropic, spelling::nearest};

/// A mistake, or something that is played but hardly meant.
#[derive(Debug)]
pub(super) struct Mistake {
    /// Byte offset of the value.
    pub(super) at: usize,
    pub(super) what: String,
    /// `true` if it is played as written.
    pub(super) harmless: bool,
}

/// A value that a field may have.
#[derive(Debug, Clone, Copy)]
enum Expected {
    Anything,
    Text,
    /// A text with at least one character.
    Name,
    Count,
    Object,
    /// One of these words.
    Word(&'static [&'static str]),
    /// An object with these fields.
    Fields(&'static [Field]),
    /// A list of objects with a `type`.
    Objects,
}

/// A field of an object.
#[derive(Debug, Clone, Copy)]
struct Field {
    name: &'static str,
    expected: Expected,
    presence: Presence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Required,
    Optional,
    /// It may also be null.
    Nullable,
}

const fn required(name: &'static str, expected: Expected) -> Field {
    Field { name, expected, presence: Presence::Required }
}

const fn optional(name: &'static str, expected: Expected) -> Field {
    Field { name, expected, presence: Presence::Optional }
}

const fn nullable(name: &'static str, expected: Expected) -> Field {
    Field { name, expected, presence: Presence::Nullable }
}

const MESSAGE: &[Field] = &[
    optional("id", Expected::Name),
    optional("type", Expected::Word(&["message"])),
    optional("role", Expected::Word(&["assistant"])),
    optional("model", Expected::Name),
    required("content", Expected::Anything),
    optional("stop_reason", Expected::Word(STOP_REASONS)),
    nullable("stop_sequence", Expected::Text),
    nullable("stop_details", Expected::Object),
    nullable("container", Expected::Object),
    optional("usage", Expected::Fields(USAGE)),
];

const STOP_REASONS: &[&str] = &[
    "end_turn",
    "max_tokens",
    "stop_sequence",
    TOOL_USE,
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
    "compaction",
];
const TOOL_USE: &str = "tool_use";

const USAGE: &[Field] = &[
    nullable("input_tokens", Expected::Count),
    nullable("output_tokens", Expected::Count),
    nullable("cache_creation_input_tokens", Expected::Count),
    nullable("cache_read_input_tokens", Expected::Count),
    nullable(
        "cache_creation",
        Expected::Fields(&[
            nullable("ephemeral_5m_input_tokens", Expected::Count),
            nullable("ephemeral_1h_input_tokens", Expected::Count),
        ]),
    ),
    nullable(
        "output_tokens_details",
        Expected::Fields(&[nullable("thinking_tokens", Expected::Count)]),
    ),
    nullable(
        "server_tool_use",
        Expected::Fields(&[
            nullable("web_search_requests", Expected::Count),
            nullable("web_fetch_requests", Expected::Count),
            nullable("code_execution_requests", Expected::Count),
        ]),
    ),
    nullable("service_tier", Expected::Word(&["standard", "priority", "batch"])),
    nullable("speed", Expected::Word(&["standard", "fast"])),
    nullable("inference_geo", Expected::Name),
    nullable("iterations", Expected::Objects),
];

const TYPE: Field = required("type", Expected::Name);
const ID: Field = required("id", Expected::Name);
const NAME: Field = required("name", Expected::Name);
const TOOL_CALL: &[Field] = &[
    TYPE,
    ID,
    NAME,
    optional("input", Expected::Object),
    nullable("caller", Expected::Object),
    nullable("toolset_name", Expected::Name),
    nullable("server_name", Expected::Name),
];
const TOOL_RESULT: &[Field] = &[
    TYPE,
    required("tool_use_id", Expected::Name),
    required("content", Expected::Anything),
    optional("is_error", Expected::Anything),
    nullable("caller", Expected::Object),
];

/// The fields of each type of block; `None`: any (`reference/anthropic-api.md` §2).
const BLOCKS: [(&str, Option<&[Field]>); 19] = [
    (
        "text",
        Some(&[TYPE, required("text", Expected::Name), nullable("citations", Expected::Objects)]),
    ),
    (
        "thinking",
        Some(&[TYPE, required("thinking", Expected::Text), optional("signature", Expected::Text)]),
    ),
    ("redacted_thinking", Some(&[TYPE, required("data", Expected::Name)])),
    (TOOL_USE, Some(TOOL_CALL)),
    ("server_tool_use", Some(TOOL_CALL)),
    ("mcp_tool_use", Some(TOOL_CALL)),
    ("web_search_tool_result", Some(TOOL_RESULT)),
    ("web_fetch_tool_result", Some(TOOL_RESULT)),
    ("code_execution_tool_result", Some(TOOL_RESULT)),
    ("bash_code_execution_tool_result", Some(TOOL_RESULT)),
    ("text_editor_code_execution_tool_result", Some(TOOL_RESULT)),
    ("tool_search_tool_result", Some(TOOL_RESULT)),
    ("mcp_tool_result", Some(TOOL_RESULT)),
    ("advisor_tool_result", Some(TOOL_RESULT)),
    ("container_upload", Some(&[TYPE, required("file_id", Expected::Name)])),
    ("compaction", Some(&[TYPE, nullable("content", Expected::Text)])),
    (
        "fallback",
        Some(&[
            TYPE,
            required("from", Expected::Object),
            required("to", Expected::Object),
            optional("trigger", Expected::Anything),
        ]),
    ),
    ("mcp_tool_listing", None),
    ("connector_text", None),
];

/// OpenAI's words for what Anthropic calls otherwise: people write them from memory.
const OPENAI_WORDS: [(&str, &str); 11] = [
    ("stop", "end_turn"),
    ("length", "max_tokens"),
    ("tool_calls", TOOL_USE),
    ("function_call", TOOL_USE),
    ("function", TOOL_USE),
    ("content_filter", "refusal"),
    ("finish_reason", "stop_reason"),
    ("prompt_tokens", "input_tokens"),
    ("completion_tokens", "output_tokens"),
    ("arguments", "input"),
    ("reasoning", "thinking"),
];

/// Mistakes in a message.
pub(super) fn check_message(message: &Tree<'_>) -> Vec<Mistake> {
    let mut checker = Checker::default();
    checker.fields(message, "a message", MESSAGE);
    checker.content(message);
    if let Some(usage) = message.get("usage")
        && checker.mistakes.is_empty()
        && serde_json::from_str::<anthropic::Usage>(&usage.compact())
            .is_ok_and(|usage| usage.is_doubtful())
    {
        checker.warn(usage, "these counts cannot all be right: the cost is a lower bound");
    }
    checker.mistakes
}

/// Mistakes in an error, which is Anthropic's body or the error in it alone. `status`: of the response.
pub(super) fn check_error(error: &Tree<'_>, status: Option<(&Tree<'_>, u64)>) -> Vec<Mistake> {
    const OUTER: &[Field] = &[
        optional("type", Expected::Word(&["error"])),
        required("error", Expected::Object),
        nullable("request_id", Expected::Name),
    ];
    const INNER: &[Field] =
        &[TYPE, required("message", Expected::Name), nullable("details", Expected::Object)];
    let mut checker = Checker::default();
    let inner = match error.get("error") {
        Some(inner) => {
            checker.fields(error, "the body of an error", OUTER);
            inner
        }
        None => error,
    };
    checker.fields(inner, "an error", INNER);
    let Some(kind) = inner.get("type") else { return checker.mistakes };
    let Some(word) = kind.text().filter(|word| !word.is_empty()) else { return checker.mistakes };
    if !anthropic::error_kinds().any(|known| known == word) {
        let kinds: Vec<_> = anthropic::error_kinds().collect();
        checker.error(kind, unknown("Anthropic has no error", &word, &kinds));
    } else if let Some((at, status)) = status
        && u64::from(anthropic::status_of(&word)) != status
        && word != anthropic::kind_of(u16::try_from(status).unwrap_or_default())
    {
        let usual = anthropic::status_of(&word);
        checker.warn(at, format!("Anthropic sends {word} with {usual}"));
    }
    checker.mistakes
}

/// The report of an unknown word: with the nearest known one, or with all.
pub(super) fn unknown(says: &str, word: &str, known: &[&str]) -> String {
    let translated =
        OPENAI_WORDS.iter().find(|(other, here)| *other == word && known.contains(here));
    let near = translated.map(|(_, word)| *word);
    if let Some(near) = near.or_else(|| nearest(word, known.iter().copied())) {
        return format!("{says} {word:?}; did you mean {near:?}?");
    }
    let are = if known.len() == 1 { "is only" } else { "are" };
    format!("{says} {word:?}; there {are} {}", known.join(", "))
}

#[derive(Debug, Default)]
struct Checker {
    mistakes: Vec<Mistake>,
}

impl Checker {
    fn error(&mut self, tree: &Tree<'_>, what: impl Into<String>) {
        self.mistakes.push(Mistake { at: tree.at, what: what.into(), harmless: false });
    }

    fn warn(&mut self, tree: &Tree<'_>, what: impl Into<String>) {
        self.mistakes.push(Mistake { at: tree.at, what: what.into(), harmless: true });
    }

    /// Checks the fields of an object: their names, that none is missing or given twice, and their values.
    fn fields(&mut self, object: &Tree<'_>, place: &str, known: &[Field]) {
        if !matches!(object.node, JsonNode::Object(_)) {
            return self.error(object, format!("{place} must be an object, not {}", noun(object)));
        }
        let names: Vec<&str> = known.iter().map(|field| field.name).collect();
        let mut seen = HashSet::new();
        for (name, value) in object.fields() {
            let name = decode(name);
            if !seen.insert(name.clone().into_owned()) {
                self.error(value, format!("{place} has {name:?} twice"));
            }
            match known.iter().find(|field| field.name == name) {
                Some(field) => self.value(value, field),
                None => self.error(value, unknown(&format!("{place} has no field"), &name, &names)),
            }
        }
        let missing =
            |field: &&Field| field.presence == Presence::Required && !seen.contains(field.name);
        for Field { name, .. } in known.iter().filter(missing) {
            self.error(object, format!("{place} needs {name:?}"));
        }
    }

    fn value(&mut self, value: &Tree<'_>, field: &Field) {
        let Field { name, expected, presence } = field;
        let is_null = matches!(&value.node, JsonNode::Scalar(word) if word == "null");
        if is_null && *presence == Presence::Nullable {
            return;
        }
        let must_be = |what: &str| format!("{name} must be {what}, not {}", noun(value));
        match expected {
            Expected::Anything => {}
            Expected::Text if value.text().is_some() => {}
            Expected::Text => self.error(value, must_be("a text")),
            Expected::Name => match value.text() {
                Some(text) if text.is_empty() => self.error(value, format!("{name} is empty")),
                Some(_) => {}
                None => self.error(value, must_be("a text")),
            },
            Expected::Count if value.number().is_some() => {}
            Expected::Count => self.error(value, must_be("a whole number")),
            Expected::Object if matches!(value.node, JsonNode::Object(_)) => {}
            Expected::Object => self.error(value, must_be("an object")),
            Expected::Word(words) => match value.text() {
                Some(word) if words.contains(&&*word) => {}
                Some(word) => {
                    self.error(value, unknown(&format!("there is no {name}"), &word, words));
                }
                None => self.error(value, must_be("a text")),
            },
            Expected::Fields(fields) => self.fields(value, name, fields),
            Expected::Objects => match value.items() {
                Some(items) => {
                    for item in items.iter().filter(|item| item.get("type").is_none()) {
                        self.error(item, format!("each of {name} must be an object with a type"));
                    }
                }
                None => self.error(value, must_be("a list")),
            },
        }
    }

    fn content(&mut self, message: &Tree<'_>) {
        let Some(content) = message.get("content") else { return };
        let blocks = match (&content.node, content.text()) {
            (JsonNode::List(blocks), _) => blocks,
            (_, Some(text)) if !text.is_empty() => return self.stop(message, &[]),
            (_, Some(_)) => {
                return self
                    .error(content, "content is empty; for an answer without any, write []");
            }
            _ => {
                let what =
                    format!("content must be a text or a list of blocks, not {}", noun(content));
                return self.error(content, what);
            }
        };
        if blocks.is_empty() && message.get("stop_reason").is_none() {
            self.error(content, "content is empty; if that is meant, say why with a stop_reason");
        }
        let mut ids: HashMap<String, usize> = HashMap::new();
        for (number, block) in (1..).zip(blocks) {
            self.block(number, block);
            let id = block.get("id").and_then(Tree::text).filter(|id| !id.is_empty());
            if let Some(first) = id.and_then(|id| ids.insert(id.into_owned(), number)) {
                self.error(block, format!("block {number} has the id of block {first}"));
            }
        }
        self.stop(message, blocks);
    }

    fn block(&mut self, number: usize, block: &Tree<'_>) {
        if !matches!(block.node, JsonNode::Object(_)) {
            let what = format!("block {number} must be an object, not {}", noun(block));
            return self.error(block, what);
        }
        let Some(kind) = block.get("type") else {
            return self.error(block, format!("block {number} needs \"type\""));
        };
        let Some(word) = kind.text() else {
            return self.error(kind, format!("type must be a text, not {}", noun(kind)));
        };
        match BLOCKS.iter().find(|(known, _)| *known == word) {
            Some((_, Some(fields))) => self.fields(block, &format!("a {word} block"), fields),
            Some((_, None)) => {}
            None => {
                let known = BLOCKS.map(|(known, _)| known);
                self.error(kind, unknown("there is no type of block", &word, &known));
            }
        }
    }

    /// Checks that the reason to stop fits what was said.
    fn stop(&mut self, message: &Tree<'_>, blocks: &[Tree<'_>]) {
        let Some(reason) = message.get("stop_reason") else { return };
        let is_call = |block: &Tree<'_>| {
            block.get("type").and_then(Tree::text).is_some_and(|kind| kind == TOOL_USE)
        };
        let calls = blocks.iter().any(is_call);
        match reason.text().as_deref() {
            Some(TOOL_USE) if !calls => {
                self.warn(reason, "it stops for tool_use, and has no tool_use block");
            }
            Some("end_turn") if calls => {
                self.warn(reason, "it has a tool_use block; Claude stops for tool_use then");
            }
            Some("stop_sequence") if message.get("stop_sequence").is_none() => {
                self.warn(reason, "it stops at a stop_sequence, and does not say at which");
            }
            _ => {}
        }
    }
}

/// The kind of a value.
pub(super) fn noun(tree: &Tree<'_>) -> &'static str {
    match &tree.node {
        JsonNode::Text(_) => "a text",
        JsonNode::List(_) => "a list",
        JsonNode::Object(_) => "an object",
        JsonNode::Scalar(word) => match &**word {
            "null" => "null",
            "true" => "true",
            "false" => "false",
            number if number.starts_with('-') => "a negative number",
            number if number.contains(['.', 'e', 'E']) => "a fraction",
            _ => "a number",
        },
    }
}
