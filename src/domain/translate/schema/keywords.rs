//! Keywords of JSON Schema draft 2020-12 (and `definitions`, `additionalItems`) whose values are schemas.

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
