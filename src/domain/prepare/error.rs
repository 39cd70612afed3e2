//! Errors of preparation, with their form in both dialects.

use super::caller::InvalidId;
use crate::domain::{anthropic, openai, translate};

/// The reason why a request cannot be prepared. The client has to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// The body is no chat completion.
    #[error(transparent)]
    Chat(#[from] openai::ParseError),
    /// The body is no message request.
    #[error(transparent)]
    Messages(#[from] anthropic::NativeError),
    /// The chat completion cannot be translated.
    #[error(transparent)]
    Translation(#[from] translate::Error),
    /// The user that the body names has an id that cannot be kept.
    #[error("{field} {invalid}")]
    User {
        /// The field that names the user.
        field: &'static str,
        /// The reason.
        invalid: InvalidId,
    },
}

impl PrepareError {
    /// The error as OpenAI's clients read it.
    pub fn openai(&self) -> openai::Error {
        let (param, code) = match self {
            Self::Chat(error) => (error.param(), None),
            Self::Messages(_) => (None, None),
            Self::Translation(error) => (Some(error.param()), Some(error.code())),
            Self::User { field, .. } => (Some(*field), None),
        };
        openai::Error {
            message: self.to_string(),
            kind: "invalid_request_error",
            param: param.map(str::to_owned),
            code: code.map(str::to_owned),
        }
    }

    /// The error as Anthropic's clients read it.
    pub fn anthropic(&self) -> anthropic::Error {
        anthropic::Error {
            kind: "invalid_request_error".to_owned(),
            message: self.to_string(),
            details: None,
        }
    }
}
