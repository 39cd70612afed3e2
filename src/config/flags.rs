//! The settings as flags. Each has its own name in the environment and in the file.

use std::path::PathBuf;

use clap::Args;

/// The flags of `reprise serve`; each has its own name in the environment and in the file.
#[derive(Debug, Default, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Settings")]
#[expect(clippy::doc_markdown, reason = "these comments are the help that a terminal shows")]
pub struct Flags {
    /// Address to listen on [env: REPRISE_HOST] [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    pub host: Option<String>,
    /// Port to listen on; 0 takes any free one [env: REPRISE_PORT] [default: 8000]
    #[arg(long, value_name = "PORT")]
    pub port: Option<String>,
    /// Key that clients must show [env: REPRISE_API_KEY]
    #[arg(long, value_name = "KEY")]
    pub api_key: Option<String>,
    /// Ask for no key, although other machines can reach the address [env: REPRISE_NO_AUTH]
    #[arg(long)]
    pub no_auth: bool,
    /// Key that operators must show to clear the cache; without one: be on this machine [env: REPRISE_ADMIN_KEY]
    #[arg(long, value_name = "KEY")]
    pub admin_key: Option<String>,
    /// Where the Messages API is; the help has its default, a bare URL that rustdoc would not take.
    #[arg(
        long,
        value_name = "URL",
        help = "Where the Messages API is [env: ANTHROPIC_BASE_URL] [default: https://api.anthropic.com]"
    )]
    pub anthropic_base_url: Option<String>,
    /// Largest request body, in bytes or as 32MiB [env: REPRISE_MAX_BODY] [default: 32MiB]
    #[arg(long, value_name = "SIZE")]
    pub max_body: Option<String>,
    /// How long Anthropic may be silent [env: REPRISE_UPSTREAM_IDLE_TIMEOUT] [default: 120s]
    #[arg(long, value_name = "TIME")]
    pub upstream_idle_timeout: Option<String>,
    /// Where the days of budgets begin, as Europe/Berlin [env: REPRISE_TIMEZONE] [default: this machine's]
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<String>,
    /// Delete what was said longer ago, as 90d; what it cost stays [env: REPRISE_KEEP_BODIES] [default: for ever]
    #[arg(long, value_name = "TIME")]
    pub keep_bodies: Option<String>,
    /// Delete everything that is older; it is not counted any more [env: REPRISE_KEEP_TOTALS] [default: for ever]
    #[arg(long, value_name = "TIME")]
    pub keep_totals: Option<String>,
    /// Delete the oldest bodies until the ledger is no larger, as 2GiB [env: REPRISE_MAX_SIZE] [default: none]
    #[arg(long, value_name = "SIZE")]
    pub max_size: Option<String>,
    /// `full` survives a power failure, `normal` a crash; for slow disks [env: REPRISE_DURABILITY] [default: full]
    #[arg(long, value_name = "HOW")]
    pub durability: Option<String>,
    /// `text` or `json` [env: REPRISE_LOG_FORMAT] [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// What to log: error, warn, info, debug, or by module as in reprise=debug [env: REPRISE_LOG] [default: info]
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    #[command(flatten)]
    pub cache: CacheFlags,
    #[command(flatten)]
    pub open_webui: OpenWebUiFlags,
}

/// The flags that say what the ledger may answer.
#[derive(Debug, Default, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Answers from the ledger")]
#[expect(clippy::doc_markdown, reason = "these comments are the help that a terminal shows")]
pub struct CacheFlags {
    /// What may be answered from the ledger: `off`, `tasks` or `all` [env: REPRISE_CACHE] [default: all]
    #[arg(long, value_name = "WHAT")]
    pub cache: Option<String>,
    /// Among whom answers are shared: each `user` has its own, or `shared` [env: REPRISE_CACHE_SCOPE] [default: user]
    #[arg(long, value_name = "SCOPE")]
    pub cache_scope: Option<String>,
    /// How long an answer in the ledger may be served [env: REPRISE_CACHE_TTL] [default: 30d]
    #[arg(long, value_name = "TIME")]
    pub cache_ttl: Option<String>,
    /// The same for single tasks, as title=90d,query=1h,autocomplete=off [env: REPRISE_TASK_TTL]
    #[arg(long, value_name = "TASK=TIME,...")]
    pub task_ttl: Option<String>,
    /// The same for answers that may rest on the web: tools that Anthropic runs, URLs [env: REPRISE_WEB_TTL] [default: off]
    #[arg(long, value_name = "TIME")]
    pub web_ttl: Option<String>,
    /// Users of whose calls only totals are kept, as ids with commas [env: REPRISE_NO_STORE_USERS]
    #[arg(long, value_name = "ID,...")]
    pub no_store_users: Option<String>,
}

