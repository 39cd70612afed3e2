//! Fixtures: one exchange in one readable file, and a stage that plays them.
//!
//! A [`Cassette`] is such a file in memory: what the client asked, what went upstream, what came back. The bytes of its
//! events are the truth; the summary is there for the reader and is checked. `read` and `layout` are the two directions
//! of the format, `scrub` keeps secrets out of it, `stage` finds the fixture that answers a request, and `miss` says why
//! none does.

mod event;
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

use self::tree::Tree;
pub use self::{
    event::Event,
    layout::{Blob, Rendered, blob_name},
    miss::{Miss, Near, Why},
    patterns::is_secret_name,
    player::{AtTheEnd, Entry, Line, Match, Player, Status},
    read::{Finding, Reading, read},
    scrub::{Place, Rule, RuleError, Scrubber, Secret},
    shape::{Change, Shape},
};
use super::{
    anthropic::{ApiHeaders, Native},
    chain::{Chain, Hash},
    diff::{Diff, Difference, Kind},
    exchange::{Api, Micros},
    recording::{Recorder, Recording},
};

/// The version of the format: raised when older files would be misread.
pub const SCHEMA: u64 = 1;
/// What upstream may refuse by name, so that it is left out.
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
/// A part of every match key: raised when what it covers changes.
const KEY_VERSION: &str = "reprise fixture 1";
/// What of a response's head is worth keeping: what SDKs read (`reference/record-replay.md` §3).
const HEADERS: [&str; 4] = ["request-id", "retry-after", "retry-after-ms", "x-should-retry"];
/// And families of such headers.
const HEADER_FAMILIES: [&str; 1] = ["anthropic-ratelimit-"];

/// One exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cassette {
    /// The day, `YYYY-MM-DD`.
    pub recorded: Option<String>,
    /// What the client asked; `None` where an answer is continued, or the fixture is for requests as they go upstream.
    pub client: Option<Client>,
    /// What went upstream; `None` in fixtures written by hand: what the client's request is translated to.
    pub upstream: Option<RecordedRequest>,
    /// What happens when this was given and is the last of the answers to its request; `None`: as for all.
    pub at_the_end: Option<AtTheEnd>,
    /// What came back.
    pub response: Response,
}

/// A client's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The dialect.
    pub door: Api,
    /// The program, as the ledger names it.
    pub program: Option<String>,
    /// Open WebUI's word for a background call.
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

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// HTTP's.
    pub status: u16,
    /// Those that are kept, in the order of their names.
    pub headers: Vec<(String, String)>,
    /// How long the first byte is kept back, in milliseconds, besides what the events say.
    pub delay: u64,
    /// Its body.
    pub said: Said,
    /// The connection breaks after so many events.
    pub cut_after: Option<usize>,
}

/// The body of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A stream.
    Events(Vec<Event>),
    /// A message, written by hand, as JSON: it is streamed by one rule (`anthropic::unfold`).
    Message(String),
    /// An error, as JSON.
    Error(String),
}

impl RecordedRequest {
    /// A request as the ledger keeps it. `None` where its texts are not what they should be.
    pub fn of(chain: &Chain, headers: &ApiHeaders) -> Option<Self> {
        Some(Self { headers: headers.normalized(), body: body(chain)? })
    }

    /// A request as it is sent.
    pub fn sent(headers: &ApiHeaders, body: &[u8]) -> Self {
        let body = String::from_utf8_lossy(body).into_owned();
        Self { headers: headers.normalized(), body }
    }

    /// Under which key it is found: everything that can change the answer, scrubbed as files are. Key order, white
    /// space, `stream`, `metadata` and `cache_control` do not count.
    pub fn key(&self, scrubber: &Scrubber) -> Option<Hash> {
        let body = scrubber.json(&self.body)?;
        let native = Native::parse(body.as_bytes()).ok()?;
        let betas = self.headers.betas().join(",");
        let version = self.headers.version().as_bytes();
        let parts = [version, betas.as_bytes(), native.digest.as_bytes()];
        Some(Hash::of(KEY_VERSION, &parts))
    }
}

impl RecordedRequest {
    /// What differs between this request and another in what a key covers.
    pub fn differences(&self, other: &Self, scrubber: &Scrubber) -> Diff {
        miss::changes(self, other, scrubber)
    }

    /// What the translation of today, `now`, has changed of this request, as it was recorded. That upstream refused a part
    /// by name and got the rest (`translate::heal`) is no such change: only what may be refused is missing then.
    pub fn changed(&self, now: &Self, scrubber: &Scrubber) -> Option<Diff> {
        if self.key(scrubber) == now.key(scrubber) {
            return None;
        }
        let diff = self.differences(now, scrubber);
        let was_refused = |difference: &Difference| {
            matches!(difference.kind, Kind::OnlyRight { .. })
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

impl Response {
    /// A stream as it was recorded.
    pub fn of(recording: &Recording, status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            delay: 0,
            said: Said::Events(event::of_recording(recording)),
            cut_after: None,
        }
    }

    /// The events that are played, with when they come; none for an error before the first byte. A message is streamed;
    /// what comes after a cut is left out. `model` stands in a message that names none.
    pub fn events(&self, model: &str) -> Vec<Event> {
        let mut events = match &self.said {
            Said::Events(events) => events.clone(),
            Said::Message(message) => event::of_message(message, model),
            Said::Error(_) => Vec::new(),
        };
        events.truncate(self.cut_after.unwrap_or(usize::MAX));
        events
    }

    /// Whether it ends as an answer ends: with `message_stop`, an error, or a cut that was asked for.
    pub fn is_complete(&self) -> bool {
        match &self.said {
            Said::Events(events) => self.cut_after.is_some() || event::end(events),
            Said::Message(_) | Said::Error(_) => true,
        }
    }

    /// What it says, a line a block: for the reader of the file.
    pub fn summary(&self) -> Vec<String> {
        summary::of(self)
    }
}

impl Cassette {
    /// The model that is asked.
    pub fn model(&self) -> String {
        let body = self.upstream.as_ref().map(|asked| &asked.body);
        let body = body.or(self.client.as_ref().map(|client| &client.body));
        let tree = body.and_then(|body| Tree::parse(body).ok());
        let model = tree.as_ref().and_then(|tree| tree.get("model")?.text());
        model.unwrap_or_default().into_owned()
    }

    /// What the person asked last, as far as it is text: what the file is named for.
    pub fn question(&self) -> Option<String> {
        let body = self.client.as_ref().map(|client| &client.body);
        question(body.or(self.upstream.as_ref().map(|asked| &asked.body))?)
    }

    /// What came back as a recording: what playback reads.
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

/// The last thing that a user says in a request of either dialect, as far as it is text.
pub fn question(body: &str) -> Option<String> {
    summary::question(&Tree::parse(body).ok()?)
}

/// Whether a header of a response is kept.
pub fn keeps_header(name: &str) -> bool {
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
