//! A request of a client that speaks Anthropic's own dialect: passed on as it was written.
//!
//! Only what the ledger and the cache need is read of it. What cannot stand as it is wanted upstream (an answer that
//! is not streamed) is put in its place; every other byte of a value is the client's.

use std::{borrow::Cow, collections::HashSet};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::canonical;
use crate::domain::{
    chain::{Chain, Hash},
    json::{Object, Raw},
};

/// Maximum depth of blocks in blocks, such as an image in a document in a tool result.
const DEEPEST: usize = 4;
/// Fields outside the frame: the messages, and what does not change an answer.
const NOT_IN_THE_FRAME: [&str; 4] = ["messages", "stream", "metadata", "cache_control"];
/// Fields that make an answer depend on state elsewhere.
const STATE_ELSEWHERE: [&str; 3] = ["container", "mcp_servers", "thread"];

/// Tools with schemas of Anthropic's that clients run themselves, by what their versions begin with (§1.5): they are
/// as repeatable as the client's own. The others are run by Anthropic, or not known yet.
const RUN_BY_THE_CLIENT: [&str; 5] = ["bash_", "text_editor_", "memory_", "computer_", "browser_"];

/// A native request, and the fields that are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Native {
    /// The model asked.
    pub model: String,
    /// True if the client asked for a stream.
    pub stream: bool,
    /// `max_tokens`; `None`: it is missing, or no such number.
    pub max_tokens: Option<u32>,
    /// The user that `metadata.user_id` names.
    pub user: Option<String>,
    /// The body for upstream: the client's own bytes, if they ask for a stream.
    pub body: Vec<u8>,
    /// The texts as they were written, without the fields that do not change the answer.
    pub chain: Chain,
    /// Equal for all requests of one meaning.
    pub digest: Hash,
    /// True if the answer can depend on more than the request: the content of a URL can change, and so can the web.
    pub external_data: bool,
}

/// The reason why a body is not a native request, in Anthropic's words where Anthropic has words for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NativeError {
    /// Nothing, or broken off, or malformed.
    #[error("the request body is not valid JSON: {0}")]
    NotJson(String),
    /// An array or a scalar.
    #[error("the request body must be a JSON object with `model`, `max_tokens` and `messages`")]
    NotAnObject,
    /// A field that there must be.
    #[error("{0}: Field required")]
    Missing(&'static str),
    /// A field of another type.
    #[error("{field}: Input should be a valid {expected}")]
    WrongType {
        /// The name of the field.
        field: &'static str,
        /// The expected type.
        expected: &'static str,
    },
    /// A field that stands there twice, of which nobody knows which counts.
    #[error("a field of the request body is given twice")]
    Twice,
    /// A request that only warms the prompt cache, which cannot be streamed.
    #[error(
        "max_tokens: 0 (warming the prompt cache) cannot be asked through Reprise, which streams every answer: send 1"
    )]
    WarmUp,
}

impl Native {
    /// Reads a body.
    pub fn parse(body: &[u8]) -> Result<Self, NativeError> {
        let not_json = |error: serde_json::Error| NativeError::NotJson(error.to_string());
        let text = std::str::from_utf8(body)
            .map_err(|_| NativeError::NotJson("it is not UTF-8".to_owned()))?;
        let mut fields = match serde_json::from_str::<&RawValue>(text).map_err(not_json)? {
            object if object.get().starts_with('{') => Object::parse(text).map_err(not_json)?,
            _ => return Err(NativeError::NotAnObject),
        };
        let mut names = HashSet::new();
        if !fields.iter().all(|(name, _)| names.insert(name)) {
            return Err(NativeError::Twice);
        }
        let model: String = required(&fields, "model", "string")?;
        let messages: Vec<Raw> = required::<Vec<&RawValue>>(&fields, "messages", "list")?
            .into_iter()
            .map(Raw::new)
            .collect();
        let stream: Option<bool> = optional(&fields, "stream", "boolean")?;
        if fields.get("max_tokens").is_some_and(|tokens| tokens.get() == "0") {
            return Err(NativeError::WarmUp);
        }
        let max_tokens = fields.get("max_tokens").and_then(|most| most.get().parse().ok());
        let user = fields.get("metadata").and_then(user);
        let external_data = external_data(&fields, &messages);
        let body = if stream == Some(true) {
            body.to_vec()
        } else {
            fields.set("stream", Raw::of(&true));
            Raw::of(&fields).get().into()
        };
        for name in NOT_IN_THE_FRAME {
            fields.remove(name);
        }
        for name in ["system", "tools"] {
            if let Some(bare) =
                fields.get(name).and_then(|list| each(list, |block| bare_block(block, DEEPEST)))
            {
                fields.set(name, bare);
            }
        }
        let frame = Raw::of(&fields).get().into();
        let nodes = messages.iter().map(|message| bare_message(message).get().into());
        let chain = Chain::new(frame, nodes);
        let digest = canonical::digest(&chain, true, |_| true);
        Ok(Self {
            model,
            stream: stream.unwrap_or(false),
            max_tokens,
            user,
            body,
            chain,
            digest,
            external_data,
        })
    }
}

