//! Paths as clients write them.

use axum::extract::Request;
use http::uri::{PathAndQuery, Uri};

/// Resources of the two APIs, whose clients are configured with a base URL and may get it wrong.
const RESOURCES: [&str; 3] = ["chat", "messages", "models"];

/// Rewrites a request's path to the one that is meant: without doubled and trailing slashes, and with one `/v1` however
/// often the base URL and the client have added it.
pub(super) fn canonicalize(request: &mut Request) {
    if let Some(path) = rewritten(request.uri().path()) {
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.path_and_query = PathAndQuery::try_from(format!("{path}{query}")).ok();
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    }
}

/// The path that is meant; `None` if it is `path`.
fn rewritten(path: &str) -> Option<String> {
    let given: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let versions = given.iter().take_while(|segment| **segment == "v1").count();
    let rest = &given[versions..];
    let is_resource = rest.first().is_some_and(|first| RESOURCES.contains(first));
    let version = (versions > 0 || is_resource).then_some("v1");
    let meant: String = version.iter().chain(rest).flat_map(|segment| ["/", segment]).collect();
    let meant = if meant.is_empty() { "/".to_owned() } else { meant };
    (meant != path).then_some(meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_version_and_single_slashes() {
        for (given, meant) in [
            ("/v1/chat/completions/", "/v1/chat/completions"),
            ("//v1//chat/completions", "/v1/chat/completions"),
            ("/v1/v1/chat/completions", "/v1/chat/completions"),
            ("/chat/completions", "/v1/chat/completions"),
            ("/models", "/v1/models"),
            ("/models/", "/v1/models"),
            ("/v1/models/anthropic/claude-opus-5.5", "/v1/models/anthropic/claude-opus-5.5"),
            ("/v1/models/a%2Fb/", "/v1/models/a%2Fb"),
            ("/v1/v1/messages/count_tokens", "/v1/messages/count_tokens"),
            ("/messages", "/v1/messages"),
            ("/v1/", "/v1"),
            ("/", "/"),
            ("//", "/"),
            ("/health/", "/health"),
            ("/v2/models", "/v2/models"),
            ("/v1/responses", "/v1/responses"),
        ] {
            let rewritten = rewritten(given);
            assert_eq!(rewritten.as_deref().unwrap_or(given), meant, "{given}");
        }
    }
}
