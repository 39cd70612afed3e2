//! Running of asynchronous commands: runtimes, the log, and the signal to stop.

use std::io;

use anyhow::Context;
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};
use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};

/// Runs a command to its end, on this thread.
pub(super) fn block_on<T, E: Into<anyhow::Error>>(
    command: impl Future<Output = Result<T, E>>,
) -> anyhow::Result<T> {
    Builder::new_current_thread().enable_all().build()?.block_on(command).map_err(Into::into)
}

/// Runs a server to its end, on all cores, with its log on standard error.
pub(super) fn block_on_server<T>(
    config: Config,
    server: impl AsyncFnOnce(Config) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    log_to_stderr(&config)?;
    Builder::new_multi_thread().enable_all().build()?.block_on(server(config))
}

/// Completes at SIGTERM or SIGINT.
pub(super) fn shutdown_signal() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping; open answers are finished first");
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
