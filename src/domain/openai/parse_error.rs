//! Errors of parsing, which name the place and the problem.

use serde_json::error::Category;

/// The reason why a body is not a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// An empty body.
    #[error("the request body is empty: send a JSON object with `model` and `messages`")]
    Empty,
    /// Truncated or malformed JSON.
    #[error("the request body is not valid JSON: {reason}")]
    NotJson {
        /// The error with its line and column.
        reason: String,
    },
    /// JSON, but an array or a scalar.
    #[error("the request body must be a JSON object with `model` and `messages`, not {found}")]
    NotAnObject {
        /// The type that was found.
        found: &'static str,
    },
    /// A value has the wrong type, or lacks a part.
    #[error("`{param}`: {reason}")]
    WrongShape {
        /// The path to it, as `messages[0].role`.
        param: String,
        /// The value found and the value expected.
        reason: String,
    },
}

impl ParseError {
    /// The path to the value that is wrong, if it is one value.
    pub fn param(&self) -> Option<&str> {
        match self {
            Self::Empty | Self::NotJson { .. } | Self::NotAnObject { .. } => None,
            Self::WrongShape { param, .. } => Some(param),
        }
    }
}

/// Says where and what, without repeating what the client wrote: that may be long, and errors are logged.
pub(super) fn located(error: serde_path_to_error::Error<serde_json::Error>) -> ParseError {
    let path = error.path().to_string();
    let error = error.into_inner();
    if error.classify() != Category::Data {
        return ParseError::NotJson { reason: error.to_string() };
    }
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(&*text, |(what, _)| what);
    let within = |name: &str| match path.as_str() {
        "." => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    if let Some(name) = field_after("missing field `", what) {
        return ParseError::WrongShape { param: within(name), reason: "is missing".to_owned() };
    }
    if let Some(name) = field_after("duplicate field `", what) {
        return ParseError::WrongShape { param: within(name), reason: "is given twice".to_owned() };
    }
    let reason = match what.rsplit_once(", expected ") {
        Some((found, expected)) => {
            let found = match found.strip_prefix("invalid type: ").unwrap_or(found) {
                found if found.starts_with("string ") => "is a string",
                found if found.starts_with("unknown variant ") => "is not known",
                found if found.starts_with("map") => "is an object",
                found if found.starts_with("sequence") => "is an array",
                found if found.starts_with("null") => "is null",
                found if found.starts_with("boolean ") => "is a boolean",
                found if found.starts_with("integer ") => "is a number",
                found if found.starts_with("floating point ") => "is a number",
                _ => "is wrong",
            };
            let expected = match expected {
                "a sequence" => "an array",
                "a map" => "an object",
                "f64" => "a number",
                "i64" => "a whole number",
                expected => expected,
            };
            format!("{found}, expected {expected}")
        }
        None => what.to_owned(),
    };
    ParseError::WrongShape { param: path, reason }
}

/// The same for a value that was parsed alone, and stands at `place`.
pub(super) fn located_at(
    place: &str,
    error: serde_path_to_error::Error<serde_json::Error>,
) -> ParseError {
    match located(error) {
        ParseError::WrongShape { param, reason } if param == "." => {
            ParseError::WrongShape { param: place.to_owned(), reason }
        }
        ParseError::WrongShape { param, reason } => {
            let dot = if param.starts_with('[') { "" } else { "." };
            ParseError::WrongShape { param: format!("{place}{dot}{param}"), reason }
        }
        other => other,
    }
}

/// The name in a message of serde's such as "missing field `role`".
fn field_after<'a>(prefix: &str, message: &'a str) -> Option<&'a str> {
    message.strip_prefix(prefix).and_then(|rest| rest.strip_suffix('`'))
}