fn required<'a, T: Deserialize<'a>>(
    fields: &'a Object<'_>,
    field: &'static str,
    expected: &'static str,
) -> Result<T, NativeError> {
    let value = fields.get(field).ok_or(NativeError::Missing(field))?;
    serde_json::from_str(value.get()).map_err(|_| NativeError::WrongType { field, expected })
}

fn optional<'a, T: Deserialize<'a>>(
    fields: &'a Object<'_>,
    field: &'static str,
    expected: &'static str,
) -> Result<Option<T>, NativeError> {
    match fields.get(field) {
        None => Ok(None),
        Some(_) => required(fields, field, expected),
    }
}

fn user(metadata: &RawValue) -> Option<String> {
    let metadata = Object::parse(metadata.get()).ok()?;
    let user: String = serde_json::from_str(metadata.get("user_id")?.get()).ok()?;
    let of_session = user_of_session(&user).map(Cow::into_owned);
    Some(of_session.unwrap_or(user)).filter(|user| !user.trim_matches([' ', '\t']).is_empty())
}

/// The user in an id that Claude Code makes for each session: the account, or the device of whoever has none. `None`: it is
/// another id.
///
/// It is `{"device_id":"…","account_uuid":"…","session_id":"…"}`, and in older versions
/// `user_…_account_…_session_…`. With the session in it, each session would be a user of its own, with budgets and
/// answers of its own.
fn user_of_session(id: &str) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct OfClaudeCode<'a> {
        #[serde(borrow, rename = "device_id")]
        device: Cow<'a, str>,
        #[serde(borrow, default, rename = "account_uuid")]
        account: Cow<'a, str>,
        #[serde(borrow, rename = "session_id")]
        #[expect(dead_code, reason = "it is what tells such an id from others")]
        session: Cow<'a, str>,
    }
    let (device, account) = if let Ok(id) = serde_json::from_str::<OfClaudeCode<'_>>(id) {
        (id.device, id.account)
    } else {
        let (rest, _session) = id.strip_prefix("user_")?.rsplit_once("_session_")?;
        let (device, account) = rest.split_once("_account_")?;
        (device.into(), account.into())
    };
    [account, device].into_iter().find(|id| !id.is_empty())
}

/// A list with each item changed; `None` for any other value.
fn each(list: &RawValue, change: impl Fn(&RawValue) -> Raw) -> Option<Raw> {
    let items: Vec<&RawValue> = serde_json::from_str(list.get()).ok()?;
    Some(Raw::of(&items.into_iter().map(change).collect::<Vec<_>>()))
}

fn bare_message(message: &Raw) -> Raw {
    let Ok(mut fields) = Object::parse(message.get()) else { return message.clone() };
    if let Some(content) =
        fields.get("content").and_then(|content| each(content, |block| bare_block(block, DEEPEST)))
    {
        fields.set("content", content);
    }
    Raw::of(&fields)
}

