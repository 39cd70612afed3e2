//! Schemas of any origin as JSON Schema draft 2020-12, which is all that Anthropic accepts for tools
//! (`reference/anthropic-api.md` §1.5).
//!
//! A valid schema stays as it is, to the byte. In another one the faults are mended at every depth: forms of older
//! drafts and of `OpenAPI` are written in today's, and keywords that cannot be are moved to the description.

use serde_json::Value;

use super::{
    describe,
    link::link,
    places,
    valid::{BANS, Changes, is_open, mend, words},
};

/// Maximum depth of the JSON, so that the request around it can be read again.
const DEEPEST_JSON: usize = 123;

/// The schema that says what the given one does, as far as draft 2020-12 can say it.
pub(in crate::domain::translate) fn valid(given: &Value, changes: &mut Changes) -> Value {
    let mut schema = given.clone();
    mend(&mut schema, changes);
    link(&mut schema, given, changes);
    lift_bans(&mut schema, changes);
    shorten(&mut schema, changes);
    if changes.iter().next().is_some()
        && let Value::Object(root) = &mut schema
        && let Some(Value::String(draft)) = root.get("$schema")
        && !draft.contains("2020-12")
    {
        root.shift_remove("$schema");
    }
    schema
}

/// Removes each `not` of a schema that was opened, such as a reference that leads nowhere: it would forbid everything.
fn lift_bans(schema: &mut Value, changes: &mut Changes) {
    if changes.iter().next().is_none() {
        return;
    }
    let mut lifted = false;
    places::each_mut(schema, 1, &mut |schema, _| {
        if schema.get("not").is_some_and(|ban| ban.is_object() && is_open(ban))
            && let Some(ban) = schema.shift_remove("not")
        {
            describe(schema, &[words("not", &ban)]);
            lifted = true;
        }
    });
    if lifted {
        changes.add(BANS);
    }
}

/// Opens the schemas that are too deep in the JSON. Mending adds to the depth.
fn shorten(schema: &mut Value, changes: &mut Changes) {
    if depth(schema) > DEEPEST_JSON {
        changes.add("schemas below the greatest depth are opened");
        places::each_mut(schema, 1, &mut |schema, above| {
            schema.retain(|keyword, value| {
                let inner = if places::holds_schemas(keyword) { 2 } else { depth(value) };
                above + inner <= DEEPEST_JSON
            });
        });
    }
}

/// Levels of arrays and objects.
fn depth(value: &Value) -> usize {
    let inner = match value {
        Value::Array(list) => list.iter().map(depth).max(),
        Value::Object(map) => map.values().map(depth).max(),
        _ => return 0,
    };
    1 + inner.unwrap_or_default()
}
