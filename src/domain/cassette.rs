//! Fixtures: one exchange in one readable file, and the player that answers requests from them.
//!
//! A [`Cassette`] is such a file in memory: the client's request, the upstream request and the response. The bytes of its
//! events are authoritative; the summary is derived from them and checked. `read` parses the file and `layout` renders it,
//! `scrub` removes secrets, `player` selects the fixture that answers a request, `compare` compares requests, and `miss`
//! reports why no fixture answers one. Files that a hand wrote are checked more strictly (`hand_written`), and may have wildcards in their request (`wildcard`).

mod asked;
mod attachment;
mod compare;
mod event;
mod hand_written;
mod layout;
mod miss;
mod patterns;
mod player;
mod read;
mod retranslate;
mod scrub;
mod shape;
mod summary;
mod tree;
mod wildcard;

use jiff::civil::Date;

use self::tree::Tree;
pub use self::{
    asked::{Asked, ToolResult, is_answer},
    attachment::{Attachment, AttachmentContent},
    compare::IgnoredPart,
    event::Event,
    layout::{Blob, Rendered, blob_name},
    miss::{Miss, MissReason, NearMiss},
    patterns::is_secret_name,
    player::{
        FixtureStatus, LoadedFixture, Match, Player, PlayerSettings, PlayerStatus, WhenExhausted,
    },
    read::{FileFinding, line_of, read},
    retranslate::Untranslatable,
    scrub::{FoundSecret, RemainingSecret, Rule, RuleError, Scrubber, Secret},
    shape::{Shape, ShapeChange},
};
use super::{
    anthropic::{ApiHeaders, Native},
    chain::{Chain, Hash},
    diff::{Diff, Difference, DifferenceKind},
    exchange::{Api, Micros},
    recording::{Recorder, Recording},
};

/// Version of the file format: raised when older files would be misread.
pub const SCHEMA: u64 = 1;
/// Parameters that upstream may refuse by name, so that they are left out.
const REFUSABLE: [&str; 9] = [
    "thinking",
    "thinking.block_binding",
    "temperature",
    "top_p",
    "top_k",
    "output_config",
    "output_config.effort",
    "service_tier",
    "metadata",
];
/// Version of the match key: raised when the key covers something else.
const KEY_VERSION: &str = "reprise fixture 1";
/// Response headers that are recorded: those that SDKs read (`reference/record-replay.md` §3).
const HEADERS: [&str; 4] = ["request-id", "retry-after", "retry-after-ms", "x-should-retry"];
/// Prefixes of response headers that are recorded.
const HEADER_FAMILIES: [&str; 1] = ["anthropic-ratelimit-"];

/// One recorded exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cassette {
    /// The day of the recording, `YYYY-MM-DD`.
    pub recorded: Option<String>,
    /// The client's request; `None` if an answer is continued, or if the fixture is for upstream requests only.
    pub client: Option<RecordedCall>,
    /// The upstream request; `None` in fixtures written by hand, where the client's request is translated instead.
    pub upstream: Option<RecordedRequest>,
    /// The policy once this was given as the last answer to its request; `None`: the player's.
    pub when_exhausted: Option<WhenExhausted>,
    /// The response.
    pub response: RecordedResponse,
}

/// A client's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedCall {
    /// The dialect.
    pub api: Api,
    /// The client program, as the ledger names it.
    pub program: Option<String>,
    /// Open WebUI's name of the background task.
    pub task: Option<String>,
    /// JSON.
    pub body: String,
}

/// A request as it went upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedRequest {
    /// Its version and betas.
    pub headers: ApiHeaders,
    /// JSON, without what does not change the answer.
    pub body: String,
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedResponse {
    /// The HTTP status.
    pub status: u16,
    /// The recorded headers, sorted by name.
    pub headers: Vec<(String, String)>,
    /// Delay before the first byte, in milliseconds, in addition to the times of the events.
    pub delay: u64,
    /// The body.
    pub body: ResponseBody,
    /// Number of events after which the connection breaks.
    pub cut_after: Option<usize>,
}

/// The body of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseBody {
    /// A stream of events.
    Events(Vec<Event>),
    /// A message written by hand, as JSON; `anthropic::unfold` turns it into a stream.
    Message(String),
    /// An error, as JSON.
    Error(String),
}

impl RecordedRequest {
    /// A request as the ledger keeps it. `None` where its texts are not what they should be.
    pub fn of(chain: &Chain, headers: &ApiHeaders) -> Option<Self> {
        Some(Self { headers: headers.normalized(), body: body(chain)? })
    }

