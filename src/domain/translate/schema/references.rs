//! References from one place of a schema to another.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Unsupported;

/// Keywords that hold a schema's definitions: the current one and the old one.
pub(super) const LISTS: [&str; 2] = ["$defs", "definitions"];

/// The schema that references lead into.
pub(super) struct References<'a>(&'a Value);

impl<'a> References<'a> {
    /// References into `root`.
    pub(super) const fn of(root: &'a Value) -> Self {
        Self(root)
    }

    /// The schema at `pointer`.
    pub(super) fn find(&self, pointer: &str) -> Result<&'a Value, Unsupported> {
        let inside = pointer.strip_prefix('#').ok_or(Unsupported::External)?;
        self.0.pointer(inside).ok_or(Unsupported::Dangling)
    }

    /// The definitions under the keyword `list` that are in `done` (by pointer), in their order.
    pub(super) fn in_order(
        &self,
        list: &str,
        done: &BTreeMap<String, Value>,
    ) -> Map<String, Value> {
        let given = self.0.get(list).and_then(Value::as_object);
        let names = given.into_iter().flat_map(Map::keys);
        names
            .filter_map(|name| {
                let schema = done.get(&format!("#/{list}/{name}"))?;
                Some((name.clone(), schema.clone()))
            })
            .collect()
    }
}

/// The pointer to a definition, if that is all that the schema says: then it can stay a reference.
pub(super) fn definition(schema: &Map<String, Value>) -> Option<String> {
    let pointer = schema.get("$ref")?.as_str()?;
    let alone = schema.keys().all(|keyword| matches!(keyword.as_str(), "$ref" | "title"));
    let named = LISTS.into_iter().any(|list| {
        let name = pointer.strip_prefix("#/").and_then(|rest| rest.strip_prefix(list));
        let name = name.and_then(|rest| rest.strip_prefix('/'));
        // Other names would be escaped, one way or another.
        let plain = |name: &str| {
            name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        };
        name.is_some_and(|name| !name.is_empty() && plain(name))
    });
    (alone && named).then(|| pointer.to_owned())
}
