//! Running of asynchronous commands: runtimes and signals.

use std::{
    io::{self, IsTerminal},
    process,
};

use rustix::process::Signal;
use tokio::{
    runtime::Builder,
    signal::unix::{Signal as UnixSignal, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use super::log::Log;
use crate::config::{Config, Env, Mode, unknown_variables};

/// Runs a command to its end, on this thread.
pub(super) fn block_on<T, E: Into<anyhow::Error>>(
    command: impl Future<Output = Result<T, E>>,
) -> anyhow::Result<T> {
    Builder::new_current_thread().enable_all().build()?.block_on(command).map_err(Into::into)
}

/// Runs a server to its end, on all cores, with its log on standard error. The first signal to
/// stop lets open answers finish, the second cuts them, and the third ends the process.
pub(super) fn block_on_server<T>(
    config: Config,
    env: Env<'_>,
    server: impl AsyncFnOnce(Config, ShutdownSignals, Hangup) -> anyhow::Result<T>,
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
        let shutdown = ShutdownSignals::default();
        let ShutdownSignals { first, second } = shutdown.clone();
        tokio::select! {
            ended = server(config, shutdown, hangup) => ended,
            () = async {
                stop.next().await;
                first.cancel();
                stop.next().await;
                tracing::warn!("cutting open answers; a third signal ends without closing the ledger");
                second.cancel();
                stop.next().await;
            } => {
                tracing::warn!("ending without closing the ledger");
                log.flush();
                process::exit(1);
            }
        }
    });
    log.flush();
    ended
}

/// The signals to stop that a server handles; each is cancelled when it comes.
#[derive(Debug, Clone, Default)]
pub(super) struct ShutdownSignals {
    /// Finish open answers, and end.
    pub(super) first: CancellationToken,
    /// Cut them.
    pub(super) second: CancellationToken,
}

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
