//! `reprise calls show`: all about one call.

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;

use crate::{
    answer,
    cli::{Console, console, reader, run::block_on},
    config::{Config, Env, Flags},
    domain::{
        catalog::{Catalog, day_of},
        exchange::{CallId, ExchangeId},
    },
    report::CallDetails,
    store::Reader,
};

/// Limit of the ids that an ambiguous beginning lists.
const LISTED: u32 = 10;

/// The arguments of `reprise calls show`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Id of a call or of an exchange, such as the header x-reprise-exchange of an answer has, or its beginning
    id: String,
    /// Show the requests and the answer, too
    #[arg(long)]
    body: bool,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(
    arguments: &Arguments,
    flags: &Flags,
    env: Env<'_>,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    let config = Config::load(flags, env)?;
    let url = config.ledger()?;
    block_on(async {
        let ledger = reader::open(url).await?;
        let catalog = ledger.catalog(day_of(answer::now())).await?;
        let details = find(&ledger, &catalog, &arguments.id).await?;
        let details = if arguments.body { details.with_bodies(&ledger).await? } else { details };
        console::report(&details, arguments.json, console)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The call with this id, or the one of the exchange with it; the beginning of an id will do.
async fn find(ledger: &Reader, catalog: &Catalog, id: &str) -> anyhow::Result<CallDetails> {
    let Some(beginning) = hyphenated(id) else {
        bail!("{id:?} is not the id of a call or an exchange, nor the beginning of one");
    };
    let (calls, exchanges) = ledger.ids_with(&beginning, LISTED).await?;
    match (&*calls, &*exchanges) {
        ([call], exchanges) => {
            let Some(details) = CallDetails::of_call(ledger, catalog, *call).await? else {
                bail!("the call {call} was deleted a moment ago");
            };
            // A call and its exchange begin in the same millisecond, and so do their ids.
            if !exchanges.iter().all(|exchange| details.has(*exchange)) {
                bail!(ambiguous(id, &calls, exchanges));
            }
            Ok(details)
        }
        ([], [exchange]) => Ok(CallDetails::of_exchange(ledger, catalog, *exchange).await?),
        ([], []) if ledger.is_running(&beginning).await? => {
            bail!("the exchange {id} is still running: its call is in the ledger when it ends")
        }
        ([], []) => {
            bail!("there is no call and no exchange {id}; `reprise calls export` lists calls")
        }
        (calls, exchanges) => bail!(ambiguous(id, calls, exchanges)),
    }
}

fn ambiguous(id: &str, calls: &[CallId], exchanges: &[ExchangeId]) -> String {
    let mut ids: Vec<String> = calls.iter().map(|id| format!("call {id}")).collect();
    ids.extend(exchanges.iter().map(|id| format!("exchange {id}")));
    format!("several ids begin with {id}: give more of one of them\n  {}", ids.join("\n  "))
}

/// The beginning of an id as the ledger writes it. The id of a chat completion is that of its call, without hyphens.
fn hyphenated(id: &str) -> Option<String> {
    /// Digits before each hyphen.
    const BEFORE_HYPHENS: [usize; 4] = [8, 12, 16, 20];
    /// Digits of an id.
    const MOST: usize = 32;
    let id = id.trim();
    let id = id.strip_prefix("chatcmpl-").unwrap_or(id);
    let digits: Vec<char> = id.chars().filter(|c| *c != '-').collect();
    if digits.is_empty() || digits.len() > MOST || !digits.iter().all(char::is_ascii_hexdigit) {
        return None;
    }
    let mut text = String::with_capacity(MOST + BEFORE_HYPHENS.len());
    for (at, digit) in digits.into_iter().enumerate() {
        if BEFORE_HYPHENS.contains(&at) {
            text.push('-');
        }
        text.push(digit.to_ascii_lowercase());
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_an_id_is_written_as_in_the_ledger() {
        let id = "019ab3c4-1234-7abc-8def-0123456789ab";
        let simple: String = id.chars().filter(|c| *c != '-').collect();
        for text in [id, &id.to_uppercase(), &simple, &format!("chatcmpl-{simple}")] {
            assert_eq!(hyphenated(text).as_deref(), Some(id), "{text}");
        }
        assert_eq!(hyphenated("019ab3c4123").as_deref(), Some("019ab3c4-123"));
        assert_eq!(hyphenated("019ab3c4").as_deref(), Some("019ab3c4"));
        for text in ["", "-", "req_12", &format!("{simple}0"), "%"] {
            assert_eq!(hyphenated(text), None, "{text}");
        }
    }
}
