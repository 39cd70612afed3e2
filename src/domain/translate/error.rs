//! Upstream's errors in OpenAI's words (`reference/anthropic-api.md` §9.4). The status is the server's business.

use crate::domain::{anthropic, openai};

/// An error of Anthropic's for an OpenAI client. Anthropic's explanation is kept. An error about the key that
/// Reprise uses says so, because the client's own key is not at fault.
pub fn error(body: &anthropic::ErrorBody) -> openai::Error {
    let anthropic::Error { kind, message, details: _ } = &body.error;
    let spent = body.error.is_spent_limit();
    let (kind, code, hint) = match kind.as_str() {
        _ if spent => ("insufficient_quota", Some("insufficient_quota"), None),
        "invalid_request_error" if message.starts_with("prompt is too long") => {
            ("invalid_request_error", Some("context_length_exceeded"), None)
        }
        "authentication_error" | "permission_error" | "billing_error" => {
            let hint = "this is about the Anthropic key that Reprise used";
            ("upstream_auth_error", Some("upstream_auth_error"), Some(hint))
        }
        "not_found_error" if message.starts_with("model:") => {
            let hint = "Claude has no such model, GET /v1/models lists those it has";
            ("invalid_request_error", Some("model_not_found"), Some(hint))
        }
        "invalid_request_error" | "not_found_error" => ("invalid_request_error", None, None),
        "request_too_large" => ("invalid_request_error", Some("request_too_large"), None),
        "rate_limit_error" => ("rate_limit_error", Some("rate_limit_exceeded"), None),
        "overloaded_error" => ("server_error", Some("server_is_overloaded"), None),
        "timeout_error" => ("server_error", Some("timeout"), None),
        _ => ("server_error", None, None),
    };
    let message = match hint {
        Some(hint) => format!("{message} ({hint})"),
        None if message.is_empty() => "upstream failed without saying why".to_owned(),
        None => message.clone(),
    };
    openai::Error { message, kind, param: None, code: code.map(str::to_owned) }
}
