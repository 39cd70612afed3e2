//! JSON schemas within the subset that Anthropic enforces (`reference/anthropic-api.md` §1.4).
//!
//! Keywords that only narrow a value (`minimum`, `maxLength`, …) and are not in the subset are moved to the description,
//! as Anthropic's own SDKs do. A schema that the subset cannot express is [`Unsupported`], and the caller adds a note.

mod draft;
pub(super) mod keywords;
mod link;
mod merge;
mod object;
mod places;
mod references;
mod valid;
mod weight;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use self::keywords::ANNOTATIONS;
pub(super) use self::{
    draft::valid,
    link::link,
    references::{References, all},
    valid::Changes,
    weight::weight,
};

/// A schema within the subset, and its use of the allowance.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RestrictedSchema {
    pub(super) schema: Value,
    /// Properties that need not be there.
    optional: usize,
    /// Places that take values of several types.
    unions: usize,
    /// True if keywords were moved to descriptions.
    described: bool,
    /// True if an object that allowed any property was closed.
    closed: bool,
}

impl RestrictedSchema {
    /// Texts of notes about the changes.
    pub(super) fn changes(&self) -> impl Iterator<Item = &'static str> {
        let described = "keywords that cannot be enforced are moved to the descriptions";
        let closed = "objects are restricted to the properties that are named";
        [(self.described, described), (self.closed, closed)]
            .into_iter()
            .filter_map(|(changed, what)| changed.then_some(what))
    }
}

/// The reason why a schema cannot be enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unsupported {
    #[error("it is recursive")]
    Recursive,
    #[error("it refers to another document")]
    External,
    #[error("a reference in it leads nowhere")]
    Dangling,
    #[error("it has a place where any value fits")]
    Anything,
    #[error("it has an object whose keys are not named")]
    Map,
    #[error("it has an array whose items differ by their place")]
    Tuple,
    #[error("it uses `{0}`")]
    Keyword(&'static str),
    #[error("it demands several things of one place that cannot be written as one")]
    Combination,
    #[error("it is not a valid JSON schema")]
    Malformed,
    #[error("it is too large")]
    Large,
    #[error("its parameters are a choice among several objects")]
    Choice,
    #[error("the request would have more than {MOST_OPTIONAL} optional properties")]
    Optional,
    #[error("the request would have more than {MOST_UNIONS} properties of several types")]
    Unions,
    #[error("the request would have more than {MOST_STRICT_TOOLS} strict tools")]
    StrictTools,
}

/// Limits for all schemas of a request together (§1.4 "Limits").
const MOST_OPTIONAL: usize = 24;
const MOST_UNIONS: usize = 16;
const MOST_STRICT_TOOLS: usize = 20;
/// Maximum number of positions: inlined definitions can multiply.
const MOST_PLACES: usize = 5000;
/// Maximum weight of the copies that rewriting one schema makes: each reference makes one of all that it leads to.
const MOST_COPIED: usize = 1_000_000;
/// Maximum number of positions of all schemas of a request, those that cannot be enforced included.
const MOST_PLACES_OF_ALL: usize = 22 * MOST_PLACES;
/// Maximum depth, which bounds the stack. Anthropic does not compile deeper schemas either.
const DEEPEST: usize = 64;

/// The common allowance of all schemas of a request, and its use so far.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    optional: usize,
    unions: usize,
    tools: usize,
    /// Positions that were looked at.
    places: usize,
    /// Weight of what was copied to merge alternatives.
    pub(super) merged: usize,
}

impl Allowance {
    /// The schema of the answer, which comes before those of tools.
    pub(super) fn format(&mut self, schema: &Value) -> Result<RestrictedSchema, Unsupported> {
        let restricted = self.restrict(schema)?;
        self.take(&restricted)?;
        Ok(restricted)
    }

    /// The parameters of a strict tool: an object, not a choice among several (§1.5).
    pub(super) fn tool(&mut self, schema: &Value) -> Result<RestrictedSchema, Unsupported> {
        let restricted = self.restrict(schema)?;
        if restricted.schema["type"] != "object" {
            return Err(Unsupported::Choice);
        }
        if self.tools == MOST_STRICT_TOOLS {
            return Err(Unsupported::StrictTools);
        }
        self.take(&restricted)?;
        self.tools += 1;
        Ok(restricted)
    }

    fn restrict(&mut self, schema: &Value) -> Result<RestrictedSchema, Unsupported> {
        if self.places > MOST_PLACES_OF_ALL {
            return Err(Unsupported::Large);
        }
        let (restricted, places) = restrict(schema);
        self.places += places;
        restricted
    }

