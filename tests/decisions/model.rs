//! Sequences of calls against the whole proxy and against the specification at once: each call is answered from the
//! source that [`Spec`] says, with the right text, and upstream is asked as often.
//!
//! The sequences are drawn from a fixed seed. `REPRISE_TORTURE_MINUTES` goes on with others for so long, also with kills.

use std::{
    env,
    time::{Duration, Instant},
};

use proptest::{
    collection::vec,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner},
};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::{
    spec::{Call, FORGOTTEN, Kind, Settings, Source, Spec},
    steps::{Fate, Step, settings, step},
};
use crate::{
    proxy::chats::status,
    support::{
        app::{App, CHAT, MODEL, Setup},
        binary::Binary,
        client::{Client, Reply},
        script::{Gate, Script},
        soon,
        sse::{self, Answer},
        until,
        upstream::Upstream,
    },
};

/// The server, in this process or as one of its own, which can be killed.
#[derive(Debug)]
enum Server {
    Inside(App),
    Process(Binary),
}

/// How a call was answered, as its client saw it.
#[derive(Debug)]
struct Told {
    http: u16,
    status: Option<String>,
    /// `None`: it ended in an error.
    text: Option<String>,
}

/// An exchange that upstream has not finished.
#[derive(Debug)]
struct Open {
    exchange: usize,
    text: String,
    gate: Gate,
    /// The clients, and the `Cache-Status` of each.
    readers: Vec<(JoinHandle<Told>, &'static str)>,
}

#[derive(Debug)]
struct World {
    setup: Setup,
    upstream: Upstream,
    server: Option<Server>,
    spec: Spec,
    open: Vec<Open>,
    asked: usize,
    clients: TaskTracker,
}

impl Server {
    async fn start(setup: &Setup, as_process: bool) -> Self {
        if as_process {
            Self::Process(Binary::start(setup).await)
        } else {
            Self::Inside(setup.start().await)
        }
    }

    fn client(&self) -> Client {
        match self {
            Self::Inside(app) => app.client(),
            Self::Process(binary) => binary.client(),
        }
    }
}

impl Told {
    async fn of(reply: Reply, streams: bool) -> Self {
        let http = reply.status.as_u16();
        let status = reply.header("cache-status").map(|_| status(&reply));
        if http != 200 {
            reply.text().await;
            return Self { http, status, text: None };
        }
        let text = if streams {
            let chunks = reply.chunks().await;
            let is_done = chunks.last().is_some_and(|last| last == "[DONE]");
            is_done.then(|| sse::openai_text(&chunks))
        } else {
            let body = reply.json().await;
            body["choices"][0]["message"]["content"].as_str().map(str::to_owned)
        };
        Self { http, status, text }
    }
}

impl World {
    async fn start(settings: Settings, as_process: bool) -> Self {
        let upstream = Upstream::start().await;
        let setup = Setup::of(&upstream)
            .set("REPRISE_CACHE", settings.cache)
            .set("REPRISE_CACHE_SCOPE", settings.scope)
            .set("REPRISE_NO_STORE_USERS", FORGOTTEN);
        Self {
            server: Some(Server::start(&setup, as_process).await),
            setup,
            upstream,
            spec: Spec::new(settings),
            open: Vec::new(),
            asked: 0,
            clients: TaskTracker::new(),
        }
    }

    fn client(&self) -> Client {
        self.server.as_ref().expect("a server").client()
    }

    async fn take(&mut self, step: &Step) {
        match step {
            Step::Call(call, fate) => self.call(call, *fate).await,
            Step::Finish(which) if !self.open.is_empty() => {
                self.finish(which % self.open.len()).await;
            }
            Step::Leave(which) if !self.open.is_empty() => {
                self.leave(which % self.open.len(), *which).await;
            }
            Step::Finish(_) | Step::Leave(_) => {}
            Step::Clear => {
                let reply = self.client().post("/cache/clear", &json!({})).await;
                assert_eq!(reply.status, 200);
                self.spec.clear();
            }
            Step::Restart => self.restart().await,
        }
        assert_eq!(self.upstream.requests().len(), self.asked, "requests upstream");
    }

