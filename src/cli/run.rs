//! Running of asynchronous commands: runtimes and signals.

use std::{
    io::{self, IsTerminal},
    pin::Pin,
    process,
};

use rustix::process::Signal;
use tokio::{
    runtime::Builder,
    signal::unix::{Signal as UnixSignal, SignalKind, signal},
    sync::oneshot,
};

use super::log::Log;
use crate::config::{Config, Env, Mode, unknown_variables};

/// Runs a command to its end, on this thread.
pub(super) fn block_on<T, E: Into<anyhow::Error>>(
    command: impl Future<Output = Result<T, E>>,
) -> anyhow::Result<T> {
    Builder::new_current_thread().enable_all().build()?.block_on(command).map_err(Into::into)
}

/// Runs a server to its end, on all cores, with its log on standard error. `server` gets a future that completes at the
/// signal to stop.
pub(super) fn block_on_server<T>(
    config: Config,
    env: Env<'_>,
    server: impl AsyncFnOnce(Config, ShutdownSignal, Hangup) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let log = Log::start(&config)?;
    // No errors: they may be settings of a newer version, and that must not keep this one from serving.
    for unknown in unknown_variables(env) {
        tracing::warn!("{unknown}");
    }
    let ended = Builder::new_multi_thread().enable_all().build()?.block_on(async {
        // Handled, so that a write beyond the limit on files (`ulimit -f`) fails instead of the process.
        let _limit = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?;
        let reloads = config.mode == Mode::Live
            && config.file.is_some() && !io::stdin().is_terminal();
        let (mut stop, hangup) = StopSignals::new(reloads)?;
        let (stopping, shutdown) = oneshot::channel();
        let shutdown = async move { drop(shutdown.await) };
        tokio::select! {
            ended = server(config, Box::pin(shutdown), hangup) => ended,
            () = async {
                stop.next().await;
                tracing::info!("stopping; open answers are finished first, a second signal ends them");
                let _ = stopping.send(());
                stop.next().await;
            } => {
                tracing::warn!("ending at once");
                log.flush();
                process::exit(1);
            }
        }
    });
    log.flush();
    ended
}

/// Completes at the signal to stop.
pub(super) type ShutdownSignal = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The signal to read the settings again, if it is not one to stop: SIGHUP is, for a server that has a settings file and
/// no terminal that could be closed.
pub(super) struct Hangup(Option<UnixSignal>);

impl Hangup {
    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        match &mut self.0 {
            Some(hangup) => _ = hangup.recv().await,
            None => std::future::pending().await,
        }
    }
}

/// The signals that stop a server: those of service managers, of Ctrl-C, and of a terminal that is closed.
pub(super) struct StopSignals {
    terminate: UnixSignal,
    interrupt: UnixSignal,
    hangup: Hangup,
}

impl StopSignals {
    /// `reloads`: SIGHUP does not stop.
    pub(super) fn new(reloads: bool) -> io::Result<(Self, Hangup)> {
        let [terminate, interrupt, hangup] =
            [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
        let (hangup, reload) = if reloads { (None, Some(hangup?)) } else { (Some(hangup?), None) };
        let (terminate, interrupt) = (terminate?, interrupt?);
        Ok((Self { terminate, interrupt, hangup: Hangup(hangup) }, Hangup(reload)))
    }

    pub(super) async fn next(&mut self) {
        let Self { terminate, interrupt, hangup } = self;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = hangup.next() => {}
        }
    }
}
