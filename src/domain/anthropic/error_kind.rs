//! The `type` of Anthropic's errors, and the statuses of their responses.

/// Anthropic's error types and their statuses (`reference/anthropic-api.md` §4).
const ERROR_KINDS: [(u16, &str); 11] = [
    (400, "invalid_request_error"),
    (401, "authentication_error"),
    (402, "billing_error"),
    (403, "permission_error"),
    (404, "not_found_error"),
    (409, "conflict_error"),
    (413, "request_too_large"),
    (429, "rate_limit_error"),
    (500, API_ERROR),
    (504, "timeout_error"),
    (529, "overloaded_error"),
];
/// The type of errors of Anthropic's own.
const API_ERROR: &str = "api_error";
const INTERNAL: u16 = 500;
const CLIENT_ERRORS: std::ops::Range<u16> = 400..500;

/// The status of Anthropic's error responses, by the `type` of the error.
pub fn status_of(kind: &str) -> u16 {
    let found = ERROR_KINDS.iter().find(|(_, name)| *name == kind);
    found.map_or(INTERNAL, |(status, _)| *status)
}

/// The `type` of Anthropic's errors, by the status of the response.
pub fn kind_of(status: u16) -> &'static str {
    match ERROR_KINDS.iter().find(|(known, _)| *known == status) {
        Some((_, kind)) => kind,
        None if CLIENT_ERRORS.contains(&status) => "invalid_request_error",
        None => API_ERROR,
    }
}

/// The types of Anthropic's errors.
pub fn error_kinds() -> impl Iterator<Item = &'static str> {
    ERROR_KINDS.iter().map(|(_, kind)| *kind)
}
