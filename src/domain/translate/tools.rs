//! Tools: their definitions and the choice among them (`reference/anthropic-api.md` §1.5, §9.1).
//!
//! `names` changes names, `properties` those of properties, `input_schema` schemas, `choice` reads `tool_choice`, and `calls` the calls of a history.

mod calls;
mod choice;
mod input_schema;
mod names;
mod properties;
mod results;

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Value, json};

use self::input_schema::input_schema;
pub use self::properties::PropertyNames;
pub(super) use self::{
    calls::{ToolUseIds, input},
    choice::choice,
    results::{PendingCalls, ToolResult, UnansweredCalls},
};
use super::{
    context::Cancellation,
    form::{CUSTOM_INPUT, ToolForm, ToolKind},
    note::{Error, Notes},
    schema::Allowance,
};
use crate::domain::{
    anthropic::{ClientTool, ContentBlock, RequestMessage, Tool},
    openai,
};

/// The tools that the model may call, and those that the client knows by another name or as another kind.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    pub(super) tools: Vec<Tool>,
    pub(super) forms: BTreeMap<String, ToolForm>,
    /// Positions of the tools by their names.
    positions: HashMap<String, usize>,
}

/// The tools of a request, those in the old form included.
pub(super) fn definitions(
    request: &openai::Request,
    cancellation: Cancellation<'_>,
    allowance: &mut Allowance,
    notes: &mut Notes,
) -> Result<Definitions, Error> {
    let mut all = Definitions::default();
    for (at, tool) in request.tools.iter().flatten().enumerate() {
        cancellation.check()?;
        let path = |field: &str| format!("tools[{at}]{field}");
        match (tool.kind.as_deref(), &tool.function, &tool.custom) {
            (None | Some("function"), Some(given), _) => {
                all.function(given, &|field| path(&format!(".function{field}")), allowance, notes)?;
            }
            (None | Some("custom"), _, Some(given)) => {
                all.custom(given, &|field| path(&format!(".custom{field}")), notes)?;
            }
            // As Anthropic writes it, or OpenAI in its newer API.
            (None | Some("function" | "custom"), ..) if tool.flat.is_some() => {
                if let Some(given) = &tool.flat {
                    all.function(given, &path, allowance, notes)?;
                }
            }
            (None | Some("function"), ..) => {
                return Err(Error::Missing { field: path(".function") });
            }
            (Some("custom"), ..) => return Err(Error::Missing { field: path(".custom") }),
            (Some(_), ..) => {
                return Err(Error::Impossible {
                    field: path(".type"),
                    reason: "only tools of the types `function` and `custom` can be used",
                });
            }
        }
    }
    for (at, given) in request.functions.iter().flatten().enumerate() {
        cancellation.check()?;
        all.function(given, &|field| format!("functions[{at}]{field}"), allowance, notes)?;
    }
    Ok(all)
}

impl Definitions {
    fn function(
        &mut self,
        given: &openai::Function,
        path: &dyn Fn(&str) -> String,
        allowance: &mut Allowance,
        notes: &mut Notes,
    ) -> Result<(), Error> {
        let field = || path(".parameters");
        let mut parameters = input_schema::root(given.parameters.as_ref(), &field, notes);
        let (mut schema, mut in_words) = input_schema(&parameters, &field, allowance, notes);
        let properties = PropertyNames::of(&schema, &parameters);
        if !properties.is_empty() {
            note_renamed(&properties, &field, notes);
            // Before the schema is changed, so that everything put into words has the new names.
            properties.rename(&mut parameters);
            (schema, in_words) =
                input_schema(&parameters, &field, allowance, &mut Notes::default());
            properties.rename(&mut schema);
        }
        let strict = given.strict == Some(true) && enforce(&mut schema, path, allowance, notes);
        let description = given.description.iter().filter(|text| !text.is_empty()).cloned();
        let texts = description.chain(in_words);
        let texts: Vec<String> = texts.collect();
        let tool = ClientTool {
            name: names::upstream(&given.name),
            description: Some(texts.join("\n\n")).filter(|text| !text.is_empty()),
            input_schema: schema,
            strict,
        };
        let form = ToolForm { name: given.name.clone(), kind: ToolKind::Function, properties };
        self.add(tool, form, path, notes)
    }

    /// A tool whose input is a text: one with one property.
    fn custom(
        &mut self,
        given: &openai::CustomTool,
        path: &dyn Fn(&str) -> String,
        notes: &mut Notes,
    ) -> Result<(), Error> {
        let mut texts: Vec<String> =
            given.description.iter().filter(|text| !text.is_empty()).cloned().collect();
        if let Some((syntax, definition)) = given.format.as_ref().and_then(grammar) {
            notes.once(
                || path(".format"),
                "the grammar is put into the description and not enforced",
            );
            texts.push(format!("The input must fit this grammar ({syntax}):\n{definition}"));
        }
        notes.once(|| path(""), "a custom tool is sent as a function with one text");
        let tool = ClientTool {
            name: names::upstream(&given.name),
            description: Some(texts.join("\n\n")).filter(|text| !text.is_empty()),
            input_schema: json!({
                "type": "object",
                "properties": {CUSTOM_INPUT: {"type": "string"}},
                "required": [CUSTOM_INPUT],
            }),
            strict: false,
        };
        let (name, kind) = (given.name.clone(), ToolKind::Custom);
        self.add(tool, ToolForm { name, kind, properties: PropertyNames::default() }, path, notes)
    }