    fn take(&mut self, restricted: &RestrictedSchema) -> Result<(), Unsupported> {
        let (optional, unions) =
            (self.optional + restricted.optional, self.unions + restricted.unions);
        if optional > MOST_OPTIONAL {
            return Err(Unsupported::Optional);
        }
        if unions > MOST_UNIONS {
            return Err(Unsupported::Unions);
        }
        (self.optional, self.unions) = (optional, unions);
        Ok(())
    }
}

/// The schema within the subset, whose keys keep their order, and the number of positions that were looked at.
fn restrict(schema: &Value) -> (Result<RestrictedSchema, Unsupported>, usize) {
    let mut rewriter = Rewriter {
        references: References::of(schema),
        done: BTreeMap::new(),
        active: vec!["#".to_owned()],
        places: 0,
        copied: 0,
        depth: 0,
        optional: 0,
        unions: 0,
        described: false,
        closed: false,
    };
    // A root that is only a reference is written out: tools need an object there.
    let root = match schema {
        Value::Object(root) if root.contains_key("$ref") => rewriter.written_out(root),
        other => rewriter.place(other),
    };
    let restricted = root.map(|mut root| {
        if let Some(root) = root.as_object_mut() {
            for list in references::LISTS {
                let definitions = rewriter.references.in_order(list, &rewriter.done);
                if !definitions.is_empty() {
                    root.insert(list.to_owned(), Value::Object(definitions));
                }
            }
        }
        let Rewriter { optional, unions, described, closed, .. } = rewriter;
        RestrictedSchema { schema: root, optional, unions, described, closed }
    });
    (restricted, rewriter.places)
}

/// The state of rewriting one schema.
struct Rewriter<'a> {
    references: References<'a>,
    /// The definitions that are used, rewritten; by their pointer.
    done: BTreeMap<String, Value>,
    /// Pointers to what is being rewritten: who meets one of them again goes round in circles.
    active: Vec<String>,
    places: usize,
    /// The weight of all copies.
    copied: usize,
    depth: usize,
    optional: usize,
    unions: usize,
    described: bool,
    closed: bool,
}

/// Keywords about the schema, not the value; dropped.
const SILENT: [&str; 9] = [
    "$schema",
    "$id",
    "$anchor",
    "$comment",
    "$vocabulary",
    "$defs",
    "definitions",
    "discriminator",
    "unevaluatedProperties",
];
/// Keywords that cannot be dropped or put into words.
const REFUSED: [&str; 8] = [
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "dependencies",
    "$dynamicRef",
    "$recursiveRef",
];

