//! `reprise explain`: what would become of a request, without sending it; or why the ledger did not answer one.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::Args;
use secrecy::ExposeSecret;

use super::{console, run::block_on};
use crate::{
    config::{Config, Env, Flags},
    domain::{
        cache::{KeyHolder, KeyPrefix},
        catalog::Catalog,
    },
    report::{Asked, Caller, Explanation, Why},
    store::Reader,
    upstream,
};

/// The arguments of `reprise explain`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The body of a POST /v1/chat/completions; - reads it from standard input
    #[arg(value_name = "FILE", required_unless_present = "key")]
    request: Option<PathBuf>,
    /// Instead, tell why an answer did not come from the ledger: its key, or the beginning of it, from `Cache-Status`
    #[arg(long, value_name = "KEY", conflicts_with_all = ["request", "open_webui", "task"])]
    key: Option<KeyPrefix>,
    /// Take it for a call of Open WebUI: a chat, or a background task if it looks like one
    #[arg(long)]
    open_webui: bool,
    /// Take it for a background task of Open WebUI, such as a title
    #[arg(long, conflicts_with = "open_webui")]
    task: bool,
    /// The user whom the headers of the connection would state: whose answers are repeated
    #[arg(long, value_name = "ID", conflicts_with = "key")]
    user: Option<String>,
    /// The chat that they would state
    #[arg(long, value_name = "ID", conflicts_with = "key")]
    chat: Option<String>,
    /// Print JSON instead of text, with long strings whole
    #[arg(long)]
    json: bool,
}

pub(super) fn run(
    arguments: &Arguments,
    flags: &Flags,
    env: Env<'_>,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    if let Some(key) = &arguments.key {
        return why(key, arguments.json, flags, env, out);
    }
    let config = Config::load(flags, env)?;
    let Config { client_key, aliases, anthropic_base_url, task_model, .. } = &config;
    let holder = KeyHolder::of(client_key.as_ref().map_or("", ExposeSecret::expose_secret));
    let caller = match arguments {
        Arguments { task: true, .. } => Caller::Task,
        Arguments { open_webui: true, .. } => Caller::OpenWebUi,
        Arguments { .. } => Caller::Any,
    };
    let catalog = &Catalog::builtin();
    let upstream = &upstream::bare(anthropic_base_url);
    let task_model = task_model.as_deref();
    let sharing = config.cache.sharing;
    let vouched = config.vouched();
    let (user, chat) = (arguments.user.as_deref(), arguments.chat.as_deref());
    let asked = Asked {
        catalog,
        aliases,
        holder: &holder,
        caller,
        upstream,
        task_model,
        sharing,
        vouched,
        user,
        chat,
    };
    let request = arguments.request.as_deref().unwrap_or_else(|| Path::new("-"));
    let explained = Explanation::of(&read(request)?, &asked);
    if arguments.json {
        match &explained {
            Ok(explanation) => console::json(explanation, out)?,
            Err(refused) => console::json(&refused.body(), out)?,
        }
        return Ok(if explained.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    match explained {
        Ok(explanation) => write!(out, "{explanation}")?,
        Err(refused) => {
            let error = refused.body().error;
            let named = |name: &str, value: Option<String>| {
                value.map(|value| format!("\n  {name}: {value}")).unwrap_or_default()
            };
            let (param, code) = (named("param", error.param), named("code", error.code));
            bail!("a client would be refused: {}{param}{code}", error.message);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What was asked under a key, and what was nearest before.
fn why(
    key: &KeyPrefix,
    json: bool,
    flags: &Flags,
    env: Env<'_>,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let config = Config::load(flags, env)?;
    let why = block_on(async {
        let ledger = Reader::open(config.ledger()?).await?;
        anyhow::Ok(Why::of(&ledger, key).await?)
    })?;
    console::report(&why, json, out)?;
    Ok(ExitCode::SUCCESS)
}

fn read(request: &Path) -> anyhow::Result<Vec<u8>> {
    if request == Path::new("-") {
        let mut body = Vec::new();
        io::stdin().read_to_end(&mut body).context("cannot read standard input")?;
        return Ok(body);
    }
    fs::read(request).with_context(|| format!("cannot read {}", request.display()))
}
