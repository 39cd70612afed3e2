//! A shell in which the examples of a page are run, in a home of its own.
//!
//! Its outputs are a terminal, since the program prints other things to a person than to a pipe; its input is a pipe. A
//! command that serves goes to the background, as the reader would give it another terminal.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File, Permissions},
    io::{Read, Write},
    net::TcpListener,
    os::{
        fd::OwnedFd,
        unix::fs::{PermissionsExt, symlink},
    },
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Instant,
};

use regex::{Captures, Regex};
use rustix::{
    fs::{Mode, OFlags, open},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};
use tempfile::TempDir;

use crate::support::PATIENCE;

/// Begins and ends a line of the shell's that tells an exit code.
const MARK: char = '\u{1e}';
/// The home that the pages show.
const SHOWN_HOME: &str = "/home/you";
/// The address of upstream that the pages show.
const SHOWN_UPSTREAM: &str = "https://api.anthropic.com";

/// Stand-in for cargo: the program was built for the test.
const CARGO: &str = r#"#!/bin/sh
case "$*" in
    "run --release") exec reprise ;;
    "run --release -- "*) shift 3; exec reprise "$@" ;;
    "install --locked --path .") ;;
    *) echo "not a command of the pages: cargo $*" >&2; exit 1 ;;
esac
"#;

pub(super) struct Shell {
    home: TempDir,
    child: Child,
    stdin: ChildStdin,
    output: Receiver<Vec<u8>>,
    upstream: String,
    /// Ports as the pages name them, and those that take their place.
    ports: BTreeMap<u16, u16>,
}

impl Shell {
    /// Starts a shell in a folder with the fixtures, where `cargo run` and `cargo install` stand for the program that was
    /// built for the test. `upstream` takes the place of Anthropic.
    pub(super) fn start(upstream: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let home = TempDir::new().unwrap();
        let bin = home.path().join(".bin");
        fs::create_dir(&bin).unwrap();
        symlink(env!("CARGO_BIN_EXE_reprise"), bin.join("reprise")).unwrap();
        fs::write(bin.join("cargo"), CARGO).unwrap();
        fs::set_permissions(bin.join("cargo"), Permissions::from_mode(0o755)).unwrap();
        let folder = home.path().join("reprise");
        fs::create_dir(&folder).unwrap();
        copy(&root.join("fixtures/demo"), &folder.join("fixtures/demo"));
        let (master, terminal) = terminal();
        let mut command = Command::new("bash");
        command
            .args(["--noprofile", "--norc"])
            .env_clear()
            .env("HOME", home.path())
            .env("PATH", format!("{}:{}", bin.display(), env::var("PATH").unwrap_or_default()))
            .env("TZ", "UTC")
            .env("COLUMNS", "100")
            .env("NO_COLOR", "1")
            .env("NO_PROXY", "127.0.0.1")
            .env("ANTHROPIC_BASE_URL", upstream)
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(terminal.try_clone().unwrap())
            .stderr(terminal);
        let mut child = command.spawn().unwrap();
        drop(command);
        let (sender, output) = channel();
        thread::spawn(move || {
            let mut master = File::from(master);
            let mut buffer = [0; 8192];
            // When the last writer is gone, a terminal fails to be read.
            while let Ok(count) = master.read(&mut buffer) {
                if count == 0 || sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let stdin = child.stdin.take().unwrap();
        let upstream = upstream.to_owned();
        let mut shell = Self { home, child, stdin, output, upstream, ports: BTreeMap::new() };
        let port = shell.port(8000);
        shell.run(&format!("export REPRISE_PORT={port}"));
        shell
    }

    /// The output of a command, which has to succeed.
    pub(super) fn run(&mut self, command: &str) -> String {
        let (output, code) = self.try_run(command);
        assert_eq!(code, "0", "{command}\n{output}");
        output
    }

    /// The output of a command, and its exit code.
    pub(super) fn try_run(&mut self, command: &str) -> (String, String) {
        let command = self.with_ports(command);
        let line = format!("printf '{MARK}%s{MARK}\\n' $?");
        writeln!(self.stdin, "{{ {command}\n}} </dev/null\n{line}").unwrap();
        let text = self.read_until(&command, |text| text.matches(MARK).count() == 2);
        let (output, rest) = text.split_once(MARK).unwrap();
        (self.as_shown(output), rest.trim_end_matches(['\n', MARK]).to_owned())
    }

    /// Runs a server in the background, and waits until it has printed what to connect to. A server on the same port is
    /// stopped before, as the reader would stop it. The log goes to a file.
    pub(super) fn serve(&mut self, command: &str) -> String {
        let port = Regex::new(r"--port (8\d{3})").unwrap();
        let port =
            port.captures(command).map_or_else(|| "8000".to_owned(), |found| found[1].into());
        self.run(&format!("[ -z \"$AT_{port}\" ] || {{ kill $AT_{port}; wait $AT_{port}; }}"));
        let command = self.with_ports(command);
        writeln!(self.stdin, "{{ exec {command}\n}} </dev/null 2>>~/log &\nAT_{port}=$!").unwrap();
        let is_whole = |text: &str| {
            let last = text.contains("\n  Headers ") || text.contains("\n  Status ");
            last && text.ends_with("\n\n")
        };
        let text = self.read_until(&command, is_whole);
        self.as_shown(&text)
    }

    fn read_until(&self, command: &str, done: impl Fn(&str) -> bool) -> String {
        let since = Instant::now();
        let bold = Regex::new("\u{1b}\\[[0-9;]*m").unwrap();
        let mut bytes = Vec::new();
        loop {
            // curl prints headers in bold.
            let text = bold.replace_all(&String::from_utf8_lossy(&bytes), "").replace('\r', "");
            if done(&text) {
                return text;
            }
            let left = PATIENCE.saturating_sub(since.elapsed());
            let Ok(more) = self.output.recv_timeout(left) else {
                let log = fs::read_to_string(self.home.path().join("log")).unwrap_or_default();
                panic!("{command}\ndid not end as shown:\n{}\nlog:\n{log}", self.as_shown(&text))
            };
            bytes.extend(more);
        }
    }

    /// A free port in the place of one that a page names.
    fn port(&mut self, shown: u16) -> u16 {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        *self.ports.entry(shown).or_insert_with(free)
    }

    fn with_ports(&mut self, command: &str) -> String {
        let named = Regex::new(
            r"(?P<before>(?:127\.0\.0\.1|0\.0\.0\.0|localhost):|--port )(?P<port>8\d{3})\b",
        );
        let replaced = |found: &Captures<'_>| {
            let port = self.port(found["port"].parse().unwrap());
            format!("{}{port}", &found["before"])
        };
        named.unwrap().replace_all(command, replaced).into_owned()
    }

    /// An output with the ports, the home and the upstream of the pages.
    fn as_shown(&self, output: &str) -> String {
        let home = self.home.path().to_str().unwrap();
        let mut text = output.replace(home, SHOWN_HOME).replace(&self.upstream, SHOWN_UPSTREAM);
        for (shown, port) in &self.ports {
            text = text.replace(&format!(":{port}"), &format!(":{shown}"));
        }
        text
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // The servers first, which would live on.
        let _ = writeln!(self.stdin, "kill -9 $(jobs -p) && wait\nexit");
        let _ = self.child.wait();
    }
}

/// Both ends of a new terminal.
fn terminal() -> (OwnedFd, OwnedFd) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let terminal = open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    (master, terminal)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