    fn add(
        &mut self,
        tool: ClientTool,
        form: ToolForm,
        path: &dyn Fn(&str) -> String,
        notes: &mut Notes,
    ) -> Result<(), Error> {
        if form.name.is_empty() {
            return Err(Error::ToolName { field: path(".name") });
        }
        let name = tool.name.clone();
        let changed = form.name != name;
        let tool = Tool::Client(tool);
        if let Some(other) = self.positions.get(&name).and_then(|at| self.tools.get(*at)) {
            let is_custom = self.forms.get(&name).is_some_and(|form| form.kind == ToolKind::Custom);
            if *other != tool || is_custom != (form.kind == ToolKind::Custom) {
                let name = form.name.chars().take(names::LONGEST).collect();
                return Err(Error::DuplicateTool { field: path(".name"), name });
            }
            notes.once(|| path(""), "a tool that is defined twice in the same way is sent once");
            return Ok(());
        }
        if changed {
            notes.once(|| path(".name"), names::CHANGED);
        }
        if changed || form.kind == ToolKind::Custom || !form.properties.is_empty() {
            self.forms.insert(name, form);
        }
        self.positions.insert(tool.name().to_owned(), self.tools.len());
        self.tools.push(tool);
        Ok(())
    }
}

/// Maximum number of renamed properties of one tool that are named in notes.
const MOST_RENAMED: usize = 5;

fn note_renamed(properties: &PropertyNames, field: &dyn Fn() -> String, notes: &mut Notes) {
    let mut renamed = properties.iter();
    for (original, upstream) in renamed.by_ref().take(MOST_RENAMED) {
        let original: String = original.chars().take(names::LONGEST).collect();
        notes.add(field(), format!("the property `{original}` is sent as `{upstream}`"));
    }
    let more = renamed.count();
    if more > 0 {
        notes.add(field(), format!("{more} more properties are sent under other names"));
    }
}

/// Rewrites the schema of a strict tool so that Anthropic can enforce it (`reference/anthropic-api.md` §1.4); `false`
/// if it cannot be enforced.
fn enforce(
    schema: &mut Value,
    path: &dyn Fn(&str) -> String,
    allowance: &mut Allowance,
    notes: &mut Notes,
) -> bool {
    match allowance.tool(schema) {
        Ok(restricted) => {
            restricted.changes().for_each(|what| notes.once(|| path(".parameters"), what));
            *schema = restricted.schema;
            true
        }
        Err(why) => {
            let what = format!("the schema is not enforced, because {why}");
            notes.once(|| path(".strict"), &what);
            false
        }
    }
}

/// The syntax and definition of a custom tool's grammar, which stands in an object of its own or, as in OpenAI's newer
/// API, does not.
fn grammar(format: &Value) -> Option<(&str, &str)> {
    let grammar = format.get("grammar").filter(|grammar| grammar.is_object()).unwrap_or(format);
    let definition = grammar.get("definition")?.as_str()?;
    Some((grammar.get("syntax").and_then(Value::as_str).unwrap_or("text"), definition))
}

/// Definitions for tools that the history calls and the request does not define, because Anthropic accepts no calls
/// without tools. In the order of their first calls, so that a longer history begins with the same bytes.
pub(super) fn stubs(messages: &[RequestMessage], notes: &mut Notes) -> Vec<Tool> {
    let mut tools: Vec<Tool> = Vec::new();
    let mut known = HashSet::new();
    for block in messages.iter().flat_map(|message| &message.content) {
        let name = match block {
            ContentBlock::ToolUse { name, .. } => name.clone(),
            ContentBlock::Original(raw) => {
                match serde_json::from_str::<Value>(raw.get()).unwrap_or_default() {
                    Value::Object(block) if block.get("type") == Some(&json!("tool_use")) => {
                        let name = block.get("name").and_then(Value::as_str);
                        name.unwrap_or_default().to_owned()
                    }
                    _ => continue,
                }
            }
            _ => continue,
        };
        if known.insert(name.clone()) {
            let input_schema = json!({"type": "object"});
            tools.push(Tool::Client(ClientTool {
                name,
                description: None,
                input_schema,
                strict: false,
            }));
        }
    }
    if !tools.is_empty() {
        let what = "the history calls tools that are not defined; they are defined by name only, and cannot be called";
        notes.add("tools", what);
    }
    tools
}

/// The name of a tool as it is called upstream.
pub(super) fn upstream_name(given: &str) -> String {
    names::upstream(given)
}

/// True for a client that defines functions but no tools, and expects calls in the same deprecated form.
pub(super) fn is_old_form(request: &openai::Request) -> bool {
    let is_given = |count: Option<usize>| count.is_some_and(|count| count > 0);
    is_given(request.functions.as_ref().map(Vec::len))
        && !is_given(request.tools.as_ref().map(Vec::len))
}