/// A block without `cache_control`, also in what a tool said; never in what a tool was called with, which is the
/// model's own.
fn bare_block(block: &RawValue, depth: usize) -> Raw {
    let Ok(mut fields) = Object::parse(block.get()) else { return Raw::new(block) };
    fields.remove("cache_control");
    if depth > 0
        && text(&fields, "type").as_deref() == Some("tool_result")
        && let Some(content) = fields
            .get("content")
            .and_then(|content| each(content, |block| bare_block(block, depth - 1)))
    {
        fields.set("content", content);
    }
    Raw::of(&fields)
}

fn text(fields: &Object<'_>, name: &str) -> Option<String> {
    serde_json::from_str(fields.get(name)?.get()).ok()
}

fn external_data(fields: &Object<'_>, messages: &[Raw]) -> bool {
    let says_something = |name: &&str| {
        fields.get(name).is_some_and(|value| !matches!(value.get(), "null" | "[]" | "{}"))
    };
    let tools = fields.get("tools").map(objects).unwrap_or_default();
    let run_by_anthropic = |tool: &Object<'_>| {
        text(tool, "type").is_some_and(|kind| {
            kind != "custom" && !RUN_BY_THE_CLIENT.iter().any(|prefix| kind.starts_with(prefix))
        })
    };
    let cites_urls = |message: &Raw| {
        let message = Object::parse(message.get()).unwrap_or_default();
        message.get("content").is_some_and(|content| has_url(content, DEEPEST))
    };
    STATE_ELSEWHERE.iter().any(says_something)
        || tools.iter().any(run_by_anthropic)
        || messages.iter().any(cites_urls)
}

/// True if a list of blocks contains a source that is a URL, or is nested too deeply to tell.
fn has_url(content: &RawValue, depth: usize) -> bool {
    let within = |content: Option<&RawValue>| {
        content.is_some_and(|content| {
            content.get().starts_with('[') && (depth == 0 || has_url(content, depth - 1))
        })
    };
    objects(content).iter().any(|block| {
        let source = block.get("source").and_then(|source| Object::parse(source.get()).ok());
        let by_source = source.is_some_and(|source| {
            text(&source, "type").as_deref() == Some("url") || within(source.get("content"))
        });
        by_source || within(block.get("content"))
    })
}

