//! `response_format`: text, JSON, or JSON that fits a schema (`reference/anthropic-api.md` §1.4, §9.1).
//!
//! Anthropic enforces a subset of JSON Schema, and has no mode for JSON without a schema. Anything else is asked for in
//! words, and the code fence around such answers is removed.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    form::CodeFence,
    note::{Error, Notes},
    schema::{self, Allowance, Changes},
};
use crate::domain::{anthropic, openai};

/// The format of an answer: enforced upstream, or asked for in words.
#[derive(Debug, Default)]
pub(super) struct AnswerFormat {
    /// The format that Anthropic enforces.
    pub(super) format: Option<anthropic::Format>,
    /// Goes to the end of the instructions.
    pub(super) instruction: Option<String>,
    /// The treatment of the answer on its way back.
    pub(super) code_fence: CodeFence,
}

const FIELD: &str = "response_format";
const SCHEMA: &str = "response_format.json_schema.schema";

/// The format that the request asks for.
pub(super) fn answer_format(
    request: &openai::Request,
    allowance: &mut Allowance,
    notes: &mut Notes,
) -> Result<AnswerFormat, Error> {
    let of_responses = || request.extra.get("text")?.get("format");
    let given = match (&request.response_format, of_responses()) {
        (Some(given), _) => Cow::Borrowed(given),
        (None, Some(format)) => {
            let field = "text.format";
            let wrong = |_| Error::OutOfRange { field, range: "an object with `type`" };
            Cow::Owned(openai::ResponseFormat::deserialize(format).map_err(wrong)?)
        }
        (None, None) => return Ok(AnswerFormat::default()),
    };
    let searches = request.web_search_options.is_some();
    let hindrance = searches.then_some(CITED);
    let json_schema = match &given.json_schema {
        None | Some(Value::Null) => given.flat.get("schema").is_some().then_some(&given.flat),
        Some(Value::Object(json_schema)) => Some(json_schema),
        Some(_) => {
            let field = "response_format.json_schema";
            return Err(Error::OutOfRange { field, range: "an object with `schema`" });
        }
    };
    match (given.kind.trim(), json_schema) {
        // Other engines' word for it.
        ("json_schema" | "json_object" | "", Some(json_schema)) => {
            of_schema(json_schema, hindrance, allowance, notes)
        }
        ("json_object", None) => {
            notes.add(
                FIELD,
                "Claude has no JSON mode without a schema; it is instructed to answer in JSON",
            );
            Ok(in_words_only(OBJECT.to_owned()))
        }
        ("json_schema", None) => {
            Err(Error::Missing { field: "response_format.json_schema".to_owned() })
        }
        ("text", _) => Ok(AnswerFormat::default()),
        ("", None) if given.flat.is_empty() => Ok(AnswerFormat::default()),
        _ => Err(Error::OutOfRange {
            field: "response_format.type",
            range: "`text`, `json_object` or `json_schema`",
        }),
    }
}

const OBJECT: &str = "Answer with one JSON object and nothing else: no text around it, no code \
                      fence.";
/// Keywords by which a schema that stands in the place of its wrapper is known.
const IN_SCHEMAS: [&str; 6] = ["properties", "$ref", "anyOf", "allOf", "oneOf", "items"];
/// Citations and formats exclude each other (§1.4).
const CITED: &str = "answers of a web search carry citations";

/// The format for a schema; `hindrance` is a reason not to enforce it.
fn of_schema(
    json_schema: &Map<String, Value>,
    hindrance: Option<&str>,
    allowance: &mut Allowance,
    notes: &mut Notes,
) -> Result<AnswerFormat, Error> {
    let given = match json_schema.get("schema") {
        None if IN_SCHEMAS.iter().any(|keyword| json_schema.contains_key(*keyword)) => json_schema,
        None | Some(Value::Null) => {
            notes.add(SCHEMA, "is missing; Claude is instructed to answer with any JSON object");
            return Ok(in_words_only(OBJECT.to_owned()));
        }
        Some(Value::Object(schema)) => schema,
        Some(_) => {
            return Err(Error::OutOfRange {
                field: SCHEMA,
                range: "a JSON schema, which is an object",
            });
        }
    };
    let named = Value::Object(named(given, json_schema));
    let mut changes = Changes::default();
    let hindrance = match hindrance {
        Some(hindrance) => hindrance.to_owned(),
        None => match allowance.format(&schema::valid(&named, &mut changes)) {
            Ok(restricted) => {
                changes.iter().for_each(|what| notes.add(SCHEMA, what));
                restricted.changes().for_each(|what| notes.add(SCHEMA, what));
                let format = Some(anthropic::Format::JsonSchema { schema: restricted.schema });
                // Should Anthropic refuse the schema, it is sent as words.
                return Ok(AnswerFormat {
                    format,
                    instruction: None,
                    code_fence: CodeFence::Strip,
                });
            }
            Err(unsupported) => unsupported.to_string(),
        },
    };
    notes.add(SCHEMA, format!("is sent as an instruction and not enforced, because {hindrance}"));
    Ok(in_words_only(in_words(&named)))
}

/// Instruction for an answer whose schema is not enforced.
pub(super) fn in_words(schema: &Value) -> String {
    format!(
        "Answer with one JSON value that fits the JSON schema below, and with nothing else: no \
         text around it, no code fence.\n\n{schema}"
    )
}

/// The schema with the name and the description that stand beside it.
fn named(schema: &Map<String, Value>, beside: &Map<String, Value>) -> Map<String, Value> {
    let mut named = schema.clone();
    let non_blank = |value: Option<&Value>| {
        value.and_then(Value::as_str).filter(|text| !text.trim().is_empty()).map(str::to_owned)
    };
    if non_blank(named.get("title")).is_none()
        && let Some(name) = non_blank(beside.get("name"))
    {
        named.insert("title".to_owned(), Value::String(name));
    }
    if let Some(description) = non_blank(beside.get("description")) {
        let both = match non_blank(named.get("description")) {
            Some(own) if own != description => format!("{description}\n\n{own}"),
            _ => description,
        };
        named.insert("description".to_owned(), Value::String(both));
    }
    named
}

fn in_words_only(instruction: String) -> AnswerFormat {
    AnswerFormat { format: None, instruction: Some(instruction), code_fence: CodeFence::Strip }
}