impl Rewriter<'_> {
    /// Rewrites a schema at any position.
    fn place(&mut self, given: &Value) -> Result<Value, Unsupported> {
        let given = match given {
            Value::Object(given) => given,
            Value::Bool(true) => return Err(Unsupported::Anything),
            Value::Bool(false) => return Err(Unsupported::Combination),
            _ => return Err(Unsupported::Malformed),
        };
        let Some(pointer) = references::definition(given) else {
            return self.written_out(given);
        };
        if self.active.contains(&pointer) {
            return Err(Unsupported::Recursive);
        }
        if !self.done.contains_key(&pointer) {
            let target = self.references.find(&pointer)?;
            let target = self.copy(target)?;
            self.active.push(pointer.clone());
            let definition = self.place(&target)?;
            self.active.pop();
            self.done.insert(pointer.clone(), definition);
        }
        Ok(json!({"$ref": pointer}))
    }

    /// A copy, as long as there are not too many.
    fn copy(&mut self, value: &Value) -> Result<Value, Unsupported> {
        let weight = weight(value, MOST_COPIED - self.copied).ok_or(Unsupported::Large)?;
        self.copied += weight;
        Ok(value.clone())
    }

    /// A schema with the targets of its own references inlined.
    fn written_out(&mut self, given: &Map<String, Value>) -> Result<Value, Unsupported> {
        self.places += 1;
        self.depth += 1;
        if self.places > MOST_PLACES || self.depth > DEEPEST {
            return Err(Unsupported::Large);
        }
        let outside = self.active.len();
        let mut used = Vec::new();
        let flat = self.flat(given, &mut used)?;
        self.active.append(&mut used);
        let rewritten = self.flat_place(flat)?;
        self.active.truncate(outside);
        self.depth -= 1;
        Ok(rewritten)
    }

    /// One schema out of `$ref`, `allOf` and what stands beside them; what was referred to is added to `used`.
    fn flat(
        &mut self,
        given: &Map<String, Value>,
        used: &mut Vec<String>,
    ) -> Result<Map<String, Value>, Unsupported> {
        self.places += 1;
        let outside = self.active.len();
        if self.places > MOST_PLACES || outside > DEEPEST {
            return Err(Unsupported::Large);
        }
        let mut flat = Map::new();
        for (keyword, value) in given {
            if !SILENT.contains(&keyword.as_str()) {
                flat.insert(keyword.clone(), self.copy(value)?);
            }
        }
        let mut parts = match flat.shift_remove("allOf") {
            None => Vec::new(),
            Some(Value::Array(parts)) => parts,
            Some(_) => return Err(Unsupported::Malformed),
        };
        match flat.shift_remove("$ref") {
            None => {}
            Some(Value::String(pointer)) => {
                if self.active.contains(&pointer) {
                    return Err(Unsupported::Recursive);
                }
                let target = self.references.find(&pointer)?;
                parts.insert(0, self.copy(target)?);
                used.push(pointer.clone());
                self.active.push(pointer);
            }
            Some(_) => return Err(Unsupported::Malformed),
        }
        for part in parts {
            match part {
                Value::Object(part) => {
                    let part = self.flat(&part, used)?;
                    merge::into(&mut flat, part)?;
                }
                Value::Bool(true) => {}
                Value::Bool(false) => return Err(Unsupported::Combination),
                _ => return Err(Unsupported::Malformed),
            }
        }
        self.active.truncate(outside);
        Ok(flat)
    }

    fn flat_place(&mut self, mut flat: Map<String, Value>) -> Result<Value, Unsupported> {
        if let Some(keyword) = REFUSED.into_iter().find(|keyword| flat.contains_key(*keyword)) {
            return Err(Unsupported::Keyword(keyword));
        }
        let nullable = flat.shift_remove("nullable") == Some(Value::Bool(true));
        match (flat.shift_remove("anyOf"), flat.shift_remove("oneOf")) {
            (None, None) => self.value(flat, nullable),
            (Some(Value::Array(variants)), None) | (None, Some(Value::Array(variants)))
                if !variants.is_empty() =>
            {
                self.variants(flat, variants, nullable)
            }
            (Some(_), Some(_)) => Err(Unsupported::Combination),
            _ => Err(Unsupported::Malformed),
        }
    }

    /// A choice among schemas. What stands beside it holds for each of them.
    fn variants(
        &mut self,
        beside: Map<String, Value>,
        variants: Vec<Value>,
        nullable: bool,
    ) -> Result<Value, Unsupported> {
        self.unions += 1;
        let (annotations, rules): (Map<_, _>, Map<_, _>) =
            beside.into_iter().partition(|(keyword, _)| ANNOTATIONS.contains(&keyword.as_str()));
        let mut any_of = Vec::with_capacity(variants.len() + 1);
        for variant in variants {
            any_of.push(if rules.is_empty() {
                self.place(&variant)?
            } else {
                let mut both = Map::new();
                for (keyword, value) in &rules {
                    both.insert(keyword.clone(), self.copy(value)?);
                }
                both.insert("allOf".to_owned(), json!([variant]));
                self.written_out(&both)?
            });
        }
        let null = json!({"type": "null"});
        if nullable && !any_of.contains(&null) {
            any_of.push(null);
        }
        let mut place = Map::new();
        let mut described = Vec::new();
        for (keyword, value) in annotations {
            annotate(&mut place, keyword, value, &mut described);
        }
        place.insert("anyOf".to_owned(), Value::Array(any_of));
        Ok(self.describe(place, &described))
    }

    /// Adds the keywords that cannot be enforced to the description.
    fn describe(&mut self, mut place: Map<String, Value>, described: &[String]) -> Value {
        self.described |= !described.is_empty();
        describe(&mut place, described);
        Value::Object(place)
    }
}

/// Adds keywords with their values to the description: `{minimum: 0, maximum: 9}`.
pub(super) fn describe(schema: &mut Map<String, Value>, keywords: &[String]) {
    if keywords.is_empty() {
        return;
    }
    let words = format!("{{{}}}", keywords.join(", "));
    let text = match schema.get("description").and_then(Value::as_str) {
        Some(given) => format!("{given}\n\n{words}"),
        None => words,
    };
    schema.insert("description".to_owned(), Value::String(text));
}

/// Inserts an annotation, or adds it to `described`, the texts for the description.
fn annotate(
    place: &mut Map<String, Value>,
    keyword: String,
    value: Value,
    described: &mut Vec<String>,
) {
    match keyword.as_str() {
        "title" | "description" if value.is_string() => {
            place.insert(keyword, value);
        }
        "default" => {
            place.insert(keyword, value);
        }
        "description" | "title" => {}
        _ => described.push(format!("{keyword}: {value}")),
    }
}
