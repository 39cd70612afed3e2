//! `fallbacks`: the models that may answer where Claude's safeguards decline. Anthropic's own parameter; other programs
//! write a list of names.

use serde_json::{Map, Value, json};

use super::note::Notes;

/// The beta that knows the parameter, with `"default"` and with a list.
pub(super) const FALLBACK_BETA: &str = "server-side-fallback-2026-07-01";
/// Limit on the models of a list.
const MOST_FALLBACKS: usize = 3;
/// The parameters that a model of the list may have for itself.
const OVERRIDES: [&str; 4] = ["max_tokens", "thinking", "output_config", "speed"];

const FIELD: &str = "fallbacks";

/// The parameter as Anthropic takes it. `name` writes the name of a model as Anthropic does.
pub(super) fn fallbacks(
    given: Option<&Value>,
    model: &str,
    name: impl Fn(&str) -> Option<String>,
    notes: &mut Notes,
) -> Option<Value> {
    let given = match given? {
        Value::Null => return None,
        Value::String(text) if text == "default" => return Some(json!(text)),
        Value::Array(given) => given,
        _ => {
            notes.add(FIELD, "is left out, because it is neither \"default\" nor a list of models");
            return None;
        }
    };
    let mut fallbacks: Vec<Value> = Vec::new();
    for entry in given {
        let (named, overrides) = match entry {
            Value::String(named) => (Some(&**named), None),
            Value::Object(entry) => (entry.get("model").and_then(Value::as_str), Some(entry)),
            _ => (None, None),
        };
        let Some(named) = named.and_then(&name) else {
            notes.once(|| FIELD.to_owned(), "entries that name no model are left out");
            continue;
        };
        if named == model || fallbacks.iter().any(|before| before["model"] == *named) {
            notes.once(|| FIELD.to_owned(), "models that are named before are left out");
            continue;
        }
        if fallbacks.len() == MOST_FALLBACKS {
            notes.once(|| FIELD.to_owned(), "models after the third are left out");
            break;
        }
        let mut fallback = Map::new();
        fallback.insert("model".to_owned(), named.into());
        for (field, value) in overrides.into_iter().flatten() {
            if OVERRIDES.contains(&&**field) {
                fallback.insert(field.clone(), value.clone());
            } else if field != "model" {
                notes.once(|| FIELD.to_owned(), "unknown parameters of its models are left out");
            }
        }
        fallbacks.push(Value::Object(fallback));
    }
    (!fallbacks.is_empty()).then(|| Value::Array(fallbacks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_anthropic_takes_is_passed_on_and_the_rest_is_noted() {
        let name = |name: &str| (!name.is_empty()).then(|| name.replace('.', "-"));
        let all = json!({"model": "e", "max_tokens": 5, "thinking": null, "other": 1});
        for (given, expected, noted) in [
            (json!(null), None, 0),
            (json!("default"), Some(json!("default")), 0),
            (json!("claude-opus-4-8"), None, 1),
            (json!([]), None, 0),
            (json!(["a.1", {"model": "b"}]), Some(json!([{"model": "a-1"}, {"model": "b"}])), 0),
            (json!(["m", "a", "a"]), Some(json!([{"model": "a"}])), 1),
            (
                json!(["a", "b", "c", "d"]),
                Some(json!([{"model": "a"}, {"model": "b"}, {"model": "c"}])),
                1,
            ),
            (json!([{"gpt-4": ["a"]}, 5, ""]), None, 1),
            (json!([all]), Some(json!([{"model": "e", "max_tokens": 5, "thinking": null}])), 1),
        ] {
            let mut notes = Notes::default();
            let fallbacks = fallbacks(Some(&given), "m", name, &mut notes);
            assert_eq!((fallbacks, notes.into_vec().len()), (expected, noted), "{given}");
        }
    }
}
