//! Tools: their definitions and the choice among them (`reference/anthropic-api.md` §1.5, §9.1).
//!
//! `names` says what a tool is called upstream, `parameters` what its arguments look like there, `calls` reads the
//! calls of a history.

mod calls;
mod names;
mod parameters;

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub(super) use self::calls::{Call, Ids, answer, answer_function, results};
use self::parameters::{Parameters, parameters};
use super::{
    form::{CUSTOM_INPUT, ToolForm, ToolKind},
    instructions::{CALL_ANY, call_one},
    note::{Error, Notes},
    schema::Allowance,
    strict,
};
use crate::domain::{
    anthropic::{ClientTool, ContentBlock, RequestMessage, Tool, ToolChoice},
    catalog::Model,
    openai,
};

/// The tools that the model may call, and those that the client knows by another name or as another kind.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    pub(super) tools: Vec<Tool>,
    pub(super) forms: BTreeMap<String, ToolForm>,
}

/// The tools of a request, those in the old form included.
pub(super) fn definitions(
    request: &openai::Request,
    allowance: &mut Allowance,
    notes: &mut Notes,
) -> Result<Definitions, Error> {
    let mut all = Definitions::default();
    for (at, tool) in request.tools.iter().flatten().enumerate() {
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
        let schema = given.parameters.as_ref();
        let Parameters { mut schema, told } = parameters(schema, &|| path(".parameters"), notes)?;
        let strict =
            given.strict == Some(true) && strict::hold(&mut schema, path, allowance, notes);
        let texts = given.description.iter().filter(|text| !text.is_empty()).cloned().chain(told);
        let texts: Vec<String> = texts.collect();
        let tool = ClientTool {
            name: names::upstream(&given.name),
            description: Some(texts.join("\n\n")).filter(|text| !text.is_empty()),
            input_schema: schema,
            strict,
        };
        self.add(tool, &given.name, ToolKind::Function, path, notes)
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
            notes.once(|| path(".format"), "the grammar is told in the description, not enforced");
            texts.push(format!("The input must fit this grammar ({syntax}):\n{definition}"));
        }
        notes.once(|| path(""), "a custom tool is sent as one with a single text to give");
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
        self.add(tool, &given.name, ToolKind::Custom, path, notes)
    }

    fn add(
        &mut self,
        tool: ClientTool,
        given: &str,
        kind: ToolKind,
        path: &dyn Fn(&str) -> String,
        notes: &mut Notes,
    ) -> Result<(), Error> {
        if given.is_empty() {
            return Err(Error::ToolName { field: path(".name") });
        }
        let name = tool.name.clone();
        let form = ToolForm { name: given.to_owned(), kind };
        let changed = given != name;
        let tool = Tool::Client(tool);
        if let Some(other) = self.tools.iter().find(|other| other.name() == name) {
            let is_custom = self.forms.get(&name).is_some_and(|form| form.kind == ToolKind::Custom);
            if *other != tool || is_custom != (kind == ToolKind::Custom) {
                let name = given.chars().take(names::LONGEST).collect();
                return Err(Error::DuplicateTool { field: path(".name"), name });
            }
            notes.once(|| path(""), "a tool that is defined twice alike is sent once");
            return Ok(());
        }
        if changed {
            notes.once(|| path(".name"), names::CHANGED);
        }
        if changed || kind == ToolKind::Custom {
            self.forms.insert(name, form);
        }
        self.tools.push(tool);
        Ok(())
    }
}

/// The syntax and definition of a custom tool's grammar, which stands in an object of its own or, as in OpenAI's newer
/// API, does not.
fn grammar(format: &Value) -> Option<(&str, &str)> {
    let grammar = format.get("grammar").filter(|grammar| grammar.is_object()).unwrap_or(format);
    let definition = grammar.get("definition")?.as_str()?;
    Some((grammar.get("syntax").and_then(Value::as_str).unwrap_or("text"), definition))
}

/// Stands in for tools that a history calls and the request does not define: Anthropic takes no calls without tools.
/// In the order in which they are first called, so that a longer history begins alike.
pub(super) fn stubs(messages: &[RequestMessage], notes: &mut Notes) -> Vec<Tool> {
    let mut tools: Vec<Tool> = Vec::new();
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
        if !tools.iter().any(|tool| tool.name() == name) {
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
        let what =
            "the history calls tools that are not defined; they are named, and not to be called";
        notes.add("tools", what);
    }
    tools
}

