//! Tools: their definitions, the choice among them, and the calls and ids of a history (`reference/anthropic-api.md`
//! §1.5, §1.6, §9.1).

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::note::{Error, Notes};
use crate::domain::{
    anthropic::{ClientTool, ContentBlock, Tool, ToolChoice},
    catalog::Model,
    chain::Hash,
    openai,
};

/// What OpenAI allows for a function's name, and Anthropic too.
const NAME_LENGTH: usize = 64;

/// The tools that the model may call.
pub(super) fn definitions(given: &[openai::Tool], notes: &mut Notes) -> Result<Vec<Tool>, Error> {
    let mut names = HashSet::new();
    given
        .iter()
        .enumerate()
        .map(|(at, tool)| {
            match tool.kind.as_deref() {
                None | Some("function") => {}
                Some("custom") => {
                    return Err(Error::NotYet {
                        field: format!("tools[{at}].type"),
                        what: "a custom tool",
                    });
                }
                Some(_) => {
                    return Err(Error::Impossible {
                        field: format!("tools[{at}].type"),
                        reason: "only tools of type `function` can be used",
                    });
                }
            }
            let path = |field: &str| format!("tools[{at}].function{field}");
            let function =
                tool.function.as_ref().ok_or_else(|| Error::Missing { field: path("") })?;
            if function.name.len() > NAME_LENGTH || !is_word(&function.name) {
                return Err(Error::ToolName { field: path(".name") });
            }
            if !names.insert(&*function.name) {
                let name = function.name.clone();
                return Err(Error::DuplicateTool { field: path(".name"), name });
            }
            if function.strict == Some(true) {
                notes.once(|| path(".strict"), "arguments are not held to the schema yet");
            }
            Ok(Tool::Client(ClientTool {
                name: function.name.clone(),
                description: function.description.clone().filter(|text| !text.is_empty()),
                input_schema: schema(function.parameters.as_ref())
                    .ok_or_else(|| Error::Schema { field: path(".parameters") })?,
                strict: false,
            }))
        })
        .collect()
}

/// A schema of type `object`, which functions without parameters need as well.
fn schema(parameters: Option<&Value>) -> Option<Value> {
    let given = match parameters {
        None | Some(Value::Null) => &Map::new(),
        Some(Value::Object(given)) => given,
        Some(_) => return None,
    };
    match given.get("type") {
        Some(Value::String(kind)) if kind == "object" => Some(Value::Object(given.clone())),
        None | Some(Value::Null) => {
            let mut schema = given.clone();
            schema.insert("type".to_owned(), json!("object"));
            schema.entry("properties").or_insert_with(|| json!({}));
            Some(Value::Object(schema))
        }
        Some(_) => None,
    }
}

/// Which tools may or must be called, and what to tell a model that cannot be forced.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// `None`: the model decides, as it does by default.
    pub(super) choice: Option<ToolChoice>,
    /// Belongs at the end of the last user message, where it breaks no cache.
    pub(super) instruction: Option<String>,
}

/// The choice among `tools` that the request asks for.
pub(super) fn choice(
    request: &openai::Request,
    tools: &[Tool],
    rules: &Model,
    notes: &mut Notes,
) -> Result<Choice, Error> {
    let wanted = wanted(request.tool_choice.as_ref())?;
    let single = request.parallel_tool_calls == Some(false);
    if tools.is_empty() {
        if matches!(wanted, Some(Wanted::Any | Wanted::Tool(_))) {
            return Err(Error::ChoiceWithoutTools);
        }
        for (given, field) in [(wanted.is_some(), "tool_choice"), (single, "parallel_tool_calls")] {
            if given {
                notes.add(field, "is left out, because there are no tools");
            }
        }
        return Ok(Choice::default());
    }
    if let Some(Wanted::Tool(name)) = wanted
        && !tools.iter().any(|tool| tool.name() == name)
    {
        return Err(Error::UnknownTool { name: name.chars().take(NAME_LENGTH).collect() });
    }
    let auto = single.then_some(ToolChoice::Auto { disable_parallel_tool_use: true });
    let forced = |choice, instruction: String, notes: &mut Notes| {
        if rules.forced_tools {
            return Choice { choice: Some(choice), instruction: None };
        }
        notes.add("tool_choice", "this model cannot be forced to call a tool, it is asked to");
        Choice { choice: auto.clone(), instruction: Some(instruction) }
    };
    Ok(match wanted {
        None | Some(Wanted::Auto) => Choice { choice: auto, instruction: None },
        Some(Wanted::None) => Choice { choice: Some(ToolChoice::None), instruction: None },
        Some(Wanted::Any) => forced(
            ToolChoice::Any { disable_parallel_tool_use: single },
            CALL_ANY.to_owned(),
            notes,
        ),
        Some(Wanted::Tool(name)) => forced(
            ToolChoice::Tool { name: name.to_owned(), disable_parallel_tool_use: single },
            call_one(name),
            notes,
        ),
    })
}

/// Asks a model for a call that cannot be forced to one.
pub(super) const CALL_ANY: &str = "Answer by calling one of the tools, not by text alone.";

/// Asks for a call of one tool.
pub(super) fn call_one(name: &str) -> String {
    format!("Answer by calling the tool `{name}`, not by text alone.")
}

enum Wanted<'a> {
    Auto,
    None,
    Any,
    Tool(&'a str),
}

