//! Vocabulary of JSON Schema draft 2020-12: the keywords whose values are schemas (with those of older drafts), the
//! types, and the annotations.

/// Keywords whose value is one schema.
pub(in crate::domain::translate) const SCHEMA: [&str; 13] = [
    "items",
    "additionalItems",
    "contains",
    "additionalProperties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
    "not",
    "if",
    "then",
    "else",
    "extends",
];
/// Keywords whose value is a list of schemas.
pub(in crate::domain::translate) const LISTS: [&str; 4] =
    ["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords whose value maps names to schemas.
pub(in crate::domain::translate) const MAPS: [&str; 5] =
    ["properties", "patternProperties", "dependentSchemas", "$defs", "definitions"];

/// The types that JSON Schema has.
pub(in crate::domain::translate) const KINDS: [&str; 7] =
    ["object", "array", "string", "number", "integer", "boolean", "null"];

/// Keywords that describe the value without restricting it.
pub(in crate::domain::translate) const ANNOTATIONS: [&str; 8] = [
    "title",
    "description",
    "default",
    "example",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
];
