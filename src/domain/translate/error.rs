//! Upstream's errors in OpenAI's form, as sentences on which a person can act (`reference/anthropic-api.md` §9.4). The
//! status is the server's business.

use std::time::Duration;

use crate::domain::{anthropic, openai};

/// The tries of a request that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tried {
    /// Number of tries.
    pub tries: u32,
    /// The time after which upstream wants to be asked again, if it says so.
    pub wait: Option<Duration>,
}

/// An error of Anthropic's for an OpenAI client: who failed, Anthropic's explanation, how often it was tried, and when to
/// try again. An error about the key that Reprise uses says so, because the client's own key is not at fault.
pub fn error(body: &anthropic::ErrorBody, tried: Tried) -> openai::Error {
    let anthropic::Error { kind, message, details: _ } = &body.error;
    let spent = body.error.is_spent_limit();
    // Credits that are used up have the type of an invalid request.
    let is_about_key = message.starts_with("Your credit balance is too low")
        || matches!(kind.as_str(), "authentication_error" | "permission_error" | "billing_error");
    let (what, kind, code, hint) = match kind.as_str() {
        _ if spent => {
            let hint = "the limit is set in Anthropic's console";
            let quota = "insufficient_quota";
            ("Anthropic's spend limit is reached", quota, Some(quota), Some(hint))
        }
        "invalid_request_error" if message.starts_with("prompt is too long") => {
            let code = Some("context_length_exceeded");
            ("Anthropic refused the request", "invalid_request_error", code, None)
        }
        _ if is_about_key => {
            let hint = "this is about the Anthropic key that Reprise used";
            let kind = "upstream_auth_error";
            ("Anthropic refused the request", kind, Some(kind), Some(hint))
        }
        "not_found_error" if message.starts_with("model:") => {
            let hint = "Claude has no such model, GET /v1/models lists those it has";
            let code = Some("model_not_found");
            ("Anthropic refused the request", "invalid_request_error", code, Some(hint))
        }
        "invalid_request_error" | "not_found_error" => {
            ("Anthropic refused the request", "invalid_request_error", None, None)
        }
        "request_too_large" => {
            let what = "Anthropic takes no request as large as this";
            (what, "invalid_request_error", Some("request_too_large"), None)
        }
        "rate_limit_error" => {
            let what = "Anthropic's rate limit is reached";
            (what, "rate_limit_error", Some("rate_limit_exceeded"), None)
        }
        "overloaded_error" => {
            ("Anthropic is overloaded", "server_error", Some("server_is_overloaded"), None)
        }
        "timeout_error" => ("Anthropic took too long", "server_error", Some("timeout"), None),
        _ => ("Anthropic failed", "server_error", None, None),
    };
    let is_transient = matches!(kind, "server_error" | "rate_limit_error");
    let message = sentence(what, message, hint, tried, is_transient);
    openai::Error { message, kind, param: None, code: code.map(str::to_owned) }
}

fn sentence(
    what: &str,
    message: &str,
    hint: Option<&str>,
    Tried { tries, wait }: Tried,
    is_transient: bool,
) -> String {
    let mut text = what.to_owned();
    let message = message.trim();
    // "Overloaded" says nothing more.
    if !message.is_empty() && !what.to_lowercase().ends_with(&message.to_lowercase()) {
        text.extend([": ", message]);
    }
    let mut more = String::new();
    if let Some(hint) = hint {
        more.extend([" (", hint, ")"]);
    }
    if tries > 1 {
        more.extend([" (tried ", &tries.to_string(), " times)"]);
    }
    match wait.map(in_words) {
        _ if !is_transient => {}
        Some(wait) => more.extend(["; try again in ", &wait]),
        None => more.push_str("; try again in a moment"),
    }
    match (text.strip_suffix('.'), &*more) {
        (_, "") | (None, _) => text + &more,
        (Some(text), more) => format!("{text}{more}"),
    }
}

/// A time to wait, rounded up.
fn in_words(wait: Duration) -> String {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    match seconds {
        0..120 => format!("{} s", seconds.max(1)),
        120..7200 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h", seconds.div_ceil(3600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_reads_who_failed_and_when_to_try_again() {
        let told = |kind: &str, message: &str, tries, wait: Option<u64>| {
            let (kind, message) = (kind.to_owned(), message.to_owned());
            let error = anthropic::Error { kind, message, ..Default::default() };
            let body = anthropic::ErrorBody { error, ..Default::default() };
            super::error(&body, Tried { tries, wait: wait.map(Duration::from_secs) }).message
        };
        for (kind, message, tries, wait, expected) in [
            (
                "overloaded_error",
                "Overloaded",
                3,
                None,
                "Anthropic is overloaded (tried 3 times); try again in a moment",
            ),
            (
                "rate_limit_error",
                "This request would exceed your limit.",
                1,
                Some(60),
                "Anthropic's rate limit is reached: This request would exceed your limit; try again in 60 s",
            ),
            (
                "rate_limit_error",
                "",
                1,
                Some(5000),
                "Anthropic's rate limit is reached; try again in 84 min",
            ),
            ("api_error", "", 2, Some(0), "Anthropic failed (tried 2 times); try again in 1 s"),
            (
                "invalid_request_error",
                "messages: at least one message is required",
                1,
                None,
                "Anthropic refused the request: messages: at least one message is required",
            ),
            (
                "authentication_error",
                "invalid x-api-key",
                1,
                None,
                "Anthropic refused the request: invalid x-api-key (this is about the Anthropic key that Reprise used)",
            ),
            (
                "invalid_request_error",
                "Your credit balance is too low to access the Anthropic API.",
                1,
                None,
                "Anthropic refused the request: Your credit balance is too low to access the Anthropic API (this is about the Anthropic key that Reprise used)",
            ),
            (
                "request_too_large",
                "Request exceeds the maximum size",
                1,
                None,
                "Anthropic takes no request as large as this: Request exceeds the maximum size",
            ),
        ] {
            assert_eq!(told(kind, message, tries, wait), expected);
        }
    }
}
