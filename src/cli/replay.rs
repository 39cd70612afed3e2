//! `reprise replay`: fixtures answer, without a key and without a network.

use std::{fmt, path::PathBuf, process::ExitCode};

use clap::Args;

use super::{Console, fixtures::counted, secrets::scrubber, serve};
use crate::{
    config::{Config, Env, Flags, GlobalFlags, ReplayFlags},
    domain::cassette::PlayerStatus,
    server::Server,
};

/// What is replayed, and how.
#[derive(Debug, Args)]
#[expect(clippy::doc_markdown, reason = "these comments are the help that a terminal shows")]
pub(super) struct Arguments {
    /// Fixture files, and folders with all that is in them [env: REPRISE_FIXTURES] [default: fixtures]
    #[arg(value_name = "PATH")]
    fixtures: Vec<PathBuf>,
    #[command(flatten)]
    replay: ReplayFlags,
    #[command(flatten)]
    flags: Flags,
}

pub(super) fn run(
    arguments: &Arguments,
    global: &GlobalFlags,
    env: Env<'_>,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    let Arguments { fixtures, replay, flags } = arguments;
    serve::with(Config::load_replay(fixtures, replay, flags, global, env)?, console)
}

/// Serves fixtures until it is told to stop, and says how that went.
pub(super) async fn serve(config: Config, console: &mut Console<'_>) -> anyhow::Result<ExitCode> {
    let shutdown = serve::told_to_stop()?;
    let (strict, asks_key) = (config.replay.strict, config.client_key.is_some());
    let scrubber = scrubber(config.client_key.as_ref(), &config.scrub);
    let server = Server::start_replay(config, scrubber).await?;
    let address = server.address()?.to_string();
    let answers = server.answers();
    let Some(replay) = answers.upstream().replay() else { return Ok(ExitCode::FAILURE) };
    let fixtures = replay.status().fixtures.len();
    tracing::info!(address, fixtures, "replaying");
    if console.interactive {
        write!(console.out, "{}", Welcome { address, fixtures, asks_key })?;
    } else {
        // For a program that started this one with `--port 0`.
        writeln!(console.out, "http://{address}/v1")?;
    }
    console.out.flush()?;
    server.run(shutdown).await;
    let (status, missed) = (replay.status(), replay.missed());
    let went_well = status.misses == 0 && status.fixtures.iter().all(|line| line.given > 0);
    write!(console.out, "{}", Summary { status, missed })?;
    Ok(if strict && !went_well { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What a person reads first.
struct Welcome {
    address: String,
    fixtures: usize,
    asks_key: bool,
}

impl fmt::Display for Welcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, fixtures, asks_key } = self;
        let key = if *asks_key { "the key you gave Reprise (REPRISE_API_KEY)" } else { "anything" };
        let version = env!("CARGO_PKG_VERSION");
        let fixtures = counted(*fixtures, "fixture");
        writeln!(f, "\nReprise {version} replays {fixtures} on http://{address}/v1")?;
        writeln!(
            f,
            "  No key and no network are needed: what is not among the fixtures is a 404."
        )?;
        writeln!(f, "  Key       {key}")?;
        writeln!(f, "  Status    http://{address}/replay\n")
    }
}

/// How a replay went.
struct Summary {
    status: PlayerStatus,
    missed: Vec<String>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status: PlayerStatus { fixtures, misses, .. }, missed } = self;
        let given = fixtures.iter().filter(|line| line.given > 0).count();
        let vain = counted(usize::try_from(*misses).unwrap_or(usize::MAX), "request");
        writeln!(
            f,
            "{given} of {} were given; {vain} found none",
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
