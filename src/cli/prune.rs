//! `reprise prune`: deletes old entries of the ledger, or shrinks it.

use std::{ops::ControlFlow, process::ExitCode, time::Duration};

use clap::Args;
use uuid::Uuid;

use super::{Console, Misuse, console, operator, reader, run::block_on};
use crate::{
    answer,
    config::{self, Config, Env, Flags, RetentionSettings},
    domain::exchange::OwnerId,
    report::{ChatCounts, PruneReport, user_id_in},
    store::{
        self,
        open_webui::Compared,
        prune::{self, Limits, Preview, Whose},
    },
};

/// The arguments of `reprise prune`.
#[derive(Debug, Args)]
#[command(
    after_help = "Without an option that says what to delete, the limits of the settings apply: keep_bodies, \
    keep_totals and max_size."
)]
pub(super) struct Arguments {
    /// Delete bodies of requests and answers older than this, as 90d or 12h; costs stay; 0 deletes all
    #[arg(long, value_name = "TIME", value_parser = config::age_or_zero)]
    keep_bodies: Option<Duration>,
    /// Delete everything older than this, costs included; 0 deletes all
    #[arg(long, value_name = "TIME", value_parser = config::age_or_zero)]
    keep_totals: Option<Duration>,
    /// Delete the oldest bodies while the ledger is larger than this, as 2GiB
    #[arg(long, value_name = "SIZE", value_parser = config::size_with_unit, conflicts_with_all = ["user", "chat", "chats_not_in"])]
    max_size: Option<u64>,
    /// Delete only entries of this user (the id, mail or name); without an age all bodies
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Delete only entries of this chat; without an age all bodies
    #[arg(long, value_name = "ID", conflicts_with = "user")]
    chat: Option<String>,
    /// Delete only entries of chats that are deleted in Open WebUI, as its database webui.db tells; without an age all
    /// bodies
    #[arg(long, value_name = "FILE", conflicts_with_all = ["user", "chat"])]
    chats_not_in: Option<String>,
    /// Report what would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
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
    let now = answer::now();
    let dry_run = arguments.dry_run;
    let report = block_on(async {
        let mut limits = limits(arguments, config.keep)?;
        let max_bytes = limits.max_bytes;
        let mut chats = None;
        if let Some(file) = &arguments.chats_not_in {
            let Compared { deleted, all } =
                reader::open(url).await?.compare_chats(file, now).await?;
            chats = Some(ChatCounts { deleted: deleted.len() as u64, all });
            limits.whose = Whose::Chats(deleted);
        }
        if let Whose::User(user) = &mut limits.whose {
            *user = user_id_in(url, user).await?;
        }
        if dry_run {
            let Preview { pruned, bodies_before, totals_before } =
                reader::open(url).await?.would_prune(&limits, now).await?;
            return Ok(PruneReport {
                dry_run,
                max_bytes,
                chats,
                pruned,
                bodies_before,
                totals_before,
            });
        }
        let owner = OwnerId::new(Uuid::now_v7());
        let mut watch = |_| ControlFlow::Continue(());
        let pruned = match prune::run(url, owner, &limits, now, &mut watch).await {
            Err(store::Error::InUse { owner, .. }) => {
                operator::post("/prune", &limits, owner, &config).await?
            }
            pruned => pruned?,
        };
        let (bodies_before, totals_before) = (None, None);
        anyhow::Ok(PruneReport { dry_run, max_bytes, chats, pruned, bodies_before, totals_before })
    })?;
    console::report(&report, arguments.json, console)?;
    Ok(ExitCode::SUCCESS)
}

/// The limits of the arguments; without any, those of the settings.
fn limits(arguments: &Arguments, settings: RetentionSettings) -> anyhow::Result<Limits> {
    let Arguments { keep_bodies, keep_totals, max_size, user, chat, chats_not_in, .. } = arguments;
    let whose = match (user, chat) {
        (Some(user), _) => Whose::User(user.clone()),
        (None, Some(chat)) => Whose::Chats(vec![chat.clone()]),
        (None, None) => Whose::Everyone,
    };
    if keep_bodies.is_some() || keep_totals.is_some() || max_size.is_some() {
        let (keep_bodies, keep_totals) = (*keep_bodies, *keep_totals);
        return Ok(Limits { whose, keep_bodies, keep_totals, max_bytes: *max_size });
    }
    // Users or chats without a limit means all of their bodies.
    if whose != Whose::Everyone || chats_not_in.is_some() {
        let keep_bodies = Some(Duration::ZERO);
        return Ok(Limits { whose, keep_bodies, keep_totals: None, max_bytes: None });
    }
    let RetentionSettings { bodies, totals, bytes } = settings;
    if settings == RetentionSettings::default() {
        let message = "nothing says what to delete: the settings keep everything; give --keep-bodies 90d, \
            --keep-totals 365d, --max-size 2GiB, --user, --chat or --chats-not-in, and --dry-run to see what it would \
            delete";
        return Err(Misuse(message.to_owned()).into());
    }
    Ok(Limits { whose, keep_bodies: bodies, keep_totals: totals, max_bytes: bytes })
}
