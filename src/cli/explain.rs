//! `reprise explain`: explains a request without sending it, or why the ledger did not answer one.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::Args;
use secrecy::ExposeSecret;

use super::{Console, Misuse, console, reader, run::block_on};
use crate::{
    config::{Config, Env, Flags},
    domain::{
        cache::{Holders, KeyPrefix},
        catalog::Catalog,
        openai,
        prepare::{self, Caller},
        translate,
    },
    report::{Explanation, KeyReport, user_id},
    store::Reader,
    upstream,
};

/// The arguments of `reprise explain`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Body of a POST /v1/chat/completions; - reads it from standard input
    #[arg(value_name = "FILE")]
    request: Option<PathBuf>,
    /// Instead, explain why an answer did not come from the ledger, by its key in `Cache-Status` or the beginning of it
    #[arg(long, value_name = "KEY", conflicts_with_all = ["request", "open_webui", "task"])]
    key: Option<KeyPrefix>,
    /// Treat it as a call of Open WebUI: a chat, or a background task if it has the prompt of one
    #[arg(long)]
    open_webui: bool,
    /// Treat it as a background task of Open WebUI, such as a title
    #[arg(long, conflicts_with = "open_webui")]
    task: bool,
    /// User whom the headers of the request would state: the id, or the mail or name of one in the ledger
    #[arg(long, value_name = "USER", conflicts_with = "key")]
    user: Option<String>,
    /// Chat id that the headers of the request would state
    #[arg(long, value_name = "ID", conflicts_with = "key")]
    chat: Option<String>,
    /// Print JSON instead of text, with long strings in full
    #[arg(long)]
    json: bool,
}

pub(super) fn run(
    arguments: &Arguments,
    flags: &Flags,
    env: Env<'_>,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    if let Some(key) = &arguments.key {
        return why(key, arguments.json, flags, env, console);
    }
    let Some(request) = &arguments.request else {
        let message = "explain needs a request: the file with the body of a POST /v1/chat/completions, - for standard \
                       input, or --key with the key in the Cache-Status of an answer";
        bail!(Misuse(message.to_owned()));
    };
    let config = Config::load(flags, env)?;
    let Config { client_key, aliases, anthropic_base_url, cache, task_model, .. } = &config;
    // Without a ledger there is no salt, and a server would have another key.
    let ledger = async { Reader::open(config.ledger().ok()?).await.ok() };
    let (holders, user) = block_on(async {
        let Some(ledger) = ledger.await else {
            return anyhow::Ok((Holders::default(), arguments.user.clone()));
        };
        let user = match &arguments.user {
            Some(user) => Some(user_id(&ledger, user).await?),
            None => None,
        };
        Ok((ledger.holders().await.unwrap_or_default(), user))
    })?;
    let holder = holders.of_client_key(client_key.as_ref().map_or("", ExposeSecret::expose_secret));
    let caller = Caller {
        open_webui: arguments.open_webui,
        user,
        vouched: config.vouched(),
        chat: arguments.chat.clone(),
        task: arguments.task.then(String::new),
        ..Caller::new(holder)
    };
    let context = prepare::PrepareContext {
        catalog: &Catalog::builtin(),
        aliases,
        task_model: task_model.as_deref(),
        policy: cache,
        upstream: &upstream::api_root(anthropic_base_url),
        cancellation: translate::Cancellation::NEVER,
    };
    let explained = Explanation::of(read(request)?, &caller, &context);
    if arguments.json {
        match &explained {
            Ok(explanation) => console::json(explanation, console.out)?,
            Err(error) => console::json(&openai::ErrorBody { error: error.openai() }, console.out)?,
        }
        return Ok(if explained.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    match explained {
        Ok(explanation) => console::report(&explanation, false, console)?,
        Err(error) => {
            let error = error.openai();
            let named = |name: &str, value: Option<String>| {
                value.map(|value| format!("\n  {name}: {value}")).unwrap_or_default()
            };
            let (param, code) = (named("param", error.param), named("code", error.code));
            bail!("a client would be refused: {}{param}{code}", error.message);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Reports why the ledger did not answer under a key.
fn why(
    key: &KeyPrefix,
    json: bool,
    flags: &Flags,
    env: Env<'_>,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    let config = Config::load(flags, env)?;
    let why = block_on(async {
        let ledger = reader::open(config.ledger()?).await?;
        anyhow::Ok(KeyReport::of(&ledger, key, config.cache.sharing).await?)
    })?;
    console::report(&why, json, console)?;
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
