//! References from one place of a schema to another.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{Unsupported, places};

/// Keywords that hold a schema's definitions: the current one and the old one.
pub(super) const LISTS: [&str; 2] = ["$defs", "definitions"];

/// The schema that references lead into.
pub(in crate::domain::translate) struct References<'a> {
    root: &'a Value,
    /// Places by the name of their anchor.
    anchors: BTreeMap<&'a str, Vec<String>>,
    /// Places by their address.
    ids: BTreeMap<&'a str, Vec<String>>,
    /// Places by references that are relative to an address within the schema.
    local: BTreeMap<&'a str, Vec<String>>,
    /// True if names are given twice, or references beside such an address do not lead into its place.
    is_ambiguous: bool,
}

/// The place that a reference means.
pub(super) struct Target {
    /// The names on the way from the root.
    pub(super) path: Vec<String>,
    /// True if every reader understands the reference so.
    pub(super) is_exact: bool,
}

impl<'a> References<'a> {
    /// References into `root`.
    pub(in crate::domain::translate) fn of(root: &'a Value) -> Self {
        let (mut anchors, mut ids) = (BTreeMap::new(), BTreeMap::new());
        let mut is_ambiguous = false;
        // References that are relative to the address of the place at a path.
        let mut relative: Vec<(Vec<String>, &str)> = Vec::new();
        let mut addressed: Option<Vec<String>> = None;
        places::each(root, &mut |path, schema| {
            let named = |keyword: &str| schema.get(keyword).and_then(Value::as_str);
            let path = || path.iter().map(ToString::to_string).collect::<Vec<String>>();
            for name in ["$anchor", "$dynamicAnchor"].into_iter().filter_map(named) {
                is_ambiguous |= anchors.insert(name, path()).is_some_and(|other| other != path());
            }
            for id in ["$id", "id"].into_iter().filter_map(named) {
                // An old form of an anchor.
                if let Some(name) = id.strip_prefix('#').filter(|name| !name.is_empty()) {
                    anchors.entry(name).or_insert_with(path);
                } else if !id.is_empty() {
                    ids.entry(id.trim_end_matches('#')).or_insert_with(path);
                }
            }
            if schema.contains_key("$id") {
                addressed = Some(path()).filter(|path| !path.is_empty());
            } else if addressed.as_ref().is_some_and(|above| !path().starts_with(above)) {
                addressed = None;
            }
            if let Some(above) = &addressed {
                let references = KEYWORDS.into_iter().filter_map(named);
                let inside = references.filter(|reference| reference.starts_with('#'));
                relative.extend(inside.map(|reference| (above.clone(), reference)));
            }
        });
        let mut references = Self { root, anchors, ids, local: BTreeMap::new(), is_ambiguous };
        for (above, reference) in relative {
            match references.path(reference) {
                Some(path) if reference.starts_with("#/") || reference == "#" => {
                    let path: Vec<String> = above.into_iter().chain(path).collect();
                    if places::is_place(root, &path) {
                        references.local.insert(reference, path);
                    } else {
                        references.is_ambiguous = true;
                    }
                }
                Some(_) => {}
                None => references.is_ambiguous = true,
            }
        }
        references
    }

    /// The schema that a reference means.
    pub(in crate::domain::translate) fn find(
        &self,
        reference: &str,
    ) -> Result<&'a Value, Unsupported> {
        let is_inside = reference.starts_with('#');
        let missing = if is_inside { Unsupported::Dangling } else { Unsupported::External };
        let found = self.path(reference).and_then(|path| at(self.root, &path));
        let local = || self.local.get(reference).and_then(|path| at(self.root, path));
        found.or_else(local).ok_or(missing)
    }

    /// The place that a reference means, in this schema or in `given`, the schema that it was made of.
    pub(super) fn target(&self, reference: &str, given: &Value) -> Option<Target> {
        let exists = |path: &Vec<String>| {
            places::is_place(self.root, path) || at(given, path).is_some_and(is_schema)
        };
        let local = self.local.get(reference).cloned();
        let root = self.path(reference).filter(exists);
        let own = if self.is_ambiguous { root.or(local) } else { local.or(root) };
        if let Some(path) = own {
            return Some(Target { path, is_exact: true });
        }
        // Without the sign, and by the name of a definition alone.
        let bare = reference.trim_start_matches(['#', '/']);
        if bare.is_empty() {
            return None;
        }
        let paths = ["", "$defs/", "definitions/", "components/schemas/"]
            .map(|before| format!("#/{before}{bare}"));
        let path = paths.iter().filter_map(|reference| self.path(reference)).find(exists)?;
        Some(Target { path, is_exact: false })
    }

    fn path(&self, reference: &str) -> Option<Vec<String>> {
        let (document, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let mut path = match document {
            "" => Vec::new(),
            id => self.ids.get(id)?.clone(),
        };
        let fragment = unescaped(fragment)?;
        match fragment.strip_prefix('/') {
            Some(pointer) => path
                .extend(pointer.split('/').map(|name| name.replace("~1", "/").replace("~0", "~"))),
            None if fragment.is_empty() => {}
            None => path.clone_from(self.anchors.get(fragment.as_str())?),
        }
        Some(path)
    }

    /// True if names do not lead to one place each by all readers.
    pub(super) const fn is_ambiguous(&self) -> bool {
        self.is_ambiguous
    }

    /// The definitions under the keyword `list` that are in `done` (by pointer), in their order.
    pub(super) fn in_order(
        &self,
        list: &str,
        done: &BTreeMap<String, Value>,
    ) -> Map<String, Value> {
        let given = self.root.get(list).and_then(Value::as_object);
        let names = given.into_iter().flat_map(Map::keys);
        names
            .filter_map(|name| {
                let schema = done.get(&format!("#/{list}/{name}"))?;
                Some((name.clone(), schema.clone()))
            })
            .collect()
    }
}

fn is_schema(value: &Value) -> bool {
    value.is_object() || value.is_boolean()
}

/// The value at a path.
pub(super) fn at<'a>(root: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(root, |value, name| match value {
        Value::Object(map) => map.get(name),
        Value::Array(list) => list.get(name.parse::<usize>().ok()?),
        _ => None,
    })
}

/// The reference to a path from the root.
pub(super) fn pointer(path: &[String]) -> String {
    let mut pointer = "#".to_owned();
    for name in path {
        pointer.push('/');
        for byte in name.replace('~', "~0").replace('/', "~1").bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte) {
                pointer.push(char::from(byte));
            } else {
                const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
                let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
                pointer.extend(['%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
    pointer
}

/// A fragment without its escapes.
fn unescaped(fragment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = after
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).ok()
}

/// The references of a schema, at every depth.
pub(in crate::domain::translate) fn all(schema: &Value) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    places::each(schema, &mut |_, schema| {
        for keyword in KEYWORDS {
            all.extend(schema.get(keyword).and_then(Value::as_str).map(str::to_owned));
        }
    });
    all
}

/// Keywords whose value is a reference.
pub(super) const KEYWORDS: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

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
