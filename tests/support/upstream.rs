//! Anthropic, played from scripts on loopback.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::script::{Afterwards, BodyFraming, Script, Step};
use super::soon;
use super::wire::{Framing, Wire};

/// A server that answers each request by the next script that fits it, and remembers what it was asked. It closes all
/// its connections when it is dropped.
#[derive(Debug)]
pub(crate) struct Upstream {
    address: SocketAddr,
    stage: Arc<Player>,
    stop: CancellationToken,
}

/// A request as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Which connection it came on, counted from 0: two requests with one number shared it.
    pub(crate) connection: usize,
    pub(crate) method: String,
    pub(crate) path: String,
    /// What follows the question mark, or nothing.
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// How an exchange ended, seen from the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Running,
    /// Everything was written.
    Completed,
    /// The client went away first.
    Disconnected,
    /// The script cut the connection.
    Cut,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (stage, stop) = (Arc::new(Player::default()), CancellationToken::new());
        stage.tasks.spawn(stop.clone().run_until_cancelled_owned(accept(
            listener,
            Arc::clone(&stage),
            stop.clone(),
        )));
        Self { address, stage, stop }
    }

    /// A base URL where nobody listens.
    pub(crate) async fn nowhere() -> String {
        Self::start().await.down().await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Queues the answer to a request. Scripts are taken in order; a request that fits none gets a 500 that says so.
    pub(crate) fn push(&self, script: Script) {
        self.stage.play().scripts.push_back(script);
    }

    /// The answer to every request that no queued script fits.
    pub(crate) fn always(&self, script: Script) {
        self.stage.play().always = Some(script);
    }

    /// What `GET /v1/models` lists, in pages of at most so many. These requests take no script.
    pub(crate) fn models(&self, models: Vec<Value>, page: usize) {
        self.stage.play().models = Some(Models { list: models, page });
    }

    /// Answers the model requests by this script from now on.
    pub(crate) fn models_by(&self, script: Script) {
        self.stage.play().models_by = Some(script);
    }

    /// The requests so far but those for models, in the order they came.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.stage.exchanges.borrow().iter().map(|(request, _)| request.clone()).collect()
    }

    /// How many requests for messages have come in.
    pub(crate) fn messages(&self) -> usize {
        let exchanges = self.stage.exchanges.borrow();
        exchanges.iter().filter(|(request, _)| request.path == "/v1/messages").count()
    }

    /// Takes back the scripts that nobody has asked for.
    pub(crate) fn clear(&self) {
        self.stage.play().scripts.clear();
    }

    pub(crate) fn model_requests(&self) -> Vec<Request> {
        self.stage.play().model_requests.clone()
    }

    /// How many connections were ever made.
    pub(crate) fn connections(&self) -> usize {
        self.stage.play().connections
    }

    /// How many requests came in on a connection that was closed under them: see [`Script::then_stale`].
    pub(crate) fn stale(&self) -> usize {
        self.stage.play().stale
    }

    pub(crate) fn outcome(&self, exchange: usize) -> Outcome {
        self.stage.exchanges.borrow()[exchange].1
    }

    /// Waits until so many requests have come in, and returns the last of them.
    pub(crate) async fn await_request(&self, count: usize) -> Request {
        let mut exchanges = self.stage.exchanges.subscribe();
        let arrived = exchanges.wait_for(|exchanges| exchanges.len() >= count);
        let exchanges = soon(&format!("request {count} upstream"), arrived).await;
        exchanges.expect("the stage holds the sender")[count - 1].0.clone()
    }

    /// Waits until an exchange, counted from 0 as in [`requests`](Self::requests), has ended, which must be in this way.
    pub(crate) async fn await_outcome(&self, exchange: usize, outcome: Outcome) {
        let mut exchanges = self.stage.exchanges.subscribe();
        let ended = exchanges.wait_for(|exchanges| {
            exchanges.get(exchange).is_some_and(|(_, outcome)| *outcome != Outcome::Running)
        });
        let exchanges = soon(&format!("exchange {exchange} to be {outcome:?}"), ended).await;
        assert_eq!(exchanges.expect("the stage holds the sender")[exchange].1, outcome);
    }

    /// Closes the port and every connection, and returns the URL where nobody listens any more.
    pub(crate) async fn down(self) -> String {
        self.stop.cancel();
        self.stage.tasks.close();
        soon("the upstream to go down", self.stage.tasks.wait()).await;
        self.url()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Request {
    pub(crate) fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{error}: {:?}", self.body),
        }
    }

    /// A header's text; nothing where it is missing.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a header of plain text"))
    }
}

