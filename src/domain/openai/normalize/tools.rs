//! Tools of other APIs.

use serde_json::{Map, Value};

use super::{
    changes::Changes,
    item::{Fields, is_set},
};
use crate::domain::openai::tool::Tool;

/// Fields that have the definition of a function.
const DEFINITION: [&str; 4] = ["function", "parameters", "input_schema", "inputSchema"];

/// True for a tool of OpenAI's.
pub(super) fn is_normal(tool: &Tool) -> bool {
    tool.kind.as_deref().is_none_or(|kind| matches!(kind, "function" | "custom"))
}

/// Puts the tools into OpenAI's form: a function stays one, whatever its type is called, and a web search becomes
/// OpenAI's options for one. What another provider runs itself (file search, a computer) is left out.
pub(super) fn normalize(fields: &mut Fields, changes: &mut Changes) {
    let Some(Value::Array(tools)) = fields.get_mut("tools") else { return };
    let mut options = None;
    let mut positions = 0..;
    tools.retain_mut(|tool| {
        let at = positions.next().unwrap_or_default();
        let Value::Object(tool) = tool else { return true };
        let Some(kind) = tool.get("type").and_then(Value::as_str) else { return true };
        if matches!(kind, "function" | "custom") {
            return true;
        }
        let is_search = kind.starts_with("web_search");
        if DEFINITION.iter().any(|name| tool.get(*name).is_some_and(Value::is_object)) {
            changes.add(format!("tools[{at}].type"), "a function of an unknown type is one");
            tool.insert("type".to_owned(), "function".into());
            return true;
        }
        if is_search {
            changes.add(
                format!("tools[{at}]"),
                "a web search of another API is read as web_search_options",
            );
            options = Some(search_options(tool));
        } else {
            changes.add(
                format!("tools[{at}]"),
                "a tool of a type that Claude does not have is left out",
            );
        }
        false
    });
    if let Some(options) = options
        && !fields.get("web_search_options").is_some_and(is_set)
    {
        fields.insert("web_search_options".to_owned(), Value::Object(options));
    }
}

/// The options of a web search that OpenAI has, too.
fn search_options(tool: &mut Fields) -> Map<String, Value> {
    ["search_context_size", "user_location"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), tool.shift_remove(name)?)))
        .collect()
}
