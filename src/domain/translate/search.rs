//! Web search: OpenAI's options as Anthropic's tool (`reference/anthropic-api.md` §1.5, §9.1). Anthropic searches while it
//! answers; the client only sees the citations.

use serde_json::{Map, Value};

use super::note::Notes;
use crate::domain::{
    anthropic::{Tool, UserLocation, WebSearch},
    catalog::Model,
    openai,
};

/// The tool's name, which is Anthropic's.
const NAME: &str = "web_search";
const FIELD: &str = "web_search_options";

/// The web search that the request asks for, unless one of the client's own `tools` has its name.
pub(super) fn requested(
    request: &openai::Request,
    tools: &[Tool],
    rules: &Model,
    notes: &mut Notes,
) -> Option<Tool> {
    let options = match request.web_search_options.as_ref()? {
        Value::Null | Value::Bool(false) => return None,
        options => options,
    };
    if tools.iter().any(|tool| tool.name() == NAME) {
        notes.add(FIELD, "is left out, because a tool of the client has the name `web_search`");
        return None;
    }
    tool(Some(options), rules, notes).map(Tool::WebSearch)
}

/// The newest web search of the model, with OpenAI's options or the defaults.
pub(super) fn tool(options: Option<&Value>, rules: &Model, notes: &mut Notes) -> Option<WebSearch> {
    let Some(version) = &rules.web_search else {
        notes.add(FIELD, "is left out, because this model cannot search the web");
        return None;
    };
    let option = |name| options.and_then(|options| options.get(name)).filter(|it| !it.is_null());
    let max_uses = match option("search_context_size").map(|size| size.as_str()) {
        Some(Some("low")) => 1,
        None | Some(Some("medium")) => 5,
        Some(Some("high")) => 10,
        Some(_) => {
            notes.add(format!("{FIELD}.search_context_size"), "is unknown; medium is used");
            5
        }
    };
    let user_location = option("user_location").and_then(|given| location(given, notes));
    Some(WebSearch { version: version.clone(), name: NAME, max_uses, user_location })
}

/// The location of the user, unless it is empty. Its fields stand in `approximate`, which some clients leave out.
fn location(given: &Value, notes: &mut Notes) -> Option<UserLocation> {
    let field = || format!("{FIELD}.user_location");
    let parts = given.get("approximate").unwrap_or(given);
    let Some(parts) = parts.as_object() else {
        notes.add(field(), "is left out, because it is not an object with `approximate`");
        return None;
    };
    let country = text(parts, "country").filter(|code| {
        let known = code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphabetic());
        if !known {
            notes
                .add(format!("{}.country", field()), "is left out, because it is no ISO 3166 code");
        }
        known
    });
    let location = UserLocation {
        kind: "approximate",
        city: text(parts, "city"),
        region: text(parts, "region"),
        country: country.map(|code| code.to_ascii_uppercase()),
        timezone: text(parts, "timezone"),
    };
    let says_something = location.city.is_some()
        || location.region.is_some()
        || location.country.is_some()
        || location.timezone.is_some();
    if !says_something {
        notes.add(field(), "is left out, because it says nothing");
    }
    says_something.then_some(location)
}

fn text(parts: &Map<String, Value>, name: &str) -> Option<String> {
    let text = parts.get(name)?.as_str()?.trim();
    if text.is_empty() { None } else { Some(text.to_owned()) }
}