/// A model as `GET /v1/models` lists it, reduced to what every version of the API says.
pub(crate) fn model(id: &str, display_name: &str) -> Value {
    json!({
        "type": "model", "id": id, "display_name": display_name, "created_at": "2026-01-01T00:00:00Z",
        "lifecycle": "active", "max_input_tokens": 200_000, "max_tokens": 64_000, "capabilities": null,
    })
}

#[derive(Debug)]
struct Player {
    tasks: TaskTracker,
    play: Mutex<Play>,
    exchanges: watch::Sender<Vec<(Request, Outcome)>>,
}

#[derive(Debug, Default)]
struct Play {
    scripts: VecDeque<Script>,
    always: Option<Script>,
    models: Option<Models>,
    models_by: Option<Script>,
    model_requests: Vec<Request>,
    connections: usize,
    stale: usize,
}

#[derive(Debug)]
struct Models {
    list: Vec<Value>,
    page: usize,
}

impl Default for Player {
    fn default() -> Self {
        Self {
            tasks: TaskTracker::new(),
            play: Mutex::default(),
            exchanges: watch::Sender::new(Vec::new()),
        }
    }
}

impl Player {
    fn play(&self) -> MutexGuard<'_, Play> {
        self.play.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Play {
    fn script_for(&mut self, request: &Request) -> Script {
        let body = String::from_utf8_lossy(&request.body);
        let fits =
            |script: &Script| script.only_for.as_deref().is_none_or(|text| body.contains(text));
        match self.scripts.iter().position(fits) {
            Some(position) => self.scripts.remove(position).expect("it was found there"),
            None => self.always.clone().unwrap_or_else(|| {
                Script::error(500, "api_error", "the test has no script for this request")
                    .header("x-should-retry", "false")
            }),
        }
    }

    fn models_for(&self, request: &Request) -> Script {
        if let Some(script) = &self.models_by {
            return script.clone();
        }
        let not_found = || Script::error(404, "not_found_error", "Not Found");
        let Some(models) = &self.models else { return not_found() };
        match request.path.strip_prefix("/v1/models/") {
            Some(id) => match models.list.iter().find(|model| model["id"] == id) {
                Some(model) => Script::json(200, model),
                None => not_found(),
            },
            None => Script::json(200, &models.page(&request.query)),
        }
    }
}

impl Models {
    fn page(&self, query: &str) -> Value {
        let parameter = |name: &str| {
            url::form_urlencoded::parse(query.as_bytes())
                .find_map(|(key, value)| (key == name).then(|| value.into_owned()))
        };
        let after = parameter("after_id").and_then(|id| {
            let position = self.list.iter().position(|model| model["id"] == id.as_str());
            position.map(|position| position + 1)
        });
        let limit = parameter("limit").and_then(|limit| limit.parse().ok()).unwrap_or(20);
        let rest = &self.list[after.unwrap_or(0)..];
        let data = &rest[..rest.len().min(limit).min(self.page)];
        let id = |model: Option<&Value>| model.map_or(Value::Null, |model| model["id"].clone());
        json!({
            "data": data, "first_id": id(data.first()), "last_id": id(data.last()),
            "has_more": data.len() < rest.len(),
        })
    }
}

async fn accept(listener: TcpListener, stage: Arc<Player>, stop: CancellationToken) {
    while let Ok((stream, _)) = listener.accept().await {
        let number = {
            let mut play = stage.play();
            play.connections += 1;
            play.connections - 1
        };
        let connection = connection(stream, number, Arc::clone(&stage));
        stage.tasks.spawn(stop.clone().run_until_cancelled_owned(connection));
    }
}

/// One connection, request after request. Returning closes it.
async fn connection(stream: TcpStream, number: usize, stage: Arc<Player>) {
    let Ok(mut wire) = Wire::new(stream) else { return };
    while let Some(request) = read_request(&mut wire, number).await {
        let (outcome, afterwards) = if request.path.starts_with("/v1/models") {
            let script = {
                let mut play = stage.play();
                play.model_requests.push(request.clone());
                play.models_for(&request)
            };
            (perform(&script, "req_models", &mut wire).await, script.afterwards)
        } else {
            let script = stage.play().script_for(&request);
            let mut exchange = 0;
            stage.exchanges.send_modify(|exchanges| {
                exchange = exchanges.len();
                exchanges.push((request, Outcome::Running));
            });
            let outcome = perform(&script, &format!("req_{exchange:03}"), &mut wire).await;
            stage.exchanges.send_modify(|exchanges| exchanges[exchange].1 = outcome);
            (outcome, script.afterwards)
        };
        match (outcome, afterwards) {
            (Outcome::Completed, Afterwards::Keep) => {}
            (Outcome::Completed, Afterwards::Stale) => {
                // What is left unread when a socket is closed makes it a reset, as from a server that had gone.
                if wire.readable().await.is_ok() {
                    stage.play().stale += 1;
                }
                return;
            }
            _ => return,
        }
    }
}

async fn read_request(wire: &mut Wire, connection: usize) -> Option<Request> {
    let head = wire.head().await?;
    let mut framing = Framing::of_request(&head.headers);
    let mut body = BytesMut::new();
    loop {
        body.extend_from_slice(&wire.take(&mut framing));
        if framing == Framing::Done {
            break;
        }
        if !matches!(wire.read().await, Ok(1..)) {
            return None;
        }
    }
    let mut words = head.line.split(' ');
    let method = words.next()?.to_owned();
    let target = words.next()?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Some(Request {
        connection,
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers: head.headers,
        body: body.freeze(),
    })
}

async fn perform(script: &Script, request_id: &str, wire: &mut Wire) -> Outcome {
    for step in &script.before_head {
        if let Err(outcome) = take_step(step, script.framing, wire).await {
            return outcome;
        }
    }
    if wire.write(head(script, request_id).as_bytes()).await.is_err() {
        return Outcome::Disconnected;
    }
    for step in &script.body {
        if let Err(outcome) = take_step(step, script.framing, wire).await {
            return outcome;
        }
    }
    let end: &[u8] = match script.framing {
        BodyFraming::Chunked => b"0\r\n\r\n",
        BodyFraming::Length | BodyFraming::UntilClose => b"",
    };
    match wire.write(end).await {
        Ok(()) => Outcome::Completed,
        Err(_) => Outcome::Disconnected,
    }
}

/// The error is how the exchange ended at this step.
async fn take_step(step: &Step, framing: BodyFraming, wire: &mut Wire) -> Result<(), Outcome> {
    let wait = async {
        match step {
            Step::Piece(_) | Step::Endless(_) | Step::Cut | Step::Reset => {}
            Step::Wait(gate) => gate.pass().await,
            Step::Stall => std::future::pending().await,
        }
    };
    if let Step::Endless(piece) = step {
        let piece = Step::Piece(piece.clone());
        loop {
            Box::pin(take_step(&piece, framing, wire)).await?;
            tokio::task::yield_now().await;
        }
    }
    // A client that has gone is noticed before the next piece too: the first write to it would still succeed.
    tokio::select! {
        biased;
        () = wire.gone() => return Err(Outcome::Disconnected),
        () = wait => {}
    }
    match (step, framing) {
        // A chunk of no length would end the body.
        (Step::Piece(piece), _) if piece.is_empty() => Ok(()),
        (Step::Piece(piece), BodyFraming::Chunked) => {
            let size = format!("{:x}\r\n", piece.len());
            let chunk = [size.as_bytes(), piece, b"\r\n"].concat();
            wire.write(&chunk).await.map_err(|_| Outcome::Disconnected)
        }
        (Step::Piece(piece), BodyFraming::Length | BodyFraming::UntilClose) => {
            wire.write(piece).await.map_err(|_| Outcome::Disconnected)
        }
        (Step::Cut, _) => Err(Outcome::Cut),
        (Step::Reset, _) => {
            wire.reset();
            Err(Outcome::Cut)
        }
        (Step::Endless(_) | Step::Wait(_) | Step::Stall, _) => Ok(()),
    }
}

fn head(script: &Script, request_id: &str) -> String {
    let status = script.status;
    let mut lines = vec![format!("HTTP/1.1 {status}")];
    if !script.headers.contains_key("request-id") {
        lines.push(format!("request-id: {request_id}"));
    }
    for (name, value) in &script.headers {
        lines.push(format!("{name}: {}", value.to_str().expect("a header of plain text")));
    }
    let pieces = script.body.iter().map(|step| match step {
        Step::Piece(piece) => piece.len(),
        Step::Endless(_) | Step::Wait(_) | Step::Stall | Step::Cut | Step::Reset => 0,
    });
    match script.framing {
        BodyFraming::Length => lines.push(format!("content-length: {}", pieces.sum::<usize>())),
        BodyFraming::Chunked => lines.push("transfer-encoding: chunked".to_owned()),
        BodyFraming::UntilClose => {}
    }
    lines.push("\r\n".to_owned());
    lines.join("\r\n")
}
