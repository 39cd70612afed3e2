//! Load: clients that ask as fast as they are answered, and read every answer in full.
//!
//! The first answer that is not right to the letter ends the measurement.

use std::{
    cell::Cell,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::task::JoinSet;

use crate::mock::{self, MODEL, SMALL};

/// Users of Open WebUI, and turns of each of their chats.
const USERS: u64 = 200;
const TURNS: u64 = 4;

/// A server, and the API that it is asked in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) api: Api,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    /// OpenAI's chat completions.
    Chat,
    /// The same as Open WebUI asks, which says whose they are.
    OpenWebUi,
    /// Anthropic's messages.
    Messages,
}

/// The answers that are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Small ones, not streamed.
    Small,
    /// Streams of so many deltas, with this time between two.
    Stream { deltas: usize, delay: Duration },
}

/// The end of the load: no request begins after it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    Time(Duration),
    Requests(u64),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) kind: Kind,
    /// Number of clients.
    pub(crate) at_once: u32,
    pub(crate) until: Until,
    /// The first of the numbers that make prompts unlike; each is used once by [`Prompts::Fresh`].
    pub(crate) seed: u64,
    pub(crate) prompts: Prompts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prompts {
    /// A new one each time.
    Fresh,
    /// One for all.
    Same,
    /// So many, one after the other in no order.
    Among(u64),
}

/// The times of answers, in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Times {
    /// From the request to the end of the answer.
    pub(crate) whole: Vec<f64>,
    /// From the request to the first text.
    pub(crate) first: Vec<f64>,
}

/// Asks until the end, and returns the time of each answer. Runs within a `LocalSet`.
pub(crate) async fn run(server: Server, load: Load) -> anyhow::Result<Times> {
    let next = std::rc::Rc::new(Cell::new(0_u64));
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..load.at_once {
        let next = std::rc::Rc::clone(&next);
        clients.spawn_local(async move {
            let mut times = Times::default();
            let mut connection = connect(server.address).await?;
            loop {
                let n = next.replace(next.get() + 1);
                let over = match load.until {
                    Until::Time(time) => begun.elapsed() >= time,
                    Until::Requests(requests) => n >= requests,
                };
                if over {
                    return anyhow::Ok(times);
                }
                let n = match load.prompts {
                    Prompts::Fresh => n,
                    Prompts::Same => 0,
                    // A prime, which meets each before it comes again.
                    Prompts::Among(count) => n.wrapping_mul(7_778_777) % count,
                };
                ask(&mut connection, server, load.kind, load.seed + n, &mut times).await?;
            }
        });
    }
    let mut all = Times::default();
    while let Some(times) = clients.join_next().await {
        let times = times??;
        all.whole.extend(times.whole);
        all.first.extend(times.first);
    }
    Ok(all)
}

type Connection = SendRequest<Full<Bytes>>;

/// Opens a connection.
pub(crate) async fn connect(address: SocketAddr) -> anyhow::Result<Connection> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(async move {
        // Its end is seen by the requests on it.
        let _ = connection.await;
    });
    Ok(sender)
}

/// Asks once, in the way that the mock understands, and checks the answer.
pub(crate) async fn ask(
    connection: &mut Connection,
    server: Server,
    kind: Kind,
    n: u64,
    times: &mut Times,
) -> anyhow::Result<()> {
    let content = format!("\"Say something. {}\"", mark(kind, n));
    let messages = format!(r#"{{"role":"user","content":{content}}}"#);
    let mut answer = mock::mark(&id(n));
    match kind {
        Kind::Small => answer.push_str(SMALL),
        Kind::Stream { deltas, .. } => answer.extend((1..deltas).map(mock::delta)),
    }
    let question = Question { messages: &messages, answer: &answer, number: n };
    exchange(connection, server, kind, question, times).await
}

/// What is asked, and what must come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) messages: &'a str,
    pub(crate) answer: &'a str,
    pub(crate) number: u64,
}

/// The end of a prompt that says how it is to be answered.
pub(crate) fn mark(kind: Kind, n: u64) -> String {
    let id = id(n);
    match kind {
        Kind::Small => format!("[[m:{id} w=1]]"),
        Kind::Stream { deltas, delay } => format!("[[m:{id} n={deltas} d={}]]", delay.as_micros()),
    }
}

pub(crate) fn id(n: u64) -> String {
    format!("{n:016x}")
}

/// Asks, and checks that exactly this answer comes.
pub(crate) async fn exchange(
    connection: &mut Connection,
    server: Server,
    kind: Kind,
    question: Question<'_>,
    times: &mut Times,
) -> anyhow::Result<()> {
    connection.ready().await?;
    let request = request(server, kind, question)?;
    let begun = Instant::now();
    let ms = |begun: Instant| begun.elapsed().as_secs_f64() * 1e3;
    let response = connection.send_request(request).await?;
    let status = response.status();
    let mut body = response.into_body();
    if !status.is_success() {
        let body = body.collect().await?.to_bytes();
        bail!("{status}: {}", String::from_utf8_lossy(&body));
    }
    let mut answer = Answer::default();
    match kind {
        Kind::Small => {
            let body = body.collect().await?.to_bytes();
            times.whole.push(ms(begun));
            answer.read(&body)?;
            answer.ended = true;
        }
        Kind::Stream { .. } => {
            let mut unread = Vec::with_capacity(16 << 10);
            let mut first = None;
            while read(&mut body, &mut unread).await? {
                let lines = memchr::memrchr(b'\n', &unread).map_or(0, |end| end + 1);
                answer.read_lines(&unread[..lines])?;
                unread.drain(..lines);
                if !answer.text.is_empty() {
                    first.get_or_insert_with(|| ms(begun));
                }
            }
            times.whole.push(ms(begun));
            times.first.extend(first);
            ensure!(unread.is_empty(), "a line is cut");
        }
    }
    answer.check(question.answer)
}

