//! A Postgres of a test's own, which it may stop. `tests/postgres/server` starts the one that tests share.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use sqlx::{ConnectOptions, Connection, postgres::PgConnectOptions};
use tempfile::TempDir;

use super::until;

/// A server on loopback, whose data are deleted when it is dropped.
#[derive(Debug)]
pub(crate) struct Postgres {
    programs: PathBuf,
    folder: TempDir,
    data: PathBuf,
    port: u16,
    server: Option<Child>,
}

/// A way for a server to end.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shutdown {
    /// Sessions end at once, and everything is written.
    Fast,
    /// As in a crash: the next start recovers from the log.
    Immediate,
}

impl Postgres {
    /// Starts a server with an empty database.
    pub(crate) async fn start() -> Self {
        Self::initialize(None).await
    }

    /// Starts one whose tables are in this folder, and whose write-ahead log is elsewhere.
    pub(crate) async fn start_on(disk: &Path) -> Self {
        Self::initialize(Some(disk)).await
    }

    async fn initialize(disk: Option<&Path>) -> Self {
        let mut postgres = Self::new();
        let folder = postgres.folder.path();
        let mut command = as_user(&postgres.programs.join("initdb"));
        command.args([
            "--username=reprise",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]);
        if let Some(disk) = disk {
            give(disk);
            command.arg("--waldir").arg(folder.join("log-ahead"));
            postgres.data = disk.join("data");
        }
        run(command.arg("--pgdata").arg(&postgres.data));
        postgres.start_again().await;
        postgres
    }

    /// Starts a standby of this server, which answers those who only read.
    pub(crate) async fn standby(&self) -> Self {
        let mut standby = Self::new();
        let mut command = as_user(&self.programs.join("pg_basebackup"));
        command.args(["--host=127.0.0.1", "--username=reprise", "--checkpoint=fast", "--no-sync"]);
        command.args(["--write-recovery-conf", "--port", &self.port.to_string(), "--pgdata"]);
        run(command.arg(&standby.data));
        standby.start_again().await;
        standby
    }

    /// One without data.
    fn new() -> Self {
        let programs = programs().expect("Postgres (apt-get install postgresql)");
        let folder = TempDir::new().expect("a temporary folder");
        give(folder.path());
        let data = folder.path().join("data");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let port = port.expect("a free port").port();
        Self { programs, folder, data, port, server: None }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A folder that its user may read.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The address of the database.
    pub(crate) fn address(&self) -> String {
        format!("postgres://reprise@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts the server on its data, and waits until it answers.
    pub(crate) async fn start_again(&mut self) {
        let log = File::options().create(true).append(true).open(self.log()).expect("a log");
        let mut command = as_user(&self.programs.join("postgres"));
        command.arg("-D").arg(&self.data);
        command.args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        command.args(["-c", "unix_socket_directories=", "-c", "max_connections=50"]);
        let server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        self.server = Some(server.expect("a server"));
        let options: PgConnectOptions = self.address().parse().expect("an address");
        until("Postgres to answer", async || match options.connect().await {
            Ok(conn) => conn.close().await.is_ok(),
            Err(_) => false,
        })
        .await;
    }

    /// Ends the server, and waits until it is gone.
    pub(crate) async fn stop(&mut self, how: Shutdown) {
        let signal = match how {
            Shutdown::Fast => "INT",
            Shutdown::Immediate => "QUIT",
        };
        let mut server = self.server.take().expect("a server");
        send(signal, &[server.id()]);
        until("Postgres to end", async || server.try_wait().expect("a child").is_some()).await;
    }

    /// Stops all processes of the server: its connections stay open, and nothing answers.
    pub(crate) fn pause(&self) {
        send("STOP", &self.processes());
    }

    /// Lets them go on.
    pub(crate) fn resume(&self) {
        send("CONT", &self.processes());
    }

    /// The server and its children.
    fn processes(&self) -> Vec<u32> {
        let server = self.server.as_ref().expect("a server").id();
        let parent = |process: u32| {
            let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
            // The name before may have spaces.
            stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok()
        };
        let all = fs::read_dir("/proc").expect("processes");
        let all = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let mut processes = vec![server];
        processes.extend(all.filter(|process| parent(*process) == Some(server)));
        processes
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.server.is_some() {
            // A process that is stopped does not end.
            self.resume();
            send("QUIT", &self.processes()[..1]);
        }
        if let Some(mut server) = self.server.take() {
            // It may have ended already.
            let _ = server.wait();
        }
    }
}

/// The folder of the server's programs, which Debian keeps out of the path.
fn programs() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut folders: Vec<PathBuf> =
        folders.filter_map(|folder| Some(folder.ok()?.path().join("bin"))).collect();
    folders.retain(|folder| folder.join("initdb").exists());
    folders.sort();
    folders.pop()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A program as a user that Postgres accepts: it refuses to run as root.
pub(crate) fn as_user(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
    command
}

/// Lets the user of the server write into a folder.
fn give(folder: &Path) {
    if is_root() {
        let given = Command::new("chown").args(["postgres", "--"]).arg(folder).status();
        assert!(given.expect("chown").success());
    }
}

/// Runs a program that must succeed.
fn run(command: &mut Command) {
    let output = command.output().expect("a program");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn send(signal: &str, processes: &[u32]) {
    let processes: Vec<String> = processes.iter().map(u32::to_string).collect();
    let line = format!("kill -{signal} {}", processes.join(" "));
    // One of them may have ended.
    let _ = Command::new("sh").args(["-c", &line]).stderr(Stdio::null()).status();
}