    /// A request that was sent, as the ledger would keep it: without what does not change the answer.
    pub fn recorded(headers: &ApiHeaders, body: &[u8]) -> Option<Self> {
        Self::of(&Native::parse(body).ok()?.chain, headers)
    }

    /// The requested model.
    pub fn model(&self) -> String {
        model(&self.body)
    }

    /// A request as it is sent.
    pub fn sent(headers: &ApiHeaders, body: &[u8]) -> Self {
        let body = String::from_utf8_lossy(body).into_owned();
        Self { headers: headers.normalized(), body }
    }

    /// Under which key it is found: everything that can change the answer, scrubbed as files are. Key order, white
    /// space, `stream`, `metadata` and `cache_control` do not count.
    pub fn key(&self, scrubber: &Scrubber) -> Option<Hash> {
        let body = scrubber.match_json(&self.body)?;
        let native = Native::parse(body.as_bytes()).ok()?;
        let betas = self.headers.betas().join(",");
        let version = self.headers.version().as_bytes();
        let parts = [version, betas.as_bytes(), native.digest.as_bytes()];
        Some(Hash::of(KEY_VERSION, &parts))
    }
}

impl RecordedRequest {
    /// Differences between two requests in the parts that a key covers.
    pub fn differences(&self, other: &Self, scrubber: &Scrubber) -> Diff {
        let document = |request| compare::document(request, scrubber, &[]);
        compare::differences(&document(self), &document(other))
    }

    /// Differences between this recorded request and today's translation of it. Parameters that upstream refused when it
    /// was recorded (`translate::heal`) do not count.
    pub fn changed(&self, translated: &Self, scrubber: &Scrubber) -> Option<Diff> {
        if self.key(scrubber) == translated.key(scrubber) {
            return None;
        }
        let diff = self.differences(translated, scrubber);
        let was_refused = |difference: &Difference| {
            matches!(difference.kind, DifferenceKind::OnlyRight { .. })
                && REFUSABLE.contains(&&*difference.path)
        };
        let healed = diff.more == 0 && !diff.is_empty() && diff.differences.iter().all(was_refused);
        (!healed).then_some(diff)
    }
}

/// The body of a request whose parts the ledger has: the frame, and in it the messages.
pub fn body(chain: &Chain) -> Option<String> {
    let mut body = String::from_utf8(chain.frame.body.clone()).ok()?.trim_end().to_owned();
    body.pop().filter(|last| *last == '}')?;
    let separator = if body.trim_end().ends_with('{') { "" } else { "," };
    body += separator;
    body += "\"messages\":[";
    for (at, node) in chain.nodes.iter().enumerate() {
        if at > 0 {
            body.push(',');
        }
        body += std::str::from_utf8(&node.body).ok()?;
    }
    body += "]}";
    let mut tree = Tree::parse(&body).ok()?;
    tree.unescape();
    Some(tree.compact())
}

impl RecordedResponse {
    /// The response of a recorded stream.
    pub fn of(recording: &Recording, status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            delay: 0,
            body: ResponseBody::Events(event::of_recording(recording)),
            cut_after: None,
        }
    }

    /// The events to play; none for an error before the first byte. A message is turned into a stream, and events after
    /// a cut are left out. `model` is the model of a message that names none.
    pub fn events(&self, model: &str) -> Vec<Event> {
        let mut events = match &self.body {
            ResponseBody::Events(events) => events.clone(),
            ResponseBody::Message(message) => event::of_message(message, model),
            ResponseBody::Error(_) => Vec::new(),
        };
        events.truncate(self.cut_after.unwrap_or(usize::MAX));
        events
    }

    /// Returns whether it ends as intended: with `message_stop`, an error, or an explicit cut.
    pub fn is_complete(&self) -> bool {
        match &self.body {
            ResponseBody::Events(events) => self.cut_after.is_some() || event::has_end(events),
            ResponseBody::Message(_) | ResponseBody::Error(_) => true,
        }
    }

    /// A summary for the reader of the file, one line for each block.
    pub fn summary(&self) -> Vec<String> {
        summary::of(self)
    }
}

impl Cassette {
    /// Returns whether a hand wrote it, as far as it shows: an exported one has an upstream request, a date, and no
    /// message.
    pub const fn is_hand_written(&self) -> bool {
        self.upstream.is_none()
            || self.recorded.is_none()
            || matches!(self.response.body, ResponseBody::Message(_))
    }

