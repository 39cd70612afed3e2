//! `reprise replay`: a server that answers from fixtures, without a key and without a network.

use std::{fmt, path::PathBuf, process::ExitCode};

use anyhow::bail;
use clap::Args;

use super::{
    Console,
    fixtures::is_ci,
    listening,
    run::{ShutdownSignals, block_on_server},
};
use crate::{
    config::{Config, Env, FlagArgs, Flags, OnMiss, Replaying, Serving},
    domain::cassette::PlayerStatus,
    report::counted,
    server::Server,
};

/// The arguments of `reprise replay`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Fixture files, and folders of them.
    #[arg(
        value_name = "PATH",
        help = "Fixture files, and folders of them [env: REPRISE_FIXTURES] [default: fixtures]"
    )]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    replaying: FlagArgs<Replaying>,
    #[command(flatten)]
    serving: FlagArgs<Serving>,
}

pub(super) fn run(
    arguments: Arguments,
    flags: &Flags,
    env: Env<'_>,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    let Arguments { paths, replaying, serving } = arguments;
    let flags = replaying.flags.and(serving.flags).and(flags.clone());
    let config = Config::load_replay(&paths, &flags, env)?;
    let serving = async |config, shutdown, _| serve(config, env, shutdown, console).await;
    block_on_server(config, env, serving)
}

/// Serves fixtures until the signal to stop, and prints a summary.
pub(super) async fn serve(
    config: Config,
    env: Env<'_>,
    shutdown: ShutdownSignals,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    let records = config.replay.on_miss == OnMiss::Record;
    if records && is_ci(env) {
        bail!(
            "CI is set, and no fixtures are recorded in CI, where a missing one is a failure: leave out --on-miss record"
        );
    }
    let (strict, requires_key) = (config.replay.strict, config.requires_key());
    let scrubber = config.scrubber();
    let local = config.local_address();
    let server = match Server::start_replay(config, scrubber).await {
        Ok(server) => server,
        Err(error) => return Err(listening::explained(error, local).await),
    };
    let address = server.address()?.to_string();
    let answers = server.answers();
    let Some(replay) = answers.upstream().replay() else { return Ok(ExitCode::FAILURE) };
    let fixtures = replay.status().fixtures.len();
    tracing::info!(address, fixtures, "replaying");
    if console.interactive {
        write!(console.out, "{}", Banner { address, fixtures, requires_key, records })?;
    } else {
        // For a program that started this one with `--port 0`.
        writeln!(console.out, "http://{address}/v1")?;
    }
    console.out.flush()?;
    server.run(shutdown.first.cancelled_owned(), shutdown.second.cancelled_owned()).await;
    let (status, missed) = (replay.status(), replay.missed());
    let complete = status.misses == 0 && status.fixtures.iter().all(|line| line.given > 0);
    write!(console.out, "{}", Summary { status, missed })?;
    Ok(if strict && !complete { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Startup banner.
struct Banner {
    address: String,
    fixtures: usize,
    requires_key: bool,
    records: bool,
}

impl fmt::Display for Banner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, fixtures, requires_key, records } = self;
        let key =
            if *requires_key { "the key you gave Reprise (REPRISE_API_KEY)" } else { "anything" };
        let version = env!("CARGO_PKG_VERSION");
        let fixtures = counted(*fixtures, "fixture");
        writeln!(f, "\nReprise {version} replays {fixtures} on http://{address}/v1")?;
        if *records {
            writeln!(
                f,
                "  A request without a fixture goes to Claude, which costs money, and is recorded."
            )?;
        } else {
            writeln!(
                f,
                "  No key and no network are needed: a request without a fixture is a 404."
            )?;
        }
        writeln!(f, "  Key       {key}")?;
        writeln!(f, "  Status    http://{address}/replay\n")
    }
}

/// Summary of a replay.
struct Summary {
    status: PlayerStatus,
    missed: Vec<String>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status: PlayerStatus { fixtures, misses, .. }, missed } = self;
        let given = fixtures.iter().filter(|line| line.given > 0).count();
        let missed_count = counted(*misses, "request");
        writeln!(
            f,
            "{given} of {} were given; {missed_count} found none",
            counted(fixtures.len(), "fixture")
        )?;
        for miss in missed {
            for (at, line) in miss.lines().enumerate() {
                writeln!(f, "{} {line}", if at == 0 { "miss  " } else { "      " })?;
            }
        }
        for line in fixtures.iter().filter(|line| line.given == 0) {
            let why = if line.plays { "" } else { ", which has no end and is not played" };
            writeln!(f, "unused {}{why}", line.file)?;
        }
        Ok(())
    }
}
