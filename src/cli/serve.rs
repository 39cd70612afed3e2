//! `reprise serve`: puts the house together, says how to use it, runs until it is told to stop.

use std::{fmt, io, process::ExitCode};

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use super::{Console, replay};
use crate::{
    config::{Config, Env, Flags, GlobalFlags, LogFormat, Mode},
    domain::open_webui::HEADER_BOX,
    server::Server,
};

pub(super) fn run(
    flags: &Flags,
    global: &GlobalFlags,
    env: Env<'_>,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    with(Config::load(flags, global, env)?, console)
}

/// Serves with these settings, live or from fixtures.
pub(super) fn with(config: Config, console: &mut Console<'_>) -> anyhow::Result<ExitCode> {
    log_to_stderr(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match config.mode {
        Mode::Live => runtime.block_on(serve(config, console)),
        Mode::Replay => runtime.block_on(replay::serve(config, console)),
    }
}

async fn serve(config: Config, console: &mut Console<'_>) -> anyhow::Result<ExitCode> {
    let shutdown = told_to_stop()?;
    let mut welcome = Welcome {
        address: String::new(),
        ledger: config.database_url.trim_start_matches("sqlite://").to_owned(),
        upstream: config.anthropic_base_url.as_str().trim_end_matches('/').to_owned(),
        asks_key: config.client_key.is_some(),
        has_key: config.anthropic_key.is_some(),
    };
    let server = Server::start(config).await?;
    welcome.address = server.address()?.to_string();
    let Welcome { address, ledger, upstream, .. } = &welcome;
    tracing::info!(address, ledger, upstream, "serving");
    if !console.interactive {
        let headers = HEADER_BOX;
        tracing::info!(%headers, "for the header box of Open WebUI's connection");
    }
    if console.interactive {
        write!(console.out, "{welcome}")?;
        console.out.flush()?;
    }
    server.run(shutdown).await;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Completes at SIGTERM or SIGINT.
pub(super) fn told_to_stop() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop; letting open answers finish");
    })
}

fn log_to_stderr(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log).with_context(|| {
        format!("--log: {:?} is not a filter such as `info` or `reprise=debug`", config.log)
    })?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match config.log_format {
        LogFormat::Text => logs.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).try_init(),
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
    }
    .map_err(anyhow::Error::from_boxed)
}

/// What a person reads first: where it is, and what to paste where.
struct Welcome {
    address: String,
    ledger: String,
    upstream: String,
    asks_key: bool,
    has_key: bool,
}

impl fmt::Display for Welcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, ledger, upstream, asks_key, has_key } = self;
        let key = if *asks_key {
            "the key you gave Reprise (REPRISE_API_KEY)"
        } else {
            "anything; no key is asked for"
        };
        writeln!(f, "\nReprise {} is listening on http://{address}/v1", env!("CARGO_PKG_VERSION"))?;
        writeln!(f, "  ledger    {ledger}")?;
        writeln!(f, "  upstream  {upstream}")?;
        if !has_key {
            writeln!(
                f,
                "\nThere is no Anthropic key, so each client must send its own (sk-ant-…) as its API key."
            )?;
            writeln!(f, "To ask with one key for all: ANTHROPIC_API_KEY=sk-ant-… reprise")?;
        }
        let key = if *has_key || *asks_key { key } else { "your Anthropic key (sk-ant-…)" };
        writeln!(f, "\nIn Open WebUI: Admin Panel, Settings, Connections, OpenAI API, +")?;
        writeln!(f, "  URL       http://{address}/v1")?;
        writeln!(f, "  Key       {key}")?;
        writeln!(f, "  Headers   {HEADER_BOX}\n")
    }
}
