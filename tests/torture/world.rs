//! What every test attacks: a scripted upstream, a ledger in a folder of its own, and the program, over a disk that can
//! fail. Three keys that stand nowhere else show where a key must not be.

use std::{
    cell::Cell,
    fs,
    path::PathBuf,
    process::{Command, ExitStatus, Output},
};

use serde_json::Value;

use super::{
    disk::Disk,
    rounds::Chance,
    traffic::{Order, Reading, Seen, Ticks},
};
use crate::support::{
    app::Setup,
    binary::{Binary, command},
    client::Client,
    ledger::Ledger,
    soon, until,
    upstream::Upstream,
};

/// One ledger and all that was seen of its answers.
#[derive(Debug)]
pub(super) struct World {
    pub(super) upstream: Upstream,
    pub(super) setup: Setup,
    pub(super) disk: Disk,
    pub(super) keys: Keys,
    /// What clients saw to its end.
    pub(super) seen: Vec<Seen>,
    /// What the program told to others: errors, `/ready`.
    pub(super) told: Vec<u8>,
    /// Answers and errors of the last traffic that came to their end.
    pub(super) whole: usize,
    /// What the tally has of this world already.
    pub(super) counted: (usize, usize, usize),
    is_killed: Cell<bool>,
    folder: PathBuf,
}

/// The credentials of a world.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub(super) client: String,
    pub(super) operator: String,
    pub(super) anthropic: String,
}

impl World {
    pub(super) async fn new(chance: &mut Chance) -> Self {
        let upstream = Upstream::start().await;
        let mut folder = tempfile::Builder::new().prefix("torture-").tempdir().expect("a folder");
        // This world removes it itself, unless a test fails in it.
        folder.disable_cleanup(true);
        let path = folder.path().to_owned();
        let mut key = |of: &str| format!("{of}-{}{}", chance.word(), chance.word());
        let keys = Keys {
            client: key("key-of-clients"),
            operator: key("key-of-operators"),
            anthropic: key("sk-ant-api03"),
        };
        let setup = Setup::within(&upstream.url(), folder)
            .set("REPRISE_API_KEY", &keys.client)
            .set("REPRISE_ADMIN_KEY", &keys.operator)
            .set("ANTHROPIC_API_KEY", &keys.anthropic)
            .set("REPRISE_LOG_FORMAT", "json");
        Self {
            upstream,
            setup,
            disk: Disk::new(),
            keys,
            seen: Vec::new(),
            told: Vec::new(),
            whole: 0,
            is_killed: Cell::new(false),
            counted: (0, 0, 0),
            folder: path,
        }
    }

    pub(super) fn set(mut self, variable: &'static str, value: &str) -> Self {
        self.setup = self.setup.clone().set(variable, value);
        self
    }

    pub(super) fn ledger(&self) -> Ledger {
        self.setup.ledger()
    }

    /// The program over the disk of this world.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.setup);
        self.disk.under(&mut command, self.setup.folder());
        command.args(arguments);
        command
    }

    pub(super) async fn start(&self) -> Binary {
        match self.try_start().await {
            Ok(binary) => binary,
            Err(ended) => panic!("{ended}: {}", self.log()),
        }
    }

    pub(super) async fn try_start(&self) -> Result<Binary, ExitStatus> {
        let started = Binary::try_start(&self.setup, self.command(&["serve"])).await;
        if started.is_ok() {
            self.is_killed.set(false);
        }
        started
    }

    /// Runs a command of an operator, beside the server at this URL or alone.
    pub(super) fn run(
        &self,
        server: Option<&str>,
        arguments: &[&str],
    ) -> impl Future<Output = Output> + use<> {
        let mut command = self.command(arguments);
        if let Some((_, port)) = server.and_then(|url| url.rsplit_once(':')) {
            command.env("REPRISE_PORT", port);
        }
        // A fixture is not written there.
        command.env_remove("CI");
        // It runs from now on, awaited or not.
        let run = tokio::task::spawn_blocking(move || command.output());
        async { soon("a command to end", run).await.expect("its end").expect("the program") }
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.setup.folder().join("log")).expect("a log")
    }

    /// Sends these requests at once and reads the answers, while `event` comes to pass.
    pub(super) async fn traffic(
        &mut self,
        url: &str,
        orders: Vec<Order>,
        ticks: &Ticks,
        event: impl Future<Output = ()>,
    ) -> usize {
        for order in &orders {
            order.scripts.iter().for_each(|script| self.upstream.push(script.clone()));
        }
        let client = Client::new(url);
        let reading = Reading { client: &client, key: &self.keys.client, ticks, disk: &self.disk };
        let reading =
            futures_util::future::join_all(orders.iter().map(|order| order.follow(&reading)));
        let mut reading = Box::pin(reading);
        let ends = tokio::select! {
            biased;
            ends = &mut reading => ends,
            () = event => reading.await,
        };
        let before = self.seen.len();
        self.whole = ends.iter().filter(|end| end.is_whole).count();
        for end in ends {
            self.told.extend(end.told);
            self.seen.extend(end.seen);
        }
        self.upstream.clear();
        self.seen.len() - before
    }

    /// Takes note that the program was killed: the next start restores calls from the journal.
    pub(super) fn killed(&self) {
        self.is_killed.set(true);
    }

    /// Nobody has closed the books of a process that was killed.
    pub(super) fn is_killed(&self) -> bool {
        self.is_killed.get()
    }

    /// The status and body of `/ready`.
    pub(super) async fn ready(&mut self, binary: &Binary) -> (u16, Value) {
        let reply = binary.client().get("/ready").await;
        let (status, body) = (reply.status.as_u16(), reply.json().await);
        self.told.extend_from_slice(body.to_string().as_bytes());
        (status, body)
    }

    /// Waits until `/ready` has this status and no row waits.
    pub(super) async fn until_ready(&mut self, binary: &Binary) {
        until("the ledger to be written", async || {
            let (status, body) = self.ready(binary).await;
            status == 200 && body["ledger"]["queued"] == 0
        })
        .await;
    }

    /// Ends the program in order.
    pub(super) async fn stop(&self, mut binary: Binary) {
        binary.signal("TERM");
        let ended = binary.ended().await;
        assert!(ended.success(), "{ended}: {}", self.log());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            use std::io::Write;
            let line = format!("ledger and log are in {}\n", self.folder.display());
            let _ = std::io::stderr().write_all(line.as_bytes());
        } else {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}