    async fn call(&mut self, call: &Call, fate: Fate) {
        let source = self.spec.call(call);
        match source {
            Source::Upstream(status) => self.ask(call, fate, status).await,
            Source::Running(exchange) => {
                let reader = self.send(call);
                let open = self.open.iter_mut().find(|open| open.exchange == exchange);
                open.expect("it runs").readers.push((reader, "fwd=miss; collapsed"));
                self.settle().await;
            }
            Source::Ledger(text) => {
                let told = soon("a hit", self.send(call)).await.expect("a client");
                let expected = (200, Some("hit"), Some(&*text));
                assert_eq!((told.http, told.status.as_deref(), told.text.as_deref()), expected);
            }
            Source::None => {
                let told = soon("a refusal", self.send(call)).await.expect("a client");
                assert_eq!(told.http, 504, "{told:?}");
            }
        }
    }

    /// A call that goes upstream.
    async fn ask(&mut self, call: &Call, fate: Fate, status: &'static str) {
        let exchange = self.asked;
        self.asked += 1;
        let text = format!("answer {exchange} to {}", call.prompt);
        let stop = if fate == Fate::Truncates { "max_tokens" } else { "end_turn" };
        let events = Answer::of(MODEL).text(&["The ", &text]).stop(stop);
        let text = format!("The {text}");
        let gate = Gate::new();
        let fate = if fate == Fate::Cuts && !call.streams { Fate::Refuses } else { fate };
        let script = match fate {
            Fate::Answers | Fate::Truncates => Script::sse(events),
            Fate::Refuses => Script::error(400, "invalid_request_error", "Not today."),
            Fate::Cuts => Script::sse(events[..3].to_vec()).cut(),
            Fate::Waits => Script::sse(events).hold(&gate),
            Fate::Pauses => {
                Script::sse(events[..3].to_vec()).wait(&gate).pieces(events[3..].to_vec())
            }
        };
        self.upstream.push(script);
        let reader = self.send(call);
        if matches!(fate, Fate::Waits | Fate::Pauses) {
            gate.reached(1).await;
            let readers = vec![(reader, status)];
            self.open.push(Open { exchange, text, gate, readers });
            return self.settle().await;
        }
        let told = soon("an answer", reader).await.expect("a client");
        let (answer, servable) = match fate {
            Fate::Answers => (Some(&*text), true),
            Fate::Truncates => (Some(&*text), false),
            _ => (None, false),
        };
        self.spec.end(exchange, answer, servable);
        assert_eq!(told.text.as_deref(), answer, "{told:?}");
        if fate == Fate::Refuses {
            assert_eq!(told.http, 400, "{told:?}");
        } else {
            assert_eq!((told.http, told.status.as_deref()), (200, Some(status)));
        }
        self.settle().await;
    }

    async fn finish(&mut self, which: usize) {
        let Open { exchange, text, gate, readers } = self.open.remove(which);
        gate.open();
        for (reader, status) in readers {
            let told = soon("the rest of an answer", reader).await.expect("a client");
            let expected = (200, Some(status), Some(&*text));
            assert_eq!((told.http, told.status.as_deref(), told.text.as_deref()), expected);
        }
        self.spec.end(exchange, Some(&text), true);
        self.settle().await;
    }

    async fn leave(&mut self, which: usize, reader: usize) {
        let readers = &mut self.open[which].readers;
        let (reader, _) = readers.remove(reader % readers.len());
        reader.abort();
        if readers.is_empty() {
            let Open { exchange, gate, .. } = self.open.remove(which);
            self.spec.end(exchange, None, false);
            self.settle().await;
            gate.open();
        } else {
            self.settle().await;
        }
    }

    /// Kills a process with all that runs in it. A server in this process is stopped in order, after its clients have left.
    async fn restart(&mut self) {
        let open = std::mem::take(&mut self.open);
        let readers = || open.iter().flat_map(|open| &open.readers);
        let as_process = match self.server.take().expect("a server") {
            Server::Inside(app) => {
                readers().for_each(|(reader, _)| reader.abort());
                app.stop().await;
                false
            }
            Server::Process(mut binary) => {
                binary.kill();
                readers().for_each(|(reader, _)| reader.abort());
                true
            }
        };
        for Open { gate, .. } in &open {
            gate.open();
        }
        self.server = Some(Server::start(&self.setup, as_process).await);
        self.spec.restart();
    }

