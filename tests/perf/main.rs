//! The speed of Reprise end to end, over loopback: `tests/perf/run`, which builds what is measured and starts this.
//!
//! One core has the server, the other one this program, with upstream and clients. What counts is the time of the
//! processor for a request: other programs hardly change it, unlike the time that passes.
//!
//! A program of its own, which uses nothing of Reprise: it can measure any revision.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

mod cells;
mod floor;
mod growth;
mod ledgers;
mod load;
mod mock;
mod postgres;
mod process;
mod replicas;
mod report;

use std::{
    env,
    net::TcpListener,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context as _, bail, ensure};
use tokio::{runtime, task::LocalSet};

use cells::{Bench, Binaries};

static ASKED: mock::Asked = mock::Asked::new();

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["mock", port] => block_on(mock::serve(listen(port)?, &ASKED)),
        ["floor", port, upstream] => block_on(floor::serve(listen(port)?, upstream.parse()?)),
        _ => measure(&words),
    }
}

fn listen(port: &str) -> anyhow::Result<TcpListener> {
    Ok(TcpListener::bind(("127.0.0.1", port.parse()?))?)
}

fn block_on<T>(task: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, task)
}

/// `--binary PATH [--before PATH --compare REV] [--rounds N] [--only CELLS] [--write] [--revision REV]`, or
/// `--binary PATH --growth EXCHANGES`, or
/// `--binary PATH --postgres [--growth EXCHANGES] [--rounds N] [--write] [--revision REV]`
fn measure(words: &[&str]) -> anyhow::Result<()> {
    let value = |name: &str| {
        let at = words.iter().position(|word| *word == name)?;
        words.get(at + 1).copied()
    };
    let listener = listen("0")?;
    let upstream = listener.local_addr()?;
    thread::spawn(move || block_on(mock::serve(listener, &ASKED)));

    let binary: PathBuf = value("--binary").context("no --binary")?.into();
    let folder = env::current_dir()?.join(format!("target/perf/ledgers-{}", std::process::id()));
    let folder = process::Folder::new(folder)?;
    let rounds = value("--rounds").map_or(Ok(3), str::parse)?;
    ensure!(rounds > 0, "--rounds takes a number above 0");
    let origin = || {
        let date = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
        let revision = value("--revision").unwrap_or("?");
        let machine = process::machine();
        format!("Revision {revision}, {date}, {machine}; medians of {rounds} rounds")
    };
    let is_written = words.contains(&"--write");
    if words.contains(&"--postgres") {
        let postgres = postgres::Postgres::of_environment()?;
        let page = Path::new(".github/docs/postgres.md");
        let (mark, text) = if let Some(exchanges) = value("--growth") {
            let exchanges = exchanges.parse()?;
            let ledgers =
                ledgers::Ledgers { binary, upstream, folder, rounds, exchanges, postgres };
            ("growth", format!("{}.\n{}", origin(), block_on(ledgers.run())?))
        } else {
            let asked = &ASKED;
            let replicas = replicas::Replicas { binary, upstream, asked, folder, rounds, postgres };
            let (table, noise) = block_on(replicas.run())?;
            ("throughput", format!("{};\n{}.\n\n{table}", origin(), told(&noise)))
        };
        println!("\n{text}");
        return if is_written { report::write(page, mark, &text) } else { Ok(()) };
    }
    if let Some(most) = value("--growth") {
        let growth = growth::Growth { binary, upstream, folder, most: most.parse()? };
        return block_on(growth.run());
    }
    let only: Vec<String> =
        value("--only").iter().flat_map(|cells| cells.split(',')).map(str::to_owned).collect();
    if let Some(unknown) = only.iter().find(|cell| !cells::names().contains(&cell.as_str())) {
        bail!("no cell {unknown}; there are: {}", cells::names().join(", "));
    }
    let bench = Bench {
        binaries: Binaries { reprise: binary, before: value("--before").map(PathBuf::from) },
        upstream,
        asked: &ASKED,
        folder,
        rounds,
        only,
    };
    let figures = block_on(bench.run())?;
    let table = report::table(&figures, value("--compare"));
    let noise = told(figures.noise());
    println!("\n{table}\n{noise}");
    if is_written {
        ensure!(bench.only.is_empty(), "--write wants all cells, and no --only");
        let text = format!("{};\n{noise}.\n\n{table}", origin());
        report::write(Path::new(".github/docs/speed.md"), "speed", &text)?;
    }
    Ok(())
}

/// What is said of the cores that other programs used.
fn told(noise: &[f64]) -> String {
    let [half, most] = [0.5, 1.0].map(|share| cells::quantile(noise, share));
    format!("other programs used {half:.2} cores meanwhile, at most {most:.2}")
}
