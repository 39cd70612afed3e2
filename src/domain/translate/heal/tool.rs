//! One tool with a schema that upstream may accept where it refused the tool's own: simplified, or open. The original
//! schema is told to the model in words.

use serde_json::{Map, Value, json};

use crate::domain::anthropic::{self, ClientTool};
use crate::domain::translate::schema::keywords::KINDS;

/// Maximum length of a schema in words, in bytes.
const LONGEST_IN_WORDS: usize = 4_000;
/// Maximum depth of a simplified schema: below, any value fits.
const DEEPEST: usize = 32;
/// Length to which a refused description is cut, in characters.
const LONGEST_DESCRIPTION: usize = 1_000;

/// Precedes a schema in the description of its tool.
const IN_WORDS: &str = "The input fits this JSON schema: ";

/// Leaves out all keywords that are not needed to name the parameters. No change if there are none.
pub(super) fn simplify(tool: &mut ClientTool) {
    let mut schema = simplified(&tool.input_schema, 0);
    schema.insert("type".to_owned(), json!("object"));
    let schema = Value::Object(schema);
    if schema != tool.input_schema {
        replace_schema(tool, schema);
    }
}

/// Lets any object fit.
pub(super) fn open(tool: &mut ClientTool) {
    replace_schema(tool, json!({"type": "object"}));
}

/// Shortens the description, or leaves out one that is short.
pub(super) fn shorten_description(tool: &mut ClientTool) {
    let Some(description) = tool.description.take() else { return };
    let end = description.char_indices().nth(LONGEST_DESCRIPTION).map(|(at, _)| at);
    let shortened = end.map(|end| description[..end].to_owned());
    tool.description = shortened.filter(|text| !anthropic::is_blank(text));
}

fn replace_schema(tool: &mut ClientTool, schema: Value) {
    let original = std::mem::replace(&mut tool.input_schema, schema).to_string();
    // The new schema is not within the subset that is enforced.
    tool.strict = false;
    let description = tool.description.get_or_insert_default();
    // A schema that was simplified before is in words already.
    if original.len() <= LONGEST_IN_WORDS && !description.contains(IN_WORDS) {
        if !description.is_empty() {
            description.push_str("\n\n");
        }
        description.push_str(IN_WORDS);
        description.push_str(&original);
    }
    tool.description.take_if(|description| description.is_empty());
}

/// The keywords of a schema that say what a value is, without those that restrict it.
fn simplified(schema: &Value, depth: usize) -> Map<String, Value> {
    let mut simple = Map::new();
    let Value::Object(schema) = schema else { return simple };
    if depth > DEEPEST {
        return simple;
    }
    for (keyword, value) in schema {
        let kept = match (keyword.as_str(), value) {
            ("type", value) => known_type(value).map(Value::from),
            ("description", Value::String(_)) => Some(value.clone()),
            ("enum", Value::Array(values)) if !values.is_empty() => Some(value.clone()),
            ("properties", Value::Object(properties)) => {
                let simple = |(name, schema): (&String, &Value)| {
                    (name.clone(), Value::Object(simplified(schema, depth + 1)))
                };
                Some(properties.iter().map(simple).collect())
            }
            ("required", Value::Array(names)) => {
                let has = |name: &str| {
                    schema
                        .get("properties")
                        .is_some_and(|properties| properties.get(name).is_some())
                };
                let names = names.iter().filter(|name| name.as_str().is_some_and(has));
                Some(names.cloned().collect())
            }
            ("items", Value::Object(_)) => Some(Value::Object(simplified(value, depth + 1))),
            _ => None,
        };
        if let Some(kept) = kept {
            simple.insert(keyword.clone(), kept);
        }
    }
    simple
}

/// The type that a schema names, or the first of several.
fn known_type(value: &Value) -> Option<&str> {
    let names = match value {
        Value::Array(names) => names.as_slice(),
        name => std::slice::from_ref(name),
    };
    let mut known = names.iter().filter_map(Value::as_str).filter(|name| KINDS.contains(name));
    let first = known.next()?;
    if first == "null" { known.next().or(Some(first)) } else { Some(first) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(schema: Value) -> ClientTool {
        ClientTool {
            name: "f".to_owned(),
            description: Some("Finds.".to_owned()),
            input_schema: schema,
            strict: true,
        }
    }

    #[test]
    fn a_simplified_schema_names_the_parameters_at_every_depth() {
        let schema = json!({
            "anyOf": [{"required": ["a"]}],
            "$defs": {"x": {"type": "string"}},
            "properties": {
                "a": {"type": ["null", "string"], "minLength": 1, "description": "d"},
                "b": {"type": "array", "items": {"type": "object", "properties": {
                    "c": {"enum": [1, 2], "format": "x"}, "d": true,
                }, "required": ["c", "gone"], "additionalProperties": false}},
                "e": {"type": "array", "items": [{"type": "string"}]},
                "f": {"type": "any"},
            },
            "required": ["a"],
        });
        let mut simple = tool(schema.clone());
        simplify(&mut simple);
        let expected = json!({
            "properties": {
                "a": {"type": "string", "description": "d"},
                "b": {"type": "array", "items": {"type": "object", "properties": {
                    "c": {"enum": [1, 2]}, "d": {},
                }, "required": ["c"]}},
                "e": {"type": "array"},
                "f": {},
            },
            "required": ["a"],
            "type": "object",
        });
        assert_eq!((&simple.input_schema, simple.strict), (&expected, false));
        let told = format!("Finds.\n\n{IN_WORDS}{schema}");
        assert_eq!(simple.description.as_deref(), Some(&*told));

        let before = simple.clone();
        simplify(&mut simple);
        assert_eq!(simple, before, "there is nothing more to leave out");
        open(&mut simple);
        assert_eq!(simple.input_schema, json!({"type": "object"}));
        assert_eq!(simple.description.as_deref(), Some(&*told), "the original is told once");
    }

    #[test]
    fn a_long_schema_is_not_told_and_a_deep_one_is_cut() {
        let mut deep = json!({"type": "string"});
        for _ in 0..100 {
            deep = json!({"type": "array", "items": deep});
        }
        let mut simple = tool(json!({"type": "object", "properties": {"a": deep}}));
        simplify(&mut simple);
        assert!(simple.input_schema.to_string().matches("items").count() <= DEEPEST);
        let long = "x".repeat(LONGEST_IN_WORDS);
        let mut simple = tool(json!({"type": "object", "title": long}));
        simplify(&mut simple);
        assert_eq!(simple.description.as_deref(), Some("Finds."));
        simple.description = None;
        simple.input_schema = json!({"title": long});
        open(&mut simple);
        assert_eq!(simple.description, None);
    }

    #[test]
    fn a_refused_description_is_shortened_and_then_left_out() {
        let mut tool = tool(json!({"type": "object"}));
        tool.description = Some("ü".repeat(LONGEST_DESCRIPTION + 1));
        shorten_description(&mut tool);
        assert_eq!(tool.description, Some("ü".repeat(LONGEST_DESCRIPTION)));
        shorten_description(&mut tool);
        assert_eq!(tool.description, None);
    }
}