/// The objects of a list; none where it is no list.
fn objects(list: &RawValue) -> Vec<Object<'_>> {
    let items: Vec<&RawValue> = serde_json::from_str(list.get()).unwrap_or_default();
    items.into_iter().filter_map(|item| Object::parse(item.get()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Native {
        Native::parse(body.as_bytes()).unwrap()
    }

    #[test]
    fn a_body_that_asks_for_a_stream_goes_as_it_is_and_another_is_told_to() {
        let streamed = r#" {"model":"m", "x":1e2,"stream": true,"messages":[]}"#;
        assert_eq!(parse(streamed).body, streamed.as_bytes());
        let whole = parse(r#"{"stream": false, "model":"m","n":1.50,"messages":[{"a": 1}]}"#);
        assert!(!whole.stream);
        assert_eq!(whole.body, br#"{"stream":true,"model":"m","n":1.50,"messages":[{"a": 1}]}"#);
    }

    #[test]
    fn what_does_not_change_the_answer_is_in_no_key() {
        let plain = parse(
            r#"{"model":"m","tools":[{"name":"f"}],"messages":[{"role":"user","content":[{"type":"text","text":"a"},
               {"type":"tool_result","content":[{"type":"text","text":"b"}]}]}]}"#,
        );
        let dressed = parse(
            r#"{"metadata":{"user_id":"u"},"stream":true,"messages":[{"content":[
               {"text":"a","type":"text","cache_control":{"type":"ephemeral"}},{"type":"tool_result","cache_control":{},
               "content":[{"type":"text","text":"b","cache_control":{}}]}],"role":"user"}],"cache_control":{},
               "tools":[{"cache_control":{},"name":"f"}],"model":"m"}"#,
        );
        assert_eq!(plain.digest, dressed.digest);
        assert_eq!(dressed.user.as_deref(), Some("u"));
        let kept = String::from_utf8(dressed.chain.nodes[0].body.clone()).unwrap();
        assert!(!kept.contains("cache_control"), "{kept}");
    }

    #[test]
    fn all_sessions_of_claude_code_are_of_one_user() {
        let user = |id: &str| {
            let id = serde_json::to_string(id).unwrap();
            parse(&format!(r#"{{"model":"m","metadata":{{"user_id":{id}}},"messages":[]}}"#))
                .user
                .unwrap()
        };
        for session in ["1", "2"] {
            let id = |device: &str, account: &str| {
                let new = format!(
                    r#"{{"device_id":"{device}","account_uuid":"{account}","session_id":"{session}"}}"#
                );
                let old = format!("user_{device}_account_{account}_session_{session}");
                assert_eq!(user(&new), user(&old));
                user(&new)
            };
            assert_eq!((id("d", ""), id("d", "a")), ("d".to_owned(), "a".to_owned()));
        }
        let others = [
            "user_1",
            "user_d_session_1",
            r#"{"device_id":"d"}"#,
            r#"{"session_id":"1"}"#,
            "{}",
            "7",
        ];
        for other in others {
            assert_eq!(user(other), other);
        }
    }

    #[test]
    fn what_the_model_called_a_tool_with_stays_in_the_key() {
        let call = |input: &str| {
            parse(&format!(
                r#"{{"model":"m","messages":[{{"content":[{{"type":"tool_use","input":{input}}}]}}]}}"#
            ))
        };
        assert_ne!(call("{}").digest, call(r#"{"cache_control":1}"#).digest);
        assert_eq!(call(r#"{"a":1,"b":2}"#).digest, call(r#"{"b": 2, "a": 1}"#).digest);
    }

    #[test]
    fn answers_that_may_rest_on_something_else_are_told() {
        let external_data = |more: &str| {
            parse(&format!(r#"{{"model":"m",{more},"messages":[{{"content":"a"}}]}}"#))
                .external_data
        };
        assert!(!external_data(
            r#""tools":[{"name":"f"},{"type":"custom","name":"g"}],"container":null"#
        ));
        assert!(external_data(r#""tools":[{"type":"web_search_20250305","name":"web_search"}]"#));
        assert!(!external_data(
            r#""tools":[{"type":"bash_20250124"},{"type":"computer_toolset_20260801"}]"#
        ));
        assert!(external_data(r#""tools":[{"type":"bash_20250124"},{"type":"of_tomorrow"}]"#));
        assert!(
            external_data(r#""container":"c""#) && external_data(r#""mcp_servers":[{"url":"u"}]"#)
        );
        let page = r#"{"model":"m","messages":[{"content":[{"type":"tool_result","content":[
            {"type":"image","source":{"type":"url","url":"http://x"}}]}]}]}"#;
        assert!(parse(page).external_data);
    }

    #[test]
    fn blocks_in_blocks_in_blocks_are_no_way_to_bring_us_down() {
        let block = r#"{"type":"tool_result","content":["#;
        let (open, close) = (block.repeat(20_000), "]}".repeat(20_000));
        let deep = format!(r#"{{"model":"m","messages":[{{"content":[{open}{close}]}}]}}"#);
        assert!(parse(&deep).external_data);
    }

    #[test]
    fn what_is_wrong_is_named_as_anthropic_names_it() {
        let error = |body: &str| Native::parse(body.as_bytes()).unwrap_err().to_string();
        assert_eq!(error(r#"{"messages":[]}"#), "model: Field required");
        assert_eq!(error(r#"{"model":1,"messages":[]}"#), "model: Input should be a valid string");
        assert_eq!(
            error(r#"{"model":"m","messages":1}"#),
            "messages: Input should be a valid list"
        );
        assert_eq!(error("[]"), NativeError::NotAnObject.to_string());
        assert_eq!(
            error(r#"{"model":"m","model":"n","messages":[]}"#),
            NativeError::Twice.to_string()
        );
        assert!(error("").starts_with("the request body is not valid JSON: EOF"));
        let warm_up = r#"{"model":"m","max_tokens":0,"messages":[]}"#;
        assert_eq!(error(warm_up), NativeError::WarmUp.to_string());
    }
}
