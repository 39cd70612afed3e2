//! Headers of our responses: how the answer came about, and what upstream said in the head of its own response.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{
    answer::Answer,
    domain::{
        budget::BudgetNotice,
        cache::{Freshness, Keep, Reason, Verdict},
        exchange::{AnsweredBy, Api, ExchangeId},
    },
    upstream::ResponseHead,
};

/// The fixture that answers, in a replay.
const FIXTURE: HeaderName = HeaderName::from_static("x-reprise-fixture");
/// A budget that is nearly spent, or that is always shown.
const BUDGET: HeaderName = HeaderName::from_static("x-reprise-budget");
/// The exchange that answers.
const EXCHANGE: HeaderName = HeaderName::from_static("x-reprise-exchange");
/// Cache handling (RFC 9211).
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// The headers of our responses that browsers show to pages of other origins.
pub(super) const EXPOSED: [&str; 22] = [
    "age",
    "cache-status",
    "x-reprise-budget",
    "x-reprise-exchange",
    "x-reprise-fixture",
    "x-request-id",
    "request-id",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "x-ratelimit-limit-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-requests",
    "x-ratelimit-reset-tokens",
    "anthropic-ratelimit-requests-limit",
    "anthropic-ratelimit-requests-remaining",
    "anthropic-ratelimit-requests-reset",
    "anthropic-ratelimit-tokens-limit",
    "anthropic-ratelimit-tokens-remaining",
    "anthropic-ratelimit-tokens-reset",
];

/// The headers of an answer (RFC 9211, RFC 9111 §5.1).
pub(super) fn of_answer(api: Api, answer: &Answer) -> HeaderMap {
    let Answer { reader, answered_by, verdict, key, exchange, budget, .. } = answer;
    let status = match *verdict {
        _ if *answered_by == AnsweredBy::Replay => "hit; detail=replay".to_owned(),
        Verdict::Hit(Freshness { ttl, .. }) => format!("hit; ttl={}", ttl.as_secs()),
        Verdict::Join => "fwd=miss; collapsed".to_owned(),
        Verdict::Ask { reason, .. } | Verdict::Refuse(reason) => {
            let is_stored = matches!(verdict, Verdict::Ask { keep: Keep::Answer, .. });
            let (word, detail) = forward_reason(reason);
            format!("fwd={word}{}{detail}", if is_stored { "; stored" } else { "" })
        }
    };
    let mut headers = HeaderMap::with_capacity(8);
    let mut insert = |name: HeaderName, value: String| {
        headers.extend(HeaderValue::try_from(value).ok().map(|value| (name, value)));
    };
    insert(CACHE_STATUS, format!("reprise; {status}; key=\"{key}\""));
    if let Some(BudgetNotice { limit, per, spent, .. }) = budget {
        let at_least = if spent.is_bound() { "; at_least" } else { "" };
        let (spent, limit) = (spent.amount.dollars(), limit.dollars());
        insert(BUDGET, format!("spent={spent}; limit={limit}; per={per}{at_least}"));
    }
    if let Verdict::Hit(Freshness { age, .. }) = verdict {
        insert(header::AGE, age.as_secs().to_string());
    }
    insert_exchange(*exchange, &mut headers);
    if let Some(head) = reader.head() {
        forward(api, &head, SystemTime::now(), &mut headers);
    }
    headers
}

/// Names the exchange that answers, or that failed to.
pub(super) fn insert_exchange(exchange: ExchangeId, headers: &mut HeaderMap) {
    headers.extend(HeaderValue::try_from(exchange.to_string()).ok().map(|id| (EXCHANGE, id)));
}

/// The reason why the ledger did not answer, in the words of RFC 9211 §2.2, with ours as its `detail` (§2.8) where they
/// say more.
fn forward_reason(reason: Reason) -> (&'static str, String) {
    let word = match reason {
        Reason::Nothing => return ("miss", String::new()),
        Reason::Stale => return ("stale", String::new()),
        Reason::NoStore | Reason::Temporary | Reason::UserNoStore | Reason::Off | Reason::NoTtl => {
            "bypass"
        }
        Reason::NoCache
        | Reason::AskedBefore
        | Reason::NoChatId
        | Reason::MaxAge
        | Reason::MinFresh => "request",
    };
    (word, format!("; detail={}", reason.as_str()))
}

/// Forwards what the head of upstream's response says: rate limits and the request id under the names that clients of
/// `api` know (`reference/anthropic-api.md` §4, §9.4), when to retry, and the fixture in a replay.
pub(super) fn forward(api: Api, head: &ResponseHead, now: SystemTime, headers: &mut HeaderMap) {
    let value = |text: &Option<String>| HeaderValue::try_from(text.as_deref()?).ok();
    headers.extend(value(&head.fixture).map(|fixture| (FIXTURE, fixture)));
    headers.extend(head.retry.iter().cloned());
    let request_id = match api {
        Api::Chat => "x-request-id",
        Api::Messages => "request-id",
    };
    let request_id = (HeaderName::from_static(request_id), value(&head.request_id));
    headers.extend(request_id.1.map(|id| (request_id.0, id)));
    match api {
        Api::Chat => headers.extend(openai_limits(head, now)),
        Api::Messages => headers.extend(head.limits.iter().cloned()),
    }
}

/// Anthropic's rate limits under OpenAI's names.
fn openai_limits(
    head: &ResponseHead,
    now: SystemTime,
) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let mut limits = Vec::new();
    for field in ["limit", "remaining", "reset"] {
        for (kind, sources) in
            [("requests", &["requests"][..]), ("tokens", &["tokens", "input-tokens"])]
        {
            let found = sources.iter().find_map(|source| {
                let name = format!("anthropic-ratelimit-{source}-{field}");
                head.limits.iter().find(|(known, _)| known.as_str() == name).map(|(_, value)| value)
            });
            let value = match (field, found) {
                ("reset", Some(at)) => at.to_str().ok().and_then(|at| until(at, now)),
                (_, found) => found.cloned(),
            };
            let name = HeaderName::try_from(format!("x-ratelimit-{field}-{kind}")).ok();
            limits.extend(name.zip(value));
        }
    }
    limits.into_iter()
}

/// The time until a moment in RFC 3339, as OpenAI writes durations: `6m0s`, `1.5s`, `20ms`.
fn until(at: &str, now: SystemTime) -> Option<HeaderValue> {
    let at: SystemTime = at.parse::<jiff::Timestamp>().ok()?.into();
    let left = at.duration_since(now).unwrap_or_default();
    HeaderValue::try_from(openai_duration(left)).ok()
}

fn openai_duration(left: Duration) -> String {
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
    fn limits_have_openais_names() {
        let head = ResponseHead {
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
        forward(Api::Chat, &head, now, &mut headers);
        let value = |name| headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(value("x-request-id"), Some("req_1"));
        assert_eq!(value("x-ratelimit-limit-requests"), Some("50"));
        assert_eq!(value("x-ratelimit-reset-requests"), Some("1m30s"));
        assert_eq!(value("x-ratelimit-remaining-tokens"), Some("4000"));
        assert_eq!(headers.len(), 4);
    }

    #[test]
    fn durations_are_written_as_openai_does() {
        for (millis, expected) in
            [(20, "20ms"), (1500, "1.500s"), (2000, "2s"), (360_000, "6m0s"), (3_661_000, "1h1m1s")]
        {
            assert_eq!(openai_duration(Duration::from_millis(millis)), expected);
        }
    }
}
