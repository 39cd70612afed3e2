//! `reprise serve`: runs the server until it is told to stop.

use std::{fmt, process::ExitCode};

use super::{
    Console, listening, replay,
    run::{ShutdownSignals, block_on_server},
};
use crate::{
    config::{self, Config, Env, Flags, Mode, Setting},
    domain::open_webui::HEADER_BOX,
    server::{LoadedSettings, Server},
    store::checkup,
};

pub(super) fn run(
    flags: &Flags,
    env: Env<'_>,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    let config = Config::load_server(flags, env)?;
    block_on_server(config, env, async |config, shutdown, mut hangup| match config.mode {
        Mode::Live => {
            let load = || {
                let config = Config::load_server(flags, env)?;
                let shown = Config::settings(flags, env)?;
                Ok::<_, config::Error>(LoadedSettings { config, shown })
            };
            let shown = Config::settings(flags, env)?;
            serve(config, shown, shutdown, async || hangup.next().await, load, console).await
        }
        Mode::Replay => replay::serve(config, env, shutdown, console).await,
    })
}

async fn serve(
    config: Config,
    shown: Vec<Setting>,
    shutdown: ShutdownSignals,
    hangup: impl AsyncFnMut(),
    load: impl FnMut() -> Result<LoadedSettings, config::Error>,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    let ledger = config.ledger()?;
    let mut banner = Banner {
        address: String::new(),
        ledger: checkup::server(ledger)
            .unwrap_or_else(|| ledger.trim_start_matches("sqlite://").to_owned()),
        upstream: config.anthropic_base_url.as_str().trim_end_matches('/').to_owned(),
        requires_key: config.requires_key(),
        has_upstream_key: config.anthropic_key.is_some(),
    };
    let local = config.local_address();
    let mut server = match Server::start(config).await {
        Ok(server) => server,
        Err(error) => return Err(listening::explained(error, local).await),
    };
    banner.address = server.address()?.to_string();
    let Banner { address, ledger, upstream, .. } = &banner;
    tracing::info!(address, ledger, upstream, "serving");
    if console.interactive {
        write!(console.out, "{banner}")?;
        console.out.flush()?;
    } else {
        let headers = HEADER_BOX;
        tracing::info!(%headers, "for the header box of Open WebUI's connection");
        if !banner.has_upstream_key && banner.requires_key {
            tracing::warn!(
                "there is no Anthropic key, and clients send the key of this server, so no request can be sent; set \
                 ANTHROPIC_API_KEY"
            );
        } else if !banner.has_upstream_key {
            tracing::warn!(
                "there is no Anthropic key, so each client must send its own (sk-ant-…) as its API key; set \
                 ANTHROPIC_API_KEY to use one for all"
            );
        }
    }
    let reloader = server.reloader(shown);
    tokio::select! {
        () = server.run(shutdown.first.cancelled_owned(), shutdown.second.cancelled_owned()) => {}
        () = reloader.run(hangup, load) => {}
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Startup banner: the addresses, and what to enter in Open WebUI.
struct Banner {
    address: String,
    ledger: String,
    upstream: String,
    requires_key: bool,
    has_upstream_key: bool,
}

impl fmt::Display for Banner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, ledger, upstream, requires_key, has_upstream_key } = self;
        let key = match (requires_key, has_upstream_key) {
            (true, _) => "the key you gave Reprise (REPRISE_API_KEY)",
            (false, true) => "anything; no key is required",
            (false, false) => "your Anthropic key (sk-ant-…)",
        };
        writeln!(f, "\nReprise {} is listening on http://{address}/v1", env!("CARGO_PKG_VERSION"))?;
        writeln!(f, "  ledger    {ledger}")?;
        writeln!(f, "  upstream  {upstream}")?;
        writeln!(f, "  page      http://{address}/")?;
        if !has_upstream_key {
            writeln!(
                f,
                "\nThere is no Anthropic key, so each client must send its own (sk-ant-…) as its API key."
            )?;
            writeln!(f, "To use one key for all clients: ANTHROPIC_API_KEY=sk-ant-… reprise")?;
        }
        writeln!(f, "\nIn Open WebUI: Admin Panel, Settings, Connections, OpenAI API, +")?;
        writeln!(f, "  URL       http://{address}/v1")?;
        writeln!(f, "  Key       {key}")?;
        writeln!(f, "  Headers   {HEADER_BOX}\n")
    }
}
