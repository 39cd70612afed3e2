//! The reason why a turn did not read from Anthropic's prompt cache what the turn before it had written: the first part
//! of the request that differs, and the time between the two.

use std::{fmt, time::Duration};

use serde::Serialize;
use serde_json::Value;

use super::json;
use crate::{
    domain::{
        chain::{Chain, Hash},
        diff::diff,
        exchange::CallId,
    },
    report::numbers::{counted, tokens},
    store::{self, CallRow, ExchangeDetails, Reader},
};

/// Lifetimes of cached parts.
const FIVE_MINUTES: Duration = Duration::from_mins(5);
const ONE_HOUR: Duration = Duration::from_hours(1);

/// Parts of a request in which a difference changes what is cached, in the order of the prompt. Parameters not listed here
/// do not count.
const PARTS: [&str; 7] =
    ["model", "tools", "system", "tool_choice", "thinking", "output_config", "context_management"];

/// A comparison of a turn with the one before it in its session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PromptCache {
    /// The call before.
    pub previous: CallId,
    /// Tokens that the cache had after it.
    pub cached: u64,
    /// Tokens that this turn read.
    pub read: u64,
    /// Seconds from the beginning of the one to that of the other.
    pub seconds_between: u64,
    /// Seconds that Anthropic keeps what is cached, counted from its last use.
    pub lifetime: u64,
    /// The reason why less was read; `None`: nothing was missed.
    pub miss: Option<CacheMiss>,
}

/// The reason why less was read from the cache than it had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum CacheMiss {
    /// A part before the messages differs.
    Part {
        /// `model`, `tools`, `system`, or a parameter that the messages depend on.
        part: &'static str,
        /// The place of the first difference in it, as `[2].description`.
        place: String,
    },
    /// A message differs, or is not there any more.
    Message {
        /// Zero-based position in the request.
        position: usize,
        /// Number of messages that the request before had.
        of: usize,
        /// The place of the first difference in it, as `content[0].text`; `None`: it is not there any more.
        place: Option<String>,
    },
    /// Nothing differs, but the lifetime was over.
    Expired,
    /// No block of this request asks for caching.
    NotMarked,
    /// A request is not kept any more.
    NotKept,
    /// Nothing differs: Anthropic did not keep it as long as promised, or the other request was still running.
    Unknown,
}

impl PromptCache {
    /// Compares a call that went upstream with the one before it. `None`: there is none, or it had cached nothing.
    pub(super) async fn of(
        ledger: &Reader,
        call: &CallRow,
        exchange: &ExchangeDetails,
    ) -> Result<Option<Self>, store::Error> {
        if !call.answered_by.asks() || call.task.is_some() {
            return Ok(None);
        }
        let Some((previous, before)) = ledger.turn_before(call.seq).await? else { return Ok(None) };
        let parts = ledger.exchange_details(before).await?;
        let Some(before) = parts.first() else { return Ok(None) };
        let had = &before.tokens;
        let cached = had.cache_read + had.cache_write_5m + had.cache_write_1h;
        if cached == 0 {
            return Ok(None);
        }
        let read = exchange.tokens.cache_read;
        let between = exchange.opened_at.since(before.opened_at);
        let lifetime = if is_for_an_hour(before) { ONE_HOUR } else { FIVE_MINUTES };
        let miss = if read < cached {
            Some(miss(ledger, before, exchange, between > lifetime).await?)
        } else {
            None
        };
        Ok(Some(Self {
            previous,
            cached,
            read,
            seconds_between: between.as_secs(),
            lifetime: lifetime.as_secs(),
            miss,
        }))
    }
}

/// Tells whether what a request cached lives for an hour.
fn is_for_an_hour(exchange: &ExchangeDetails) -> bool {
    let marks = exchange.breakpoints.as_deref().map_or(Value::Null, json);
    let is_long = |mark: &Value| mark["ttl"] == "1h";
    exchange.tokens.cache_write_1h > 0 || marks.as_array().is_some_and(|it| it.iter().any(is_long))
}

/// The last message up to which a request asked for caching; `None`: it asked for none in messages.
fn last_marked(exchange: &ExchangeDetails) -> Option<usize> {
    let marks = exchange.breakpoints.as_deref().map_or(Value::Null, json);
    let messages = marks
        .as_array()?
        .iter()
        .filter_map(|mark| usize::try_from(mark["at"]["message"]["message"].as_u64()?).ok());
    messages.max()
}

async fn miss(
    ledger: &Reader,
    before: &ExchangeDetails,
    now: &ExchangeDetails,
    is_over: bool,
) -> Result<CacheMiss, store::Error> {
    if now.breakpoints.is_none() {
        return Ok(CacheMiss::NotMarked);
    }
    let chains = (chain(ledger, before.request()).await?, chain(ledger, now.request()).await?);
    let (Some(old), Some(new)) = chains else { return Ok(CacheMiss::NotKept) };
    let difference = part(&old, &new).or_else(|| message(&old, &new, last_marked(before)));
    Ok(difference.unwrap_or(if is_over { CacheMiss::Expired } else { CacheMiss::Unknown }))
}

