//! `reprise prune`: deletes what is too old or too large.

use std::{fmt, io::Write, ops::ControlFlow, process::ExitCode, time::Duration};

use anyhow::bail;
use clap::{ArgGroup, Args};
use serde::Serialize;
use uuid::Uuid;

use super::{operator, print};
use crate::{
    config::{self, Config, Env, GlobalFlags},
    domain::exchange::{OwnerId, UnixMillis},
    report::counted,
    store::{
        self, Reader,
        prune::{self, Limits, Pruned, Whose},
    },
};

/// The arguments of `reprise prune`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).multiple(true)
    .args(["keep_bodies", "keep_totals", "max_size", "user", "chat"]))]
pub(super) struct Arguments {
    /// Delete what was said longer ago, as 90d or 12h; what it cost stays
    #[arg(long, value_name = "TIME", value_parser = time)]
    keep_bodies: Option<Duration>,
    /// Delete everything that is older; it is not counted any more
    #[arg(long, value_name = "TIME", value_parser = time)]
    keep_totals: Option<Duration>,
    /// Delete the oldest bodies until the ledger is no larger, as 2GiB
    #[arg(long, value_name = "SIZE", value_parser = size, conflicts_with_all = ["user", "chat"])]
    max_size: Option<u64>,
    /// Only of this user; without a time all that was said
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// Only of this chat; without a time all that was said
    #[arg(long, value_name = "ID", conflicts_with = "user")]
    chat: Option<String>,
    /// Say what would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(
    arguments: &Arguments,
    global: &GlobalFlags,
    env: Env<'_>,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let limits = limits(arguments);
    if arguments.dry_run && limits.max_bytes.is_some() {
        bail!(
            "--dry-run cannot say what --max-size would delete: how small the file gets shows only when it is done"
        );
    }
    let settings = Config::operator(global, env)?;
    let url = &settings.database_url;
    let now = UnixMillis(jiff::Timestamp::now().as_millisecond());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let pruned = runtime.block_on(async {
        if arguments.dry_run {
            return Ok(Reader::open(url).await?.would_prune(&limits, now).await?);
        }
        let owner = OwnerId::new(Uuid::now_v7());
        match prune::run(url, owner, &limits, now, &mut |_| ControlFlow::Continue(())).await {
            Err(store::Error::InUse { owner, .. }) => {
                operator::ask("/prune", &limits, owner, &settings).await
            }
            pruned => Ok(pruned?),
        }
    })?;
    let told = Told { dry_run: arguments.dry_run, limits: &limits, pruned };
    print::report(&told, arguments.json, out)?;
    Ok(ExitCode::SUCCESS)
}

fn limits(arguments: &Arguments) -> Limits {
    let Arguments { keep_bodies, keep_totals, max_size, user, chat, .. } = arguments;
    let whose = match (user, chat) {
        (Some(user), _) => Whose::User(user.clone()),
        (None, Some(chat)) => Whose::Chat(chat.clone()),
        (None, None) => Whose::Everyone,
    };
    // A name alone means all that was said under it; without one, a limit was given.
    let is_name_alone = keep_bodies.is_none() && keep_totals.is_none() && max_size.is_none();
    let keep_bodies = if is_name_alone { Some(Duration::ZERO) } else { *keep_bodies };
    Limits { whose, keep_bodies, keep_totals: *keep_totals, max_bytes: *max_size }
}

/// What the command says.
#[derive(Serialize)]
struct Told<'a> {
    dry_run: bool,
    #[serde(skip)]
    limits: &'a Limits,
    #[serde(flatten)]
    pruned: Pruned,
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pruned {
            bodies,
            requests,
            exchanges,
            calls,
            messages,
            frames,
            blobs,
            bytes_before,
            bytes_after,
        } = self.pruned;
        if bodies + requests + exchanges + calls + messages + frames + blobs == 0
            && bytes_before == bytes_after
        {
            return writeln!(f, "Nothing is older or larger than that.");
        }
        writeln!(f, "{}", if self.dry_run { "Would delete" } else { "Deleted" })?;
        let lines = [
            (
                calls + exchanges,
                "totals",
                format!("{}, {}", counted(calls, "call"), counted(exchanges, "exchange")),
            ),
            (
                bodies + requests,
                "bodies",
                format!(
                    "{}, {} as the client sent it",
                    counted(bodies, "exchange"),
                    counted(requests, "call"),
                ),
            ),
            (
                messages + frames + blobs,
                "unused",
                format!(
                    "{}, {}, {}",
                    counted(messages, "message"),
                    counted(frames, "frame"),
                    counted(blobs, "long text"),
                ),
            ),
        ];
        for (count, name, line) in lines {
            if count > 0 {
                writeln!(f, "  {name:<8}{line}")?;
            }
        }
        let (before, after) = (mebibytes(bytes_before), mebibytes(bytes_after));
        let about = if self.dry_run { "about " } else { "" };
        writeln!(f, "  {:<8}{before} before, {about}{after} after", "size")?;
        if let Some(most) = self.limits.max_bytes.filter(|&most| bytes_after > most) {
            let most = mebibytes(most);
            writeln!(
                f,
                "No bodies are left; what is larger than {most} are totals (--keep-totals)."
            )?;
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn time(text: &str) -> Result<Duration, String> {
    // `0s` is all that there is.
    let time = if matches!(text, "0" | "0s") { Some(Duration::ZERO) } else { config::time(text) };
    time.ok_or_else(|| "give a time such as 90d, 12h or 0s".to_owned())
}

fn size(text: &str) -> Result<u64, String> {
    let size = config::size(text).and_then(|size| u64::try_from(size).ok());
    size.ok_or_else(|| "give a size such as 500MiB or 2GiB".to_owned())
}