    /// Returns whether its request has wildcards, so that it is a pattern and no request.
    pub fn has_wildcards(&self) -> bool {
        let bodies = [
            self.client.as_ref().map(|client| &client.body),
            self.upstream.as_ref().map(|request| &request.body),
        ];
        let has =
            |body: &String| Tree::parse(body).is_ok_and(|tree| wildcard::first(&tree).is_some());
        self.is_hand_written() && bodies.into_iter().flatten().any(has)
    }

    /// The day of the recording; `None` if none is stated, or if it is no date.
    pub fn recorded_on(&self) -> Option<Date> {
        day(self.recorded.as_deref()?)
    }

    /// The requested model.
    pub fn model(&self) -> String {
        let body = self.upstream.as_ref().map(|request| &request.body);
        let body = body.or(self.client.as_ref().map(|client| &client.body));
        body.map(|body| model(body)).unwrap_or_default()
    }

    /// The last text of the user, for which the file is named.
    pub fn last_user_text(&self) -> Option<String> {
        let body = self.client.as_ref().map(|client| &client.body);
        last_user_text(body.or(self.upstream.as_ref().map(|request| &request.body))?)
    }

    /// The response as a recording, for playback.
    pub fn recording(&self) -> Recording {
        let (mut recorder, mut recording) = (Recorder::default(), Recording::default());
        for event in self.response.events(&self.model()) {
            recorder.push(&event.bytes);
            let at = i64::try_from(event.at.saturating_mul(1000)).unwrap_or(i64::MAX);
            if let Some(segment) = recorder.cut(Micros(at)) {
                recording.append(std::sync::Arc::new(segment));
            }
        }
        recording
    }
}

/// The model that a request asks for; empty if it names none.
fn model(body: &str) -> String {
    let tree = Tree::parse(body).ok();
    let model = tree.as_ref().and_then(|tree| tree.get("model")?.text());
    model.unwrap_or_default().into_owned()
}

/// A date, `YYYY-MM-DD`.
fn day(text: &str) -> Option<Date> {
    let is_plain = text.len() == "YYYY-MM-DD".len();
    text.parse().ok().filter(|_| is_plain)
}

/// The last text of the user in a request of either dialect.
pub fn last_user_text(body: &str) -> Option<String> {
    summary::last_user_text(&Tree::parse(body).ok()?)
}

/// Returns whether a response header is recorded.
pub fn is_recorded_header(name: &str) -> bool {
    HEADERS.contains(&name) || HEADER_FAMILIES.iter().any(|family| name.starts_with(family))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_put_together_and_keyed_as_it_went_upstream() {
        let chain = Chain::new(
            br#"{"model":"m","max_tokens":5,"system":[{"type":"text","text":"\u00e9"}]}"#.to_vec(),
            [br#"{"role":"user","content":[{"type":"text","text":"Hi"}]}"#.to_vec()],
        );
        let asked = RecordedRequest::of(&chain, &ApiHeaders::default()).unwrap();
        assert_eq!(
            asked.body,
            r#"{"model":"m","max_tokens":5,"system":[{"type":"text","text":"é"}],"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}]}"#
        );
        let dressed = RecordedRequest {
            body: r#"{"stream": true, "metadata": {"user_id": "u"}, "messages": [{"content": [{"text": "Hi",
                "type": "text", "cache_control": {"type": "ephemeral"}}], "role": "user"}], "max_tokens": 5,
                "system": [{"type": "text", "text": "é"}], "model": "m"}"#
                .to_owned(),
            ..asked.clone()
        };
        let scrubber = Scrubber::default();
        assert_eq!(asked.key(&scrubber), dressed.key(&scrubber));
        let sent = RecordedRequest::sent(&ApiHeaders::default(), dressed.body.as_bytes());
        assert_eq!(asked.key(&scrubber), sent.key(&scrubber));
        let healed =
            RecordedRequest { body: asked.body.replace(",\"max_tokens\":5", ""), ..asked.clone() };
        assert!(healed.changed(&asked, &scrubber).is_some(), "nobody refuses that");
        let thinks = r#","thinking":{"type":"adaptive","block_binding":{"a":1}}"#;
        let now = RecordedRequest {
            body: asked.body.replace(",\"system\"", &format!("{thinks},\"system\"")),
            ..asked.clone()
        };
        assert!(asked.changed(&now, &scrubber).is_none(), "it was refused, and left out");
        assert!(now.changed(&asked, &scrubber).is_some(), "it is not asked for any more");
        let headers = ApiHeaders::new("2026-10-21", ["b, a,b"]);
        let other = RecordedRequest::sent(&headers, dressed.body.as_bytes());
        assert_eq!(other.headers.wire_betas(), "a,b");
        assert_ne!(asked.key(&scrubber), other.key(&scrubber));
    }
}
