//! The real program as a process of its own, for what only a process can do: get signals, and die.

use std::{
    fs::{self, File},
    io::PipeWriter,
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
    settle(&mut command, setup);
    command
}

/// Leaves nothing of the environment of whoever runs the tests, neither a settings file nor `CI`, in which no fixtures are
/// written.
fn settle(command: &mut Command, setup: &Setup) {
    let kept = ["PATH", "LLVM_PROFILE_FILE"].map(|name| (name, std::env::var_os(name)));
    command.env_clear().env("HOME", setup.folder()).env("NO_PROXY", "127.0.0.1");
    command.envs(kept.into_iter().filter_map(|(name, value)| Some((name, value?))));
    command.envs(setup.variables());
}

impl Binary {
    /// Starts the program and waits until it serves.
    pub(crate) async fn start(setup: &Setup) -> Self {
        let mut command = command(setup);
        command.arg("serve");
        Self::start_command(setup, command).await
    }

    /// Starts the program after this line of a shell, which sets a limit.
    pub(crate) async fn start_under(setup: &Setup, limit: &str) -> Self {
        let mut shell = Command::new("sh");
        let line = format!("{limit}; exec \"$0\" serve");
        shell.args(["-c", &line, env!("CARGO_BIN_EXE_reprise")]);
        settle(&mut shell, setup);
        Self::start_command(setup, shell).await
    }

    async fn start_command(setup: &Setup, command: Command) -> Self {
        match Self::try_start(setup, command).await {
            Ok(binary) => binary,
            Err(ended) => {
                let log = fs::read_to_string(setup.folder().join("log")).expect("a log");
                panic!("the program ended, {ended}: {log}")
            }
        }
    }

    /// Starts the program and waits until it serves; the error is how it ended before.
    pub(crate) async fn try_start(setup: &Setup, mut command: Command) -> Result<Self, ExitStatus> {
        let log = setup.folder().join("log");
        command.env("REPRISE_LOG_FORMAT", "json");
        let stderr = File::create(&log).expect("a log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let mut child = command.spawn().expect("the program");
        let (mut url, mut ended) = (None, None);
        until("the program to serve", async || {
            let log = fs::read_to_string(&log).expect("a log");
            ended = child.try_wait().expect("a child");
            let address = log.split("\"address\":\"").nth(1).and_then(|rest| rest.split_once('"'));
            url = address.map(|(address, _)| format!("http://{address}"));
            url.is_some() || ended.is_some()
        })
        .await;
        match (url, ended) {
            (Some(url), None) => Ok(Self { child, url }),
            (_, Some(ended)) => Err(ended),
            (None, None) => unreachable!("it was waited for"),
        }
    }

    /// Starts the program with this standard output and error, and waits until it serves.
    pub(crate) async fn start_with(mut command: Command, port: u16, log: PipeWriter) -> Self {
        let stdout = log.try_clone().expect("a descriptor");
        command.stdin(Stdio::null()).stdout(stdout).stderr(log);
        let mut child = command.spawn().expect("the program");
        // It holds the pipe's ends.
        drop(command);
        let url = format!("http://127.0.0.1:{port}");
        until("the program to serve", async || {
            let ended = child.try_wait().expect("a child");
            assert!(ended.is_none(), "the program ended");
            let request = b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
            Client::new(&url).try_raw(request).await.is_some()
        })
        .await;
        Self { child, url }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
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