/// The flags that are about Open WebUI.
#[derive(Debug, Default, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Open WebUI")]
#[expect(clippy::doc_markdown, reason = "these comments are the help that a terminal shows")]
pub struct OpenWebUiFlags {
    /// Model or alias for titles, tags and the like, whatever the chat's model [env: REPRISE_TASK_MODEL]
    #[arg(long, value_name = "MODEL")]
    pub task_model: Option<String>,
    /// Do not say in the chat that an answer comes from the ledger [env: REPRISE_NO_STATUS_LINE]
    #[arg(long)]
    pub no_status_line: bool,
    /// Headers that name the task, chat, message, user-message or user, as chat=X-Chat,user=X-User [env: REPRISE_ID_HEADERS]
    #[arg(long, value_name = "ID=HEADER,...")]
    pub id_headers: Option<String>,
    /// Its FORWARD_USER_INFO_HEADER_JWT_SECRET: only users that it signs are then taken for who they are [env: REPRISE_USER_JWT_SECRET]
    #[arg(long, value_name = "SECRET")]
    pub user_jwt_secret: Option<String>,
}

/// The flags of `reprise replay`, besides those of the server.
#[derive(Debug, Default, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Replay")]
#[expect(clippy::doc_markdown, reason = "these comments are the help that a terminal shows")]
pub struct ReplayFlags {
    /// 0 plays as fast as it is read, 1 as it was recorded, more so much faster [env: REPRISE_SPEED] [default: 0]
    #[arg(long, value_name = "N")]
    pub speed: Option<String>,
    /// No recorded pause is played longer [env: REPRISE_LONGEST_GAP] [default: 5s]
    #[arg(long, value_name = "TIME")]
    pub longest_gap: Option<String>,
    /// When all answers to a request were given: the `last` again, `error`, or `cycle` [env: REPRISE_AT_THE_END] [default: last]
    #[arg(long, value_name = "HOW")]
    pub at_the_end: Option<String>,
    /// Fail at the end if a fixture was never asked for, or a request found none [env: REPRISE_STRICT]
    #[arg(long)]
    pub strict: bool,
}

/// The flags that every command takes.
#[derive(Debug, Default, Clone, Args)]
#[command(next_help_heading = "Global options")]
#[expect(clippy::doc_markdown, reason = "these comments are the help that a terminal shows")]
pub struct GlobalFlags {
    /// The ledger, as sqlite:///path/to/file [env: REPRISE_DATABASE_URL] [default: ~/.local/share/reprise/reprise.db]
    #[arg(long, value_name = "URL", global = true)]
    pub database_url: Option<String>,
    /// TOML file with settings, named as the flags: max_body = "32MiB" [env: REPRISE_CONFIG]
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
}

impl GlobalFlags {
    /// For a server that keeps nothing.
    pub fn in_memory() -> Self {
        Self { database_url: Some("sqlite::memory:".to_owned()), config: None }
    }
}

/// A flag that was given, under the name of its setting.
pub(super) type Given<'a> = (&'static str, Option<&'a str>);

impl Flags {
    /// What was given; `None` for what was not.
    pub(super) fn given(&self) -> Vec<Given<'_>> {
        let Self {
            host,
            port,
            api_key,
            no_auth,
            admin_key,
            anthropic_base_url,
            max_body,
            upstream_idle_timeout,
            timezone,
            keep_bodies,
            keep_totals,
            max_size,
            durability,
            log_format,
            log,
            cache: CacheFlags { cache, cache_scope, cache_ttl, task_ttl, web_ttl, no_store_users },
            open_webui: OpenWebUiFlags { task_model, no_status_line, id_headers, user_jwt_secret },
        } = self;
        let texts = [
            ("host", host),
            ("port", port),
            ("api_key", api_key),
            ("admin_key", admin_key),
            ("anthropic_base_url", anthropic_base_url),
            ("max_body", max_body),
            ("upstream_idle_timeout", upstream_idle_timeout),
            ("timezone", timezone),
            ("keep_bodies", keep_bodies),
            ("keep_totals", keep_totals),
            ("max_size", max_size),
            ("durability", durability),
            ("log_format", log_format),
            ("log", log),
            ("cache", cache),
            ("cache_scope", cache_scope),
            ("cache_ttl", cache_ttl),
            ("task_ttl", task_ttl),
            ("web_ttl", web_ttl),
            ("no_store_users", no_store_users),
            ("task_model", task_model),
            ("id_headers", id_headers),
            ("user_jwt_secret", user_jwt_secret),
        ];
        let texts = texts.into_iter().map(|(name, value)| (name, value.as_deref()));
        let switches = [("no_auth", switch(*no_auth)), ("no_status_line", switch(*no_status_line))];
        texts.chain(switches).collect()
    }
}

impl ReplayFlags {
    /// What was given; `None` for what was not.
    pub(super) fn given(&self) -> Vec<Given<'_>> {
        let Self { speed, longest_gap, at_the_end, strict } = self;
        vec![
            ("speed", speed.as_deref()),
            ("longest_gap", longest_gap.as_deref()),
            ("at_the_end", at_the_end.as_deref()),
            ("strict", switch(*strict)),
        ]
    }
}

fn switch(on: bool) -> Option<&'static str> {
    on.then_some("true")
}
