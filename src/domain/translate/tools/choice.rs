//! `tool_choice`, and the deprecated `function_call` (`reference/anthropic-api.md` §1.5, §9.1).

use super::{is_old_form, names};
use crate::domain::{
    anthropic::{Tool, ToolChoice},
    catalog::Model,
    openai,
    translate::{
        instructions::{CALL_ANY, call_one},
        note::{Error, Notes},
    },
};

/// The choice among `tools`, where it is not the default, and an instruction for what cannot be forced. The instruction
/// goes to the end of the last user message, where it does not break prompt caching.
pub(in crate::domain::translate) fn choice(
    request: &openai::Request,
    tools: &[Tool],
    rules: &Model,
    notes: &mut Notes,
) -> Result<(Option<ToolChoice>, Option<String>), Error> {
    let (field, requested) = match (&request.tool_choice, &request.function_call) {
        (Some(choice), other) => {
            if other.is_some() {
                notes.add("function_call", "is left out, because tool_choice is set");
            }
            ("tool_choice", parse(choice, notes)?)
        }
        (None, Some(choice)) => ("function_call", parse(choice, notes)?),
        (None, None) => ("tool_choice", RequestedChoice::Default),
    };
    // The deprecated form has no room for a second call.
    let single = request.parallel_tool_calls == Some(false)
        || request.tool_choice.as_ref().is_some_and(|choice| choice.single)
        || is_old_form(request);
    if tools.is_empty() {
        if matches!(
            requested,
            RequestedChoice::Any | RequestedChoice::Tool(_) | RequestedChoice::AnyOf(_)
        ) {
            return Err(Error::ChoiceWithoutTools);
        }
        let given = !matches!(requested, RequestedChoice::Default);
        for (given, field) in [(given, field), (single, "parallel_tool_calls")] {
            if given {
                notes.add(field, "is left out, because there are no tools");
            }
        }
        return Ok((None, None));
    }
    let chosen: &[&str] = match &requested {
        RequestedChoice::Tool(name) => &[*name],
        RequestedChoice::AnyOf(names) | RequestedChoice::AutoOf(names) => names,
        RequestedChoice::Default
        | RequestedChoice::Auto
        | RequestedChoice::None
        | RequestedChoice::Any => &[],
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
            return (Some(choice), None);
        }
        notes.add(field, "this model cannot be forced to call a tool; it is asked to");
        (auto.clone(), Some(instruction))
    };
    let any = ToolChoice::Any { disable_parallel_tool_use: single };
    let only = |names: &[&str]| format!("Of the tools, call none but {}.", list(names));
    Ok(match requested {
        RequestedChoice::Default | RequestedChoice::Auto => (auto, None),
        RequestedChoice::None => (Some(ToolChoice::None), None),
        RequestedChoice::Any => forced(any, CALL_ANY.to_owned(), notes),
        RequestedChoice::Tool(name) => {
            let name = names::upstream(name);
            let instruction = call_one(&name);
            let disable_parallel_tool_use = single;
            forced(ToolChoice::Tool { name, disable_parallel_tool_use }, instruction, notes)
        }
        RequestedChoice::AutoOf(names) => (auto, Some(only(&names))),
        RequestedChoice::AnyOf(names) => {
            let instruction =
                format!("Answer by calling one of the tools {}, not by text alone.", list(&names));
            let (choice, instruction) = forced(any, instruction, notes);
            (choice, instruction.or_else(|| Some(only(&names))))
        }
    })
}

/// The names upstream, as a list in words.
fn list(names: &[&str]) -> String {
    let quoted: Vec<String> =
        names.iter().map(|name| format!("`{}`", names::upstream(name))).collect();
    quoted.join(", ")
}

/// A client's choice, with the client's names of tools.
enum RequestedChoice<'a> {
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

fn parse<'a>(
    given: &'a openai::ToolChoice,
    notes: &mut Notes,
) -> Result<RequestedChoice<'a>, Error> {
    let openai::ToolChoice { kind, name, allowed, single: _ } = given;
    Ok(match (kind.as_str(), name) {
        ("auto", _) => RequestedChoice::Auto,
        ("none", _) => RequestedChoice::None,
        // `any` is the word of Anthropic and Mistral.
        ("required" | "any", _) => RequestedChoice::Any,
        ("function" | "custom" | "tool", Some(name)) => RequestedChoice::Tool(name),
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
                (Some("required"), [name]) => RequestedChoice::Tool(name),
                (_, []) => RequestedChoice::None,
                (mode, _) => {
                    let what = "all tools are still sent, for the sake of prompt caching; Claude is told which of them to call";
                    notes.add(field(), what);
                    match mode {
                        Some("required") => RequestedChoice::AnyOf(names),
                        _ => RequestedChoice::AutoOf(names),
                    }
                }
            }
        }
        _ => return Err(Error::UnknownChoice),
    })
}
