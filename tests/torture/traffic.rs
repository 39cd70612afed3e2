//! The requests of clients: streamed and whole, in both APIs, repeated, joined, left; what upstream does with each; and
//! what the client saw of the answer.

use std::{cell::Cell, collections::HashSet};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{disk::Disk, rounds::Chance, world::World};
use crate::support::{
    app::{CHAT, MODEL, ask, with},
    client::{Client, Read, Reply},
    script::Script,
    soon,
    sse::{self, Answer},
};

/// The user whose bodies are deleted meanwhile.
pub(super) const FORGOTTEN: &str = "forgotten";

/// One request, and the scripts by which upstream answers it.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) marker: String,
    native: bool,
    stream: bool,
    user: Option<&'static str>,
    /// Length of the question.
    length: usize,
    /// Pieces after which the client goes away.
    leaves: Option<usize>,
    pub(super) scripts: Vec<Script>,
    /// The answer need not repeat the marker.
    any_text: bool,
}

/// What a client saw to its end.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) order: Order,
    pub(super) exchange: String,
    /// The id of the call, where the answer tells it.
    pub(super) call: Option<String>,
    /// The word in `call.answered_by`.
    pub(super) how: &'static str,
    /// `None`: an error.
    pub(super) text: Option<String>,
    /// The length of the disk's trace when it was seen.
    pub(super) at: u64,
}

/// The end of one request.
#[derive(Debug, Default)]
pub(super) struct End {
    pub(super) seen: Option<Seen>,
    /// An error's body.
    pub(super) told: Bytes,
    /// It was an answer or an error, to its end.
    pub(super) is_whole: bool,
}

/// What all requests of a round share.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    pub(super) client: &'a Client,
    pub(super) key: &'a str,
    pub(super) ticks: &'a Ticks,
    pub(super) disk: &'a Disk,
}

/// Counts what clients are sent, piece by piece: a time that goes on only when something happens.
#[derive(Debug, Default)]
pub(super) struct Ticks {
    count: Cell<usize>,
    ticked: Notify,
}

impl Ticks {
    fn tick(&self) {
        self.count.set(self.count.get() + 1);
        self.ticked.notify_one();
    }

    /// Waits for so many pieces; for one task.
    pub(super) async fn reached(&self, count: usize) {
        while self.count.get() < count {
            self.ticked.notified().await;
        }
    }
}

impl Seen {
    /// Its bodies were not deleted.
    pub(super) fn is_kept(&self) -> bool {
        self.order.user != Some(FORGOTTEN)
    }
}

/// As many requests by chance. Repeats ask for what was seen before; the others are new.
pub(super) fn orders(world: &World, chance: &mut Chance, count: usize) -> Vec<Order> {
    let answered: Vec<&Seen> =
        world.seen.iter().filter(|seen| seen.text.is_some() && seen.is_kept()).collect();
    let mut orders = Vec::new();
    while orders.len() < count {
        if !answered.is_empty() && chance.one_in(5) {
            let mut order = chance.pick(&answered).order.clone();
            (order.scripts, order.leaves) = (Vec::new(), None);
            order.stream = chance.one_in(2);
            orders.push(order);
            continue;
        }
        let order = order(chance);
        if order.leaves.is_none() && chance.one_in(6) {
            // They ask the same, and one exchange answers both.
            orders.push(Order { scripts: Vec::new(), ..order.clone() });
        }
        orders.push(order);
    }
    orders
}

/// A new request whose answer is complete, at the first try.
pub(super) fn plain(chance: &mut Chance) -> Order {
    let marker = format!("marker-{}.", chance.word());
    let whole = answer(chance, &marker);
    Order {
        native: chance.one_in(3),
        stream: chance.one_in(2),
        user: chance.one_in(4).then_some(FORGOTTEN),
        length: if chance.one_in(4) { chance.below(12_000) } else { chance.below(300) },
        leaves: None,
        scripts: vec![Script::sse(whole).only_for(&marker)],
        any_text: false,
        marker,
    }
}