    /// Sends a call from a client that reads on by itself.
    fn send(&self, call: &Call) -> JoinHandle<Told> {
        let Call { kind, user, chat, message, user_message, prompt, control, streams } = *call;
        let mut client = self.client();
        let ids =
            [("user", user), ("chat", chat), ("message", message), ("user-message", user_message)];
        for (name, id) in ids {
            if let Some(id) = id {
                client = client.header(&format!("x-owui-{name}"), id);
            }
        }
        if !control.is_empty() {
            client = client.header("cache-control", control);
        }
        client = match kind {
            Kind::Chat | Kind::Plain => client,
            Kind::Title => client.header("x-owui-task", "title_generation"),
            Kind::Tags => client.header("x-owui-task", "tags_generation"),
            Kind::Nameless => client.header("user-agent", "Python/3.11 aiohttp/3.13"),
        };
        let content = format!("{kind:?} {prompt}");
        let messages = json!([{ "role": "user", "content": content }]);
        let body = json!({ "model": MODEL, "stream": streams, "messages": messages });
        self.clients.spawn(async move { Told::of(client.post(CHAT, &body).await, streams).await })
    }

    /// Waits until the server has so many exchanges and calls as it should have.
    async fn settle(&self) {
        let calls: usize = self.open.iter().map(|open| open.readers.len()).sum();
        let running = json!({ "exchanges": self.open.len(), "calls": calls });
        let client = self.client();
        until(&format!("{running} to run"), async || {
            client.get("/ready").await.json().await["running"] == running
        })
        .await;
    }
}

/// Runs sequences, and shrinks one that fails.
fn run(cases: u32, seed: u64, as_process: bool) {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config =
        Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, rng);
    let outcome = runner.run(&(settings(), vec(step(), 1..40)), |(settings, steps)| {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let run = std::panic::AssertUnwindSafe(|| {
            runtime.block_on(async {
                let mut world = World::start(settings, as_process).await;
                for step in &steps {
                    world.take(step).await;
                }
            });
        });
        std::panic::catch_unwind(run).map_err(|panic| {
            let said = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            TestCaseError::fail(said)
        })
    });
    if let Err(error) = outcome {
        panic!("seed {seed}: {error}");
    }
}

#[test]
fn sequences_of_calls_are_answered_as_the_specification_says() {
    run(60, 1, false);
    let Some(minutes) =
        env::var("REPRISE_TORTURE_MINUTES").ok().and_then(|text| text.parse::<u64>().ok())
    else {
        return;
    };
    let (began, limit) = (Instant::now(), Duration::from_secs(60 * minutes));
    let seeds = 2..;
    for seed in seeds.take_while(|_| began.elapsed() < limit) {
        run(20, seed, seed % 4 == 0);
    }
}

#[test]
fn sequences_of_calls_are_answered_so_also_after_a_kill() {
    run(8, 1, true);
}

/// A ledger that cannot be written changes no decision: what it is to know later is remembered.
#[tokio::test]
async fn a_late_ledger_changes_no_answer() {
    let mut world = World::start(Settings { cache: "all", scope: "user" }, false).await;
    let call = |chat, message, user_message| Call {
        kind: Kind::Chat,
        user: Some("ann"),
        chat: Some(chat),
        message: Some(message),
        user_message: Some(user_message),
        prompt: "one",
        control: "",
        streams: true,
    };
    let lock = world.setup.ledger().lock().await;
    for call in [
        call("c1", "m1", "u1"),
        call("c1", "m1", "u1"),
        call("c2", "m2", "u2"),
        call("c2", "m2", "u2"),
        call("c3", "m3", "u1"),
    ] {
        world.take(&Step::Call(call, Fate::Answers)).await;
    }
    lock.release().await;
    world.take(&Step::Restart).await;
    world.take(&Step::Call(call("c2", "m4", "u3"), Fate::Answers)).await;
}