fn request(
    server: Server,
    kind: Kind,
    question: Question<'_>,
) -> anyhow::Result<Request<Full<Bytes>>> {
    let Question { messages, number, .. } = question;
    let stream = matches!(kind, Kind::Stream { .. });
    let body = format!(
        r#"{{"model":"{MODEL}","max_tokens":4096,"stream":{stream},"messages":[{messages}]}}"#
    );
    let chat = || Request::post("/v1/chat/completions").header("authorization", "Bearer perf");
    let request = match server.api {
        Api::Chat => chat(),
        Api::OpenWebUi => chat()
            .header("x-owui-user", format!("user-{}", number / TURNS % USERS))
            .header("x-owui-chat", format!("chat-{}", number / TURNS))
            .header("x-owui-message", format!("message-{number}")),
        Api::Messages => Request::post("/v1/messages")
            .header("anthropic-version", "2023-06-01")
            .header("x-api-key", "perf"),
    };
    let request = request.header("host", server.address.to_string());
    Ok(request.header("content-type", "application/json").body(Full::new(body.into()))?)
}

/// Appends what comes next; `false`: it was the end.
async fn read(body: &mut Incoming, unread: &mut Vec<u8>) -> anyhow::Result<bool> {
    let Some(frame) = body.frame().await else { return Ok(false) };
    unread.extend_from_slice(frame?.data_ref().context("trailers")?);
    Ok(true)
}

/// What an answer says, in either API, as far as it is read.
#[derive(Debug, Default)]
struct Answer {
    text: String,
    /// It has a reason for its end.
    finished: bool,
    /// It has its end.
    ended: bool,
}

/// A body, chunk or event of either API.
#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    content: Vec<Said>,
    delta: Option<Said>,
    stop_reason: Option<String>,
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(alias = "message")]
    delta: Said,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(alias = "content")]
    text: Option<String>,
    stop_reason: Option<String>,
}

impl Answer {
    /// Checks that it has an end, and says this.
    fn check(&self, expected: &str) -> anyhow::Result<()> {
        ensure!(self.ended && self.finished, "the answer has no end: {self:?}");
        ensure!(self.text == expected, "another answer: {:?} for {expected:?}", self.text);
        Ok(())
    }

    fn read_lines(&mut self, lines: &[u8]) -> anyhow::Result<()> {
        for line in lines.split(|byte| *byte == b'\n') {
            let Some(data) = line.strip_prefix(b"data: ") else { continue };
            ensure!(!self.ended, "something comes after the end");
            match data {
                b"[DONE]" => self.ended = true,
                data => self.read(data)?,
            }
        }
        Ok(())
    }

    fn read(&mut self, json: &[u8]) -> anyhow::Result<()> {
        let part = serde_json::from_slice::<Part>(json);
        let part = part.with_context(|| String::from_utf8_lossy(json).into_owned())?;
        if let Some(error) = part.error {
            bail!("an error: {error}");
        }
        self.ended |= part.kind.as_deref() == Some("message_stop");
        self.finished |= part.stop_reason.is_some();
        for choice in part.choices {
            self.finished |= choice.finish_reason.is_some();
            self.text.extend(choice.delta.text);
        }
        for said in part.content.into_iter().chain(part.delta) {
            self.finished |= said.stop_reason.is_some();
            self.text.extend(said.text);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: &str = r#"data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":null}]}"#;
    const FINISH: &str = r#"data: {"choices":[{"delta":{},"finish_reason":"stop"}]}"#;

    /// What an answer of these lines says.
    fn read(lines: &[&str]) -> anyhow::Result<Answer> {
        let mut answer = Answer::default();
        answer.read_lines(lines.join("\n\n").as_bytes())?;
        Ok(answer)
    }

    #[test]
    fn a_right_answer_passes_in_both_apis() {
        let delta = r#"data: {"type":"content_block_delta","index":0,"delta":{"text":"Hi"}}"#;
        let end = r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#;
        for lines in [
            &[CHUNK, FINISH, "data: [DONE]"][..],
            &[delta, end, r#"data: {"type":"message_stop"}"#],
        ] {
            assert!(read(lines).unwrap().check("Hi").is_ok(), "{lines:?}");
        }
    }

    #[test]
    fn every_fault_of_an_answer_is_found() {
        for lines in [
            &[CHUNK, FINISH][..],
            &[CHUNK, "data: [DONE]"],
            &[CHUNK, CHUNK, FINISH, "data: [DONE]"],
            &[FINISH, "data: [DONE]"],
            &[CHUNK, FINISH, "data: [DONE]", CHUNK],
            &[CHUNK, r#"data: {"error":{"message":"no"}}"#],
            &[CHUNK, r#"data: {"choices":[{"del"#],
        ] {
            assert!(read(lines).and_then(|answer| answer.check("Hi")).is_err(), "{lines:?}");
        }
    }
}
