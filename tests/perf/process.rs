//! The measured processes: each on one core, with what the kernel says of its time and memory.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant, UNIX_EPOCH},
};

use anyhow::{Context as _, bail, ensure};

use crate::load::{self, Api, Kind, Server, Times};

/// The core of the measured process; the other one has upstream and clients.
const CORE: &str = "1";

/// Ticks of the kernel's accounting in a second: `USER_HZ`, which is 100 on all that Rust builds on.
const TICKS: f64 = 100.0;

/// A process that serves. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pub(crate) server: Server,
}

impl Process {
    /// Starts a role of this program on the core of the measured.
    pub(crate) async fn role(role: &str, arguments: &[String]) -> anyhow::Result<Self> {
        let port = free_port()?;
        let mut command = pinned(&std::env::current_exe()?);
        command.arg(role).arg(port.to_string()).args(arguments);
        Self::start(command, port, Api::Messages).await
    }

    /// Starts `reprise serve`, with its ledger and its log in `folder`.
    pub(crate) async fn reprise(
        binary: &Path,
        folder: &Path,
        upstream: SocketAddr,
    ) -> anyhow::Result<Self> {
        Self::replica(binary, folder, &file(folder), upstream).await
    }

    /// The same with a ledger elsewhere.
    pub(crate) async fn replica(
        binary: &Path,
        folder: &Path,
        ledger: &str,
        upstream: SocketAddr,
    ) -> anyhow::Result<Self> {
        let port = free_port()?;
        let mut command = reprise(binary, folder, ledger);
        command.args(["serve", "--host", "127.0.0.1", "--port", &port.to_string()]);
        command.env("ANTHROPIC_BASE_URL", format!("http://{upstream}"));
        command.envs([("ANTHROPIC_API_KEY", "sk-ant-mock"), ("REPRISE_API_KEY", "perf")]);
        let log = fs::File::create(folder.join("log"))?;
        command.stdout(log.try_clone()?).stderr(log);
        Self::start(command, port, Api::Chat).await
    }

    /// Starts a server and waits for its first answer.
    async fn start(mut command: Command, port: u16, api: Api) -> anyhow::Result<Self> {
        let child = command.stdin(Stdio::null()).spawn()?;
        let server = Server { address: SocketAddr::from(([127, 0, 0, 1], port)), api };
        let mut process = Self { child, server };
        let begun = Instant::now();
        // No repeat of what an earlier start asked.
        let n = u64::try_from(UNIX_EPOCH.elapsed()?.as_nanos())?;
        loop {
            let asked = async {
                let mut connection = load::connect(server.address).await?;
                load::ask(&mut connection, server, Kind::Small, n, &mut Times::default()).await
            };
            let Err(error) = asked.await else { return Ok(process) };
            if let Some(status) = process.child.try_wait()? {
                bail!("{command:?} ended, {status}");
            }
            if begun.elapsed() > Duration::from_secs(20) {
                return Err(error.context(format!("{command:?} does not answer")));
            }
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
    }

    /// Time of the processor that the process and its children have used, in milliseconds.
    pub(crate) fn cpu_ms(&self) -> f64 {
        tree_cpu_ms(self.child.id())
    }

    /// Memory that it has, in megabytes.
    pub(crate) fn rss(&self) -> anyhow::Result<f64> {
        self.status("VmRSS:")
    }

    /// The most memory that it had since [`Self::forget_peak`], in megabytes.
    pub(crate) fn peak_rss(&self) -> anyhow::Result<f64> {
        self.status("VmHWM:")
    }

    pub(crate) fn forget_peak(&self) -> anyhow::Result<()> {
        // proc(5): 5 resets the peak.
        Ok(fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")?)
    }

    fn status(&self, field: &str) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)).context("no memory")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024.0 / 1e6)
    }

    /// Asks the process to end, and waits until it has.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command of `reprise` with this ledger, with its files in `folder`, and with no settings of whoever measures.
pub(crate) fn reprise(binary: &Path, folder: &Path, ledger: &str) -> Command {
    let mut command = pinned(binary);
    let ours = |name: &str| name.starts_with("REPRISE_") || name.starts_with("ANTHROPIC_");
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    command.env_remove("XDG_CONFIG_HOME").env_remove("XDG_STATE_HOME").env("HOME", folder);
    command.env("REPRISE_DATABASE_URL", ledger);
    command
}

/// Milliseconds that a command takes. Its output is left out.
pub(crate) fn timed(command: &mut Command) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let status = command.stdout(Stdio::null()).status()?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

/// The URL of the ledger in `folder`.
pub(crate) fn file(folder: &Path) -> String {
    format!("sqlite://{}?mode=rwc", ledger(folder).display())
}

/// The file of the ledger in `folder`.
pub(crate) fn ledger(folder: &Path) -> PathBuf {
    folder.join("ledger.db")
}

/// A command that runs on the core of the measured.
fn pinned(program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", CORE]).arg(program);
    command
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Time of the processor that a process and its children have used, those that have ended included, in milliseconds.
pub(crate) fn tree_cpu_ms(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may have spaces; from the 12th field after it stand utime, stime, and those of children.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(11).take(4);
    let own: f64 = ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let children: String = children.collect();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    own * 1e3 / TICKS + children.map(tree_cpu_ms).sum::<f64>()
}

/// Time of the processors that others than this program and its children have used, in milliseconds. Its differences
/// are the noise.
pub(crate) fn others_ms() -> anyhow::Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let fields: Vec<f64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split(' ')
        .filter_map(|it| it.parse().ok())
        .collect();
    // proc(5): user, nice, system, then idle and iowait, irq, softirq, and steal, which the host gave to others.
    let busy: f64 = [0, 1, 2, 5, 6, 7].iter().filter_map(|at| fields.get(*at)).sum();
    Ok(busy * 1e3 / TICKS - tree_cpu_ms(std::process::id()))
}

/// Name of the processor, number of cores and version of the kernel.
pub(crate) fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let mut models = cpus.lines().filter_map(|line| line.strip_prefix("model name"));
    let model = models.next().map_or("?", |name| name.trim_start_matches([' ', '\t', ':']));
    let cores = models.count() + 1;
    format!("{cores} cores of {model}, Linux {}", read("/proc/sys/kernel/osrelease").trim())
}

/// A folder that is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(path: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
