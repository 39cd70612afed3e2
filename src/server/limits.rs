//! Anthropic's rate limits in OpenAI's names (`reference/anthropic-api.md` §4, §9.4), when to ask again, and the id for
//! support.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::dialect::Dialect;
use crate::upstream::Head;

/// Writes what upstream said of its limits into the head of our response.
pub(super) fn tell(dialect: Dialect, head: &Head, now: SystemTime, headers: &mut HeaderMap) {
    headers.extend(head.retry.iter().cloned());
    match dialect {
        Dialect::OpenAi => translate(head, now, headers),
        Dialect::Anthropic => {
            let id = head.request_id.as_deref().and_then(|id| HeaderValue::from_str(id).ok());
            headers.extend(id.map(|id| (HeaderName::from_static("request-id"), id)));
            headers.extend(head.limits.iter().cloned());
        }
    }
}

fn translate(head: &Head, now: SystemTime, headers: &mut HeaderMap) {
    let mut put = |name: String, value: Option<HeaderValue>| {
        if let (Ok(name), Some(value)) = (HeaderName::try_from(name), value) {
            headers.insert(name, value);
        }
    };
    let id = head.request_id.as_deref().and_then(|id| HeaderValue::from_str(id).ok());
    put("x-request-id".to_owned(), id);
    for what in ["limit", "remaining", "reset"] {
        for (kind, sources) in
            [("requests", &["requests"][..]), ("tokens", &["tokens", "input-tokens"])]
        {
            let named = |source: &&str| format!("anthropic-ratelimit-{source}-{what}");
            let found = sources.iter().map(named).find_map(|name| {
                head.limits.iter().find(|(known, _)| known.as_str() == name).map(|(_, value)| value)
            });
            let value = match (what, found) {
                ("reset", Some(at)) => at.to_str().ok().and_then(|at| until(at, now)),
                (_, found) => found.cloned(),
            };
            put(format!("x-ratelimit-{what}-{kind}"), value);
        }
    }
}

/// How long it is until a moment in RFC 3339, as OpenAI writes durations: `6m0s`, `1.5s`, `20ms`.
fn until(at: &str, now: SystemTime) -> Option<HeaderValue> {
    let at: SystemTime = at.parse::<jiff::Timestamp>().ok()?.into();
    let left = at.duration_since(now).unwrap_or_default();
    HeaderValue::try_from(written(left)).ok()
}

fn written(left: Duration) -> String {
    let (minutes, seconds) = (left.as_secs() / 60, left.as_secs() % 60);
    let millis = left.subsec_millis();
    match (minutes, seconds) {
        (0, 0) => format!("{millis}ms"),
        (0, _) if millis > 0 => format!("{seconds}.{millis:03}s"),
        (0, _) => format!("{seconds}s"),
        (minutes, _) if minutes >= 60 => {
            format!("{}h{}m{seconds}s", minutes / 60, minutes % 60)
        }
        _ => format!("{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_told_in_openais_names() {
        let head = Head {
            request_id: Some("req_1".to_owned()),
            limits: [
                ("anthropic-ratelimit-requests-limit", "50"),
                ("anthropic-ratelimit-requests-reset", "2026-11-23T10:01:30Z"),
                ("anthropic-ratelimit-input-tokens-remaining", "4000"),
            ]
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .to_vec(),
            retry: Vec::new(),
            fixture: None,
        };
        let now = "2026-11-23T10:00:00Z".parse::<jiff::Timestamp>().unwrap().into();
        let mut headers = HeaderMap::new();
        tell(Dialect::OpenAi, &head, now, &mut headers);
        let told = |name| headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(told("x-request-id"), Some("req_1"));
        assert_eq!(told("x-ratelimit-limit-requests"), Some("50"));
        assert_eq!(told("x-ratelimit-reset-requests"), Some("1m30s"));
        assert_eq!(told("x-ratelimit-remaining-tokens"), Some("4000"));
        assert_eq!(headers.len(), 4);
    }

    #[test]
    fn durations_are_written_as_openai_does() {
        for (millis, expected) in
            [(20, "20ms"), (1500, "1.500s"), (2000, "2s"), (360_000, "6m0s"), (3_661_000, "1h1m1s")]
        {
            assert_eq!(written(Duration::from_millis(millis)), expected);
        }
    }
}
