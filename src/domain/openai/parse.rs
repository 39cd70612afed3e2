//! Parsing of a body.

use serde::de::IgnoredAny;

use super::{
    Request, normalize,
    parse_error::{ParseError, located},
};

impl Request {
    /// Reads a body. What stands in it in the form of another dialect is put into OpenAI's.
    pub fn parse(body: &[u8]) -> Result<Self, ParseError> {
        let not_json = |error: serde_json::Error| ParseError::NotJson { reason: error.to_string() };
        let found = match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
            None => return Err(ParseError::Empty),
            Some(b'{') => {
                let mut json = serde_json::Deserializer::from_slice(body);
                let read = serde_path_to_error::deserialize(&mut json)
                    .map_err(located)
                    .and_then(|request| json.end().map(|()| request).map_err(not_json));
                return match read {
                    Ok(request) if normalize::is_normal(&request) => Ok(request),
                    read => normalize::normalized(body).unwrap_or(read),
                };
            }
            Some(b'[') => "an array",
            Some(b'"') => "a string",
            Some(b'n') => "null",
            Some(b't' | b'f') => "a boolean",
            Some(_) => "a number",
        };
        serde_json::from_slice::<IgnoredAny>(body).map_err(not_json)?;
        Err(ParseError::NotAnObject { found })
    }
}