async fn chain(
    ledger: &Reader,
    request: Option<(Hash, Option<Hash>)>,
) -> Result<Option<Chain>, store::Error> {
    let Some((frame, head)) = request else { return Ok(None) };
    match ledger.load_chain(frame, head).await {
        Ok(chain) => Ok(Some(chain)),
        Err(store::Error::NoBodies { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The first part before the messages that differs.
fn part(old: &Chain, new: &Chain) -> Option<CacheMiss> {
    if old.frame.hash == new.frame.hash {
        return None;
    }
    let frame = |chain: &Chain| serde_json::from_slice(&chain.frame.body).unwrap_or(Value::Null);
    let (old, new): (Value, Value) = (frame(old), frame(new));
    let part = PARTS.into_iter().find(|part| old[part] != new[part])?;
    Some(CacheMiss::Part { part, place: place(&old[part], &new[part]) })
}

/// The first message that differs, of those that were to be cached.
fn message(old: &Chain, new: &Chain, last_marked: Option<usize>) -> Option<CacheMiss> {
    let of = old.nodes.len();
    let marked = last_marked.map_or(0, |last| last + 1).min(of);
    let differs = |at: &usize| new.nodes.get(*at).map(|it| it.hash) != Some(old.nodes[*at].hash);
    let position = (0..marked).find(differs)?;
    let body = |chain: &Chain| {
        let node = chain.nodes.get(position)?;
        Some(serde_json::from_slice(&node.body).unwrap_or(Value::Null))
    };
    let place = body(old).zip(body(new)).map(|(old, new)| place(&old, &new));
    Some(CacheMiss::Message { position, of, place })
}

/// The place of the first difference.
fn place(old: &Value, new: &Value) -> String {
    diff(old, new, 1).differences.into_iter().next().map(|it| it.path).unwrap_or_default()
}

impl fmt::Display for CacheMiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |place: &str| match place {
            "" => String::new(),
            place => format!(" at {place}"),
        };
        match self {
            Self::Part { part, place } => write!(f, "{part} differs{}", at(place)),
            Self::Message { position, of, place: Some(place) } => {
                write!(f, "message {} of {of} differs{}", position + 1, at(place))
            }
            Self::Message { position, of, place: None } => {
                write!(f, "message {} of {of} is not there any more", position + 1)
            }
            Self::Expired => f.write_str("its lifetime was over"),
            Self::NotMarked => f.write_str("this request asks for no caching"),
            Self::NotKept => f.write_str("unknown, because a request is not kept any more"),
            Self::Unknown => f.write_str(
                "nothing differs: Anthropic did not have it any more, or did not have it yet",
            ),
        }
    }
}

impl fmt::Display for PromptCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { previous, cached, read, seconds_between, lifetime, miss } = self;
        write!(
            f,
            "read {} of the {} tokens that {previous} had cached",
            tokens(*read),
            tokens(*cached)
        )?;
        if let Some(miss) = miss {
            let between = counted(*seconds_between, "second");
            write!(f, ", {between} before: {miss}; it is kept for {} minutes", lifetime / 60)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(frame: &str, messages: &[&str]) -> Chain {
        let message = |text: &&str| format!(r#"{{"role":"user","content":"{text}"}}"#).into_bytes();
        Chain::new(frame.as_bytes().to_vec(), messages.iter().map(message))
    }

    #[test]
    fn the_first_part_of_the_prompt_that_differs_is_told() {
        let old = chain(
            r#"{"model":"m","tools":[{"name":"a"},{"name":"b"}],"system":"s","max_tokens":5}"#,
            &[],
        );
        let differs = |frame: &str| part(&old, &chain(frame, &[])).map(|miss| miss.to_string());
        let tools =
            r#"{"model":"m","tools":[{"name":"a"},{"name":"c"}],"system":"t","max_tokens":5}"#;
        assert_eq!(differs(tools).as_deref(), Some("tools differs at [1].name"));
        let system =
            r#"{"model":"m","tools":[{"name":"a"},{"name":"b"}],"system":"t","max_tokens":5}"#;
        assert_eq!(differs(system).as_deref(), Some("system differs"));
        let length =
            r#"{"model":"m","tools":[{"name":"a"},{"name":"b"}],"system":"s","max_tokens":6}"#;
        assert_eq!(differs(length), None, "it is no part of the prompt");
    }

    #[test]
    fn messages_count_as_far_as_they_were_cached() {
        let old = chain("{}", &["one", "two", "three"]);
        let differs = |messages: &[&str], marked| {
            message(&old, &chain("{}", messages), marked).map(|miss| miss.to_string())
        };
        assert_eq!(differs(&["one", "two", "three", "four"], Some(2)), None);
        let edited = differs(&["one", "2", "three"], Some(2));
        assert_eq!(edited.as_deref(), Some("message 2 of 3 differs at content"));
        let shorter = differs(&["one"], Some(2));
        assert_eq!(shorter.as_deref(), Some("message 2 of 3 is not there any more"));
        assert_eq!(differs(&["one", "2", "three"], Some(0)), None, "it was not cached");
        assert_eq!(differs(&["1"], None), None);
    }
}