/// The name of a tool as it is called upstream.
pub(super) fn upstream_name(given: &str) -> String {
    names::upstream(given)
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
    let (field, wanted) = match (&request.tool_choice, &request.function_call) {
        (Some(choice), other) => {
            if other.is_some() {
                notes.add("function_call", "is left out, because tool_choice is given");
            }
            ("tool_choice", wanted(choice, notes)?)
        }
        (None, Some(choice)) => ("function_call", wanted(choice, notes)?),
        (None, None) => ("tool_choice", Wanted::Default),
    };
    // In the old form there is no room for a second call.
    let single = request.parallel_tool_calls == Some(false)
        || request.tool_choice.as_ref().is_some_and(|choice| choice.single)
        || is_old_form(request);
    if tools.is_empty() {
        if matches!(wanted, Wanted::Any | Wanted::Tool(_) | Wanted::AnyOf(_)) {
            return Err(Error::ChoiceWithoutTools);
        }
        let given = !matches!(wanted, Wanted::Default);
        for (given, field) in [(given, field), (single, "parallel_tool_calls")] {
            if given {
                notes.add(field, "is left out, because there are no tools");
            }
        }
        return Ok(Choice::default());
    }
    let chosen: &[&str] = match &wanted {
        Wanted::Tool(name) => &[*name],
        Wanted::AnyOf(names) | Wanted::AutoOf(names) => names,
        Wanted::Default | Wanted::Auto | Wanted::None | Wanted::Any => &[],
    };
    let is_defined = |name: &str| {
        let name = names::upstream(name);
        tools.iter().any(|tool| tool.name() == name)
    };
    if let Some(name) = chosen.iter().find(|name| !is_defined(name)) {
        return Err(Error::UnknownTool { name: name.chars().take(names::LONGEST).collect() });
    }
    let auto = single.then_some(ToolChoice::Auto { disable_parallel_tool_use: true });
    let forced = |choice, instruction: String, notes: &mut Notes| {
        if rules.forced_tools {
            return Choice { choice: Some(choice), instruction: None };
        }
        notes.add(field, "this model cannot be forced to call a tool, it is asked to");
        Choice { choice: auto.clone(), instruction: Some(instruction) }
    };
    let any = ToolChoice::Any { disable_parallel_tool_use: single };
    let only = |names: &[&str]| format!("Of the tools, call none but {}.", list(names));
    Ok(match wanted {
        Wanted::Default | Wanted::Auto => Choice { choice: auto, instruction: None },
        Wanted::None => Choice { choice: Some(ToolChoice::None), instruction: None },
        Wanted::Any => forced(any, CALL_ANY.to_owned(), notes),
        Wanted::Tool(name) => {
            let name = names::upstream(name);
            let instruction = call_one(&name);
            let disable_parallel_tool_use = single;
            forced(ToolChoice::Tool { name, disable_parallel_tool_use }, instruction, notes)
        }
        Wanted::AutoOf(names) => Choice { choice: auto, instruction: Some(only(&names)) },
        Wanted::AnyOf(names) => {
            let instruction =
                format!("Answer by calling one of the tools {}, not by text alone.", list(&names));
            let choice = forced(any, instruction, notes);
            Choice { instruction: choice.instruction.or_else(|| Some(only(&names))), ..choice }
        }
    })
}

/// Whether the client knows functions, but not tools: then a call is told as it was before there were tools.
pub(super) fn is_old_form(request: &openai::Request) -> bool {
    let is_given = |count: Option<usize>| count.is_some_and(|count| count > 0);
    is_given(request.functions.as_ref().map(Vec::len))
        && !is_given(request.tools.as_ref().map(Vec::len))
}

/// The names upstream, in words.
fn list(names: &[&str]) -> String {
    let quoted: Vec<String> =
        names.iter().map(|name| format!("`{}`", names::upstream(name))).collect();
    quoted.join(", ")
}

/// A choice, with tools by the client's names.
enum Wanted<'a> {
    Default,
    Auto,
    None,
    Any,
    Tool(&'a str),
    /// One of several, or none.
    AutoOf(Vec<&'a str>),
    /// One of several.
    AnyOf(Vec<&'a str>),
}

fn wanted<'a>(given: &'a openai::ToolChoice, notes: &mut Notes) -> Result<Wanted<'a>, Error> {
    let openai::ToolChoice { kind, name, allowed, single: _ } = given;
    Ok(match (kind.as_str(), name) {
        ("auto", _) => Wanted::Auto,
        ("none", _) => Wanted::None,
        // What Anthropic and Mistral call it.
        ("required" | "any", _) => Wanted::Any,
        ("function" | "custom" | "tool", Some(name)) => Wanted::Tool(name),
        (kind @ ("function" | "custom"), None) => {
            return Err(Error::Missing { field: format!("tool_choice.{kind}.name") });
        }
        ("allowed_tools", _) => {
            let field = || "tool_choice.allowed_tools".to_owned();
            let Some(openai::AllowedTools { mode, tools }) = allowed else {
                return Err(Error::Missing { field: field() });
            };
            let names: Vec<&str> = tools
                .iter()
                .map(|tool| {
                    tool.name()
                        .ok_or_else(|| Error::Missing { field: field() + ".tools[].function.name" })
                })
                .collect::<Result<_, _>>()?;
            match (mode.as_deref(), names.as_slice()) {
                (Some("required"), []) => return Err(Error::Missing { field: field() + ".tools" }),
                (Some("required"), [name]) => Wanted::Tool(name),
                (_, []) => Wanted::None,
                (mode, _) => {
                    let what = "all tools are sent all the same, as prompt caching needs them; Claude is told which to call";
                    notes.add(field(), what);
                    match mode {
                        Some("required") => Wanted::AnyOf(names),
                        _ => Wanted::AutoOf(names),
                    }
                }
            }
        }
        _ => return Err(Error::UnknownChoice),
    })
}