fn order(chance: &mut Chance) -> Order {
    let mut order = plain(chance);
    let marker = order.marker.clone();
    let first = match chance.below(14) {
        // Refused before it is answered.
        0 | 1 => {
            let refusal = Script::error(529, "overloaded_error", "too much")
                .header("retry-after-ms", "0")
                .only_for(&marker);
            if chance.one_in(3) { vec![refusal.clone(), refusal] } else { vec![refusal] }
        }
        2 => vec![Script::hang_up().only_for(&marker)],
        3 => vec![Script::sse(Answer::of(MODEL).unfinished()).cut().only_for(&marker)],
        4 => {
            let events = answer(chance, &marker);
            let told = 1 + chance.below(events.len() - 1);
            order.scripts = vec![Script::sse(events[..told].to_vec()).cut().only_for(&marker)];
            Vec::new()
        }
        5 => {
            let text = Answer::of(MODEL)
                .event(sse::content_block_start(0, r#"{"type":"text","text":"It is"}"#));
            let events = text.event(sse::error("api_error", "broken")).unfinished();
            order.scripts = vec![Script::sse(events).only_for(&marker)];
            Vec::new()
        }
        6 => {
            let refusal = Script::error(400, "invalid_request_error", "not so");
            order.scripts = vec![refusal.only_for(&marker)];
            Vec::new()
        }
        7 => {
            order.leaves = Some(chance.below(4));
            Vec::new()
        }
        _ => Vec::new(),
    };
    order.scripts.splice(0..0, first);
    order
}

/// An answer in some pieces, which do not end where events do.
pub(super) fn answer(chance: &mut Chance, marker: &str) -> Vec<Vec<u8>> {
    let mut parts = vec!["It is ".to_owned(), marker.to_owned()];
    parts.extend((0..chance.below(12)).map(|_| format!(" {}", chance.word())));
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let events = Answer::of(MODEL).text(&parts).stop("end_turn");
    if chance.one_in(2) {
        sse::cut_every(&events, 50 + chance.below(400))
    } else {
        events.into_iter().map(String::into_bytes).collect()
    }
}

impl Order {
    /// The same question, which upstream answers by these scripts.
    pub(super) fn by(mut self, scripts: impl IntoIterator<Item = Script>) -> Self {
        let scripts = scripts.into_iter().map(|script| script.only_for(&self.marker));
        self.scripts = scripts.collect();
        self
    }

    /// The same question of a client of `OpenAI`'s API that wants a stream.
    pub(super) fn streamed(mut self) -> Self {
        (self.native, self.stream) = (false, true);
        self
    }

    /// With a short question.
    pub(super) fn short(mut self) -> Self {
        self.length = 0;
        self
    }

    /// Takes any text for the answer: upstream says what it likes.
    pub(super) fn accept_any_text(&mut self) {
        self.any_text = true;
    }

    pub(super) fn accepts_any_text(&self) -> bool {
        self.any_text
    }

    /// The same question of a client that goes away after so many pieces.
    pub(super) fn left_after(mut self, pieces: usize) -> Self {
        (self.leaves, self.stream) = (Some(pieces), true);
        self
    }

    pub(super) fn request(&self, key: &str) -> Vec<u8> {
        let question = format!("{} {}", self.marker, "?".repeat(self.length));
        let body = with(ask(&question), "stream", json!(self.stream));
        let (path, body) = if self.native {
            ("/v1/messages", with(body, "max_tokens", json!(100)))
        } else {
            (CHAT, body)
        };
        let user = self.user.map_or(String::new(), |user| format!("x-owui-user: {user}\r\n"));
        let (body, host) = (body.to_string(), "host: 127.0.0.1\r\ncontent-type: application/json");
        let length = body.len();
        format!(
            "POST {path} HTTP/1.1\r\n{host}\r\nauthorization: Bearer {key}\r\n{user}content-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }

    /// Sends the request and reads the answer, as far as it comes.
    pub(super) async fn follow(&self, reading: &Reading<'_>) -> End {
        let request = self.request(reading.key);
        let reply = soon("the head of an answer", reading.client.try_raw(&request)).await;
        let Some(mut reply) = reply else { return End::default() };
        let mut body = Vec::new();
        let mut pieces = 0;
        let end = loop {
            reading.ticks.tick();
            if self.leaves == Some(pieces) {
                return End::default();
            }
            match reply.read().await {
                Read::Piece(piece) => body.extend_from_slice(&piece),
                end => break end,
            }
            pieces += 1;
        };
        // A client of Anthropic's API gets upstream's own bytes.
        let body = match String::from_utf8(body) {
            Ok(body) => body,
            Err(error) if self.native && self.any_text => {
                String::from_utf8_lossy(error.as_bytes()).into_owned()
            }
            Err(error) => panic!("not text: {error}"),
        };
        let Some(text) = self.text(&reply, &body, &end) else { return End::default() };
        let told = if text.is_none() { body.clone().into() } else { Bytes::new() };
        let exchange = reply.header("x-reprise-exchange").map(str::to_owned);
        let how = reply.header("cache-status").unwrap_or_default();
        let how = match how {
            _ if how.contains("collapsed") => "collapsed",
            _ if how.contains("; hit") => "hit",
            // An error does not say how.
            "" => "",
            _ => "miss",
        };
        let call = body.split("\"id\":\"chatcmpl-").nth(1).map(|rest| rest[..32].to_owned());
        let seen = exchange.map(|exchange| Seen {
            order: Self { scripts: Vec::new(), ..self.clone() },
            exchange,
            call,
            how,
            text,
            at: reading.disk.now(),
        });
        End { seen, told, is_whole: true }
    }

    /// The text of an answer that ended, `Some(None)` for an error that did, `None` for what was cut.
    #[expect(clippy::option_option, reason = "no end, an error, and an answer")]
    fn text(&self, reply: &Reply, body: &str, end: &Read) -> Option<Option<String>> {
        let is_whole = *end == Read::End;
        if !reply.status.is_success() {
            if !is_whole {
                return None;
            }
            let error: Value = serde_json::from_str(body).expect("an error is JSON");
            // A client of Anthropic's API gets upstream's own error, whatever it is.
            let is_ours = !(self.native && self.any_text);
            assert!(!is_ours || error["error"]["message"].is_string(), "{error}");
            return Some(None);
        }
        let text = match (self.native, self.stream) {
            (false, true) if body.contains("data: [DONE]\n\n") => {
                sse::openai_text(&sse::openai_sse(body))
            }
            (true, true) if body.contains("event: message_stop\n") => text_of(body.as_bytes()),
            (_, true) if is_whole => {
                assert!(body.contains("\"error\":{"), "an end without a reason: {body}");
                return Some(None);
            }
            (_, false) if is_whole => {
                let answer: Value = serde_json::from_str(body).expect("an answer is JSON");
                let text = if self.native {
                    &answer["content"][0]["text"]
                } else {
                    &answer["choices"][0]["message"]["content"]
                };
                text.as_str().expect("a text").to_owned()
            }
            _ => return None,
        };
        assert!(self.any_text || text.contains(&self.marker), "another's answer: {body}");
        Some(Some(text))
    }
}

/// The text of Anthropic's events, whatever stands around them. Parts of a kind that nobody knows are none of it.
pub(super) fn text_of(events: &[u8]) -> String {
    let mut text = String::new();
    let mut foreign = HashSet::new();
    let mut name = None;
    for line in events.split(|byte| *byte == b'\n') {
        if let Some(line) = line.strip_prefix(b"event: ") {
            name = Some(line);
        } else if let Some(Ok(data)) = line
            .strip_prefix(b"data: ")
            .map(|data| serde_json::from_str::<Value>(&String::from_utf8_lossy(data)))
        {
            // An event is what its name says, as for Anthropic's SDK.
            let name = name.take();
            let is = |wanted: &[u8]| name.is_none_or(|name| name == wanted);
            let index = data["index"].as_u64();
            if is(b"content_block_start") && data["content_block"].is_object() {
                let is_text = data["content_block"]["type"] == "text";
                _ = if is_text { foreign.remove(&index) } else { foreign.insert(index) };
            }
            let delta = &data["delta"];
            // A delta is what its field says: its type may be a later one's, or damaged.
            if is(b"content_block_delta") && delta["text"].is_string() && !foreign.contains(&index)
            {
                text.push_str(delta["text"].as_str().unwrap_or_default());
            }
        }
    }
    text
}
