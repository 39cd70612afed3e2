//! The real program as a process of its own, for what only a process can do: get signals, and die.

use std::{
    fs::{self, File},
    process::{Child, Command, ExitStatus, Stdio},
};

use super::{app::Setup, client::Client, until};

/// `reprise serve` with its log in a file. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Binary {
    child: Child,
    url: String,
}

/// The program with these settings and no others.
pub(crate) fn command(setup: &Setup) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reprise"));
    let ours = |name: &str| name.starts_with("REPRISE_") || name.starts_with("ANTHROPIC_");
    for name in std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()) {
        if ours(&name) {
            command.env_remove(name);
        }
    }
    command.env("NO_PROXY", "127.0.0.1").envs(setup.variables());
    command
}

impl Binary {
    /// Starts the program and waits until it serves.
    pub(crate) async fn start(setup: &Setup) -> Self {
        let log = setup.folder().join("log");
        let mut command = command(setup);
        command.env("REPRISE_LOG_FORMAT", "json").arg("serve");
        let stderr = File::create(&log).expect("a log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let mut child = command.spawn().expect("the program");
        let mut url = None;
        until("the program to serve", async || {
            let log = fs::read_to_string(&log).expect("a log");
            let ended = child.try_wait().expect("a child");
            assert!(ended.is_none(), "the program ended: {log}");
            let address = log.split("\"address\":\"").nth(1).and_then(|rest| rest.split_once('"'));
            url = address.map(|(address, _)| format!("http://{address}"));
            url.is_some()
        })
        .await;
        Self { child, url: url.expect("an address") }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.url)
    }

    /// `kill -9`. When this returns, the process is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a process to kill");
        self.child.wait().expect("the end of the process");
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let line = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &line]).status().expect("a shell");
        assert!(sent.success());
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("the program to end", async || {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        })
        .await;
        status.expect("an exit status")
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