fn wanted(given: Option<&openai::ToolChoice>) -> Result<Option<Wanted<'_>>, Error> {
    let Some(openai::ToolChoice { kind, name }) = given else { return Ok(None) };
    let not_yet = |what| Error::NotYet { field: "tool_choice".to_owned(), what };
    match (kind.as_str(), name) {
        ("auto", _) => Ok(Some(Wanted::Auto)),
        ("none", _) => Ok(Some(Wanted::None)),
        // What Anthropic and Mistral call it.
        ("required" | "any", _) => Ok(Some(Wanted::Any)),
        ("function", Some(name)) => Ok(Some(Wanted::Tool(name))),
        ("function", None) => Err(Error::Missing { field: "tool_choice.function.name".to_owned() }),
        ("custom", _) => Err(not_yet("a custom tool")),
        ("allowed_tools", _) => Err(not_yet("allowed_tools")),
        _ => Err(Error::UnknownChoice),
    }
}

/// A call of the history that waits for its result.
#[derive(Debug)]
pub(super) struct Call<'a> {
    given_id: &'a str,
    id: String,
    /// Where it stands in the client's request.
    at: String,
    result: Option<Vec<ContentBlock>>,
}

impl Call<'_> {
    /// Whether it has another id than the client gave it.
    pub(super) fn is_renamed(&self) -> bool {
        self.given_id != self.id
    }

    /// Whether its result came.
    pub(super) fn is_answered(&self) -> bool {
        self.result.is_some()
    }
}

/// Gives `result` to the call with this id; `false` if no such call waits for one.
pub(super) fn answer(calls: &mut [Call<'_>], id: &str, result: &mut Vec<ContentBlock>) -> bool {
    let waiting = calls.iter_mut().find(|call| call.result.is_none() && call.given_id == id);
    waiting.map(|call| call.result = Some(std::mem::take(result))).is_some()
}

/// The results of all calls of a turn, in the order of the calls: all must stand in the next message.
pub(super) fn results(calls: &mut Vec<Call<'_>>, notes: &mut Notes) -> Vec<ContentBlock> {
    calls
        .drain(..)
        .map(|Call { id, at, result, .. }| {
            let is_error = result.is_none();
            let content = result.unwrap_or_else(|| {
                notes.add(at, "has no result in the history; an error stands in for it");
                vec![ContentBlock::text("No result of this call was recorded.")]
            });
            ContentBlock::ToolResult { tool_use_id: id, content, is_error }
        })
        .collect()
}

/// The ids of a whole history, made such as Anthropic takes them. Depends on nothing but the calls up to each one,
/// so that a longer history begins with the same bytes.
#[derive(Debug, Default)]
pub(super) struct Ids(HashMap<String, usize>);

impl Ids {
    /// The call at `path` as a block, and as one that waits for its result.
    pub(super) fn call<'a>(
        &mut self,
        call: &'a openai::ToolCall,
        path: String,
        notes: &mut Notes,
    ) -> Result<(ContentBlock, Call<'a>), Error> {
        if call.kind.as_deref() == Some("custom") {
            let field = format!("{path}.type");
            return Err(Error::NotYet { field, what: "a call of a custom tool" });
        }
        let Some(function) = &call.function else {
            return Err(Error::Missing { field: format!("{path}.function") });
        };
        let given_id = call.id.as_deref().unwrap_or_default();
        let id = self.claim(given_id);
        if id != given_id {
            notes.once(|| format!("{path}.id"), "the id is changed to one that Anthropic accepts");
        }
        let input = input(&function.arguments).unwrap_or_else(|text| {
            let field = || format!("{path}.function.arguments");
            notes.once(field, "is no JSON object; it is sent inside one, as INVALID_JSON");
            json!({"INVALID_JSON": text})
        });
        let name = name(&function.name);
        if name != function.name {
            let field = || format!("{path}.function.name");
            notes.once(field, "the name is changed to one that Anthropic accepts");
        }
        let block = ContentBlock::ToolUse { id: id.clone(), name, input };
        Ok((block, Call { given_id, id, at: path, result: None }))
    }

    fn claim(&mut self, given: &str) -> String {
        let id = if is_word(given) {
            given.to_owned()
        } else {
            let hash = Hash::of("tool call id", &[given.as_bytes()]).to_string();
            format!("{}_{}", word(given, 48), &hash[..12])
        };
        // How often each id was asked for, so that many copies of one are numbered without trying each number.
        let mut copies = *self.0.entry(id.clone()).and_modify(|copies| *copies += 1).or_insert(1);
        let mut unique = id.clone();
        while copies > 1 {
            unique = format!("{id}_{copies}");
            if !self.0.contains_key(&unique) {
                self.0.insert(id, copies);
                self.0.insert(unique.clone(), 1);
                break;
            }
            copies += 1;
        }
        unique
    }
}

/// The arguments as an object, or the text that is none.
fn input(arguments: &Value) -> Result<Value, String> {
    match arguments {
        Value::Null => Ok(json!({})),
        Value::Object(_) => Ok(arguments.clone()),
        Value::String(text) if text.trim().is_empty() => Ok(json!({})),
        Value::String(text) => match serde_json::from_str(text) {
            Ok(object @ Value::Object(_)) => Ok(object),
            _ => Err(text.clone()),
        },
        other => Err(other.to_string()),
    }
}

/// A tool's name as the history may have it from another provider.
fn name(given: &str) -> String {
    if given.len() <= NAME_LENGTH && is_word(given) {
        return given.to_owned();
    }
    if given.is_empty() { "unnamed".to_owned() } else { word(given, NAME_LENGTH) }
}

/// Whether Anthropic takes it as an id or (if short enough) a name: `^[a-zA-Z0-9_-]+$`.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_word_byte)
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// The nearest to `text` that [`is_word`], if there is anything in it.
fn word(text: &str, length: usize) -> String {
    let allowed = |c: char| if c.is_ascii() && is_word_byte(c as u8) { c } else { '_' };
    text.chars().take(length).map(allowed).collect()
}
