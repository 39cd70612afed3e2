//! Settings: flag, else environment, else file, else default. Each is declared once, as a field of [`Config`] or of a
//! group in it; the environment is read nowhere else. Secrets are [`SecretString`]s and are never shown.

mod cache;
mod environment;
mod error;
mod flags;
mod ids;
mod keys;
mod line;
mod lists;
mod origins;
mod parsers;
mod replay;
mod retention;
mod scrub;
mod sources;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use jiff::tz::TimeZone;
use secrecy::SecretString;
use url::Url;

pub use self::{
    environment::{Env, Environment, UnknownVariable, default_files, unknown_variables},
    error::Error,
    flags::{FlagArgs, FlagGroup, Flags, Global, Replaying, Serving},
    ids::IdHeaders,
    keys::ClientKey,
    origins::Origin,
    parsers::{Unclear, age, age_or_zero, size_with_unit, time_zone},
    replay::{OnMiss, ReplaySettings},
    retention::RetentionSettings,
    sources::{Setting, SettingSource, with_journal},
};
use self::{
    flags::heading,
    lists::Lists,
    parsers::{
        base_url, dollars, duration, duration_or_zero, key, name, parsed, size, webhook, word,
    },
    sources::Sources,
};
use crate::domain::{
    alias::Aliases,
    budget::Budgets,
    cache::{IdentityProof, Policy},
    cassette::{Rule, is_secret_name},
    exchange::NanoDollars,
};

/// All settings. The name of a field, or its `id`, is the name in the settings file; with hyphens it is the flag, and
/// in capitals after `REPRISE_` the variable. The doc comment is the help.
#[derive(Debug, Args)]
#[command(next_help_heading = heading::SERVER)]
#[expect(clippy::doc_markdown, reason = "these comments are the help that a terminal shows")]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct Config {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1", value_parser = parsed::<IpAddr>("an IP address"))]
    pub host: IpAddr,
    /// Port to listen on; 0 takes any free one
    #[arg(long, value_name = "PORT", default_value = "8000", value_parser = parsed::<u16>("a port number"))]
    pub port: u16,
    /// Key that clients must send
    #[arg(id = "api_key", long = "api-key", value_name = "KEY", value_parser = key)]
    pub client_key: Option<SecretString>,
    /// Require no key, although other machines can reach the address
    #[arg(long)]
    pub no_auth: bool,
    /// Origins whose web pages may send requests, besides this machine's, as `https://chat.example,app://obsidian.md`;
    /// with an API key, all may
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',', value_parser = str::parse::<Origin>)]
    pub allow_origin: Vec<Origin>,
    /// Key that operators must send, for example to open the page or clear the cache; without one they must be on this machine
    #[arg(long, value_name = "KEY", value_parser = key)]
    pub admin_key: Option<SecretString>,
    /// Key for upstream.
    #[arg(
        id = "anthropic_api_key",
        long = "anthropic-api-key",
        help_heading = heading::NO_FLAG,
        value_parser = key
    )]
    pub anthropic_key: Option<SecretString>,
    /// Address of the Messages API
    #[arg(long, value_name = "URL", default_value = "https://api.anthropic.com", value_parser = base_url)]
    pub anthropic_base_url: Url,
    /// Address of the ledger, as sqlite:///path/to/file or postgres://user:password@host/database?schema=NAME; by default
    /// ~/.local/share/reprise/reprise.db. Parameters for Postgres: sslmode, sslrootcert, max_connections=8,
    /// connect_timeout=5 and statement_timeout=60 in seconds, journal=FOLDER
    #[arg(long, value_name = "URL", global = true, help_heading = heading::GLOBAL)]
    pub database_url: Option<String>,
    /// TOML file with settings, named as the flags: max_body = "32MiB"; by default ~/.config/reprise/reprise.toml, else
    /// /etc/reprise/reprise.toml
    #[arg(id = "config", long = "config", value_name = "FILE", global = true, help_heading = heading::GLOBAL)]
    pub file: Option<PathBuf>,
    /// Largest request body, in bytes or as 32MiB
    #[arg(long, value_name = "SIZE", default_value = "32MiB", value_parser = size)]
    pub max_body: u64,
    /// Longest wait for data from Anthropic before a request fails
    #[arg(id = "upstream_idle_timeout", long = "upstream-idle-timeout", value_name = "TIME", default_value = "120s", value_parser = duration)]
    pub upstream_idle: Duration,
    /// Time that open answers get to finish after the signal to stop; a second signal cuts them at once
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration_or_zero)]
    pub shutdown_grace: Duration,
    /// Time zone of budgets, as Europe/Berlin; by default that of this machine
    #[arg(long, value_name = "ZONE", value_parser = time_zone)]
    timezone: Option<TimeZone>,
    /// Address that is told, by a POST of JSON, when a budget reaches warn_at or its limit
    #[arg(long, value_name = "URL", value_parser = webhook)]
    pub budget_webhook: Option<SecretString>,
    /// Address of an OpenTelemetry collector that gets a trace of each call, by OTLP over HTTP, as http://127.0.0.1:4318;
    /// nothing that was said is in it
    #[arg(long, value_name = "URL", value_parser = webhook)]
    pub otlp_endpoint: Option<SecretString>,
    /// Limits on age and size of the ledger.
    #[command(flatten)]
    pub keep: RetentionSettings,
    /// Durability of a committed answer: `full` survives a power failure, `normal` a crash and is faster on slow disks
    #[arg(long, value_name = "LEVEL", default_value = "full", value_parser = word::<Durability>())]
    pub durability: Durability,
    /// Index of what is said, by which sessions are searched, in the ledger: `on`, or `off` to keep none
    #[arg(long, value_name = "INDEX", default_value = "on", value_parser = word::<SearchIndex>())]
    pub search: SearchIndex,
    /// Format of the log
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = word::<LogFormat>())]
    pub log_format: LogFormat,
    /// Level of the log: error, warn, info, debug, or by module as in reprise=debug
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub log: String,
    /// Answers from the ledger.
    #[command(flatten)]
    pub cache: Policy,
    /// Model or alias for background tasks such as titles and tags, whatever the chat's model
    #[arg(long, value_name = "MODEL", help_heading = heading::OPEN_WEBUI, value_parser = name)]
    pub task_model: Option<String>,
    /// Show no status line in the chat when an answer comes from the ledger
    #[arg(long, help_heading = heading::OPEN_WEBUI)]
    pub no_status_line: bool,
    /// Estimated cost of a question, in dollars, above which a status line in the chat says so before the answer
    #[arg(long, value_name = "DOLLARS", help_heading = heading::OPEN_WEBUI, value_parser = dollars)]
    pub warn_above: Option<NanoDollars>,
    /// Headers with the ids of task, chat, message, user-message or user, or with user-name or user-email, as chat=X-Chat,user=X-User
    #[arg(
        long,
        value_name = "ID=HEADER,...",
        default_value = "",
        hide_default_value = true,
        help_heading = heading::OPEN_WEBUI,
        value_parser = ids::id_headers
    )]
    pub id_headers: IdHeaders,
    /// Keep no names and mails of users beside their ids; those in the ledger stay until their users are pruned
    #[arg(long, help_heading = heading::OPEN_WEBUI)]
    pub no_user_names: bool,
    /// Open WebUI's FORWARD_USER_INFO_HEADER_JWT_SECRET; with it, only users with a valid signature are trusted
    #[arg(long, value_name = "SECRET", help_heading = heading::OPEN_WEBUI, value_parser = key)]
    pub user_jwt_secret: Option<SecretString>,
    /// Refuse calls whose user has no valid signature; without, they are those of the user "unverified"
    #[arg(long, help_heading = heading::OPEN_WEBUI)]
    pub require_signed_users: bool,
    /// Upstream of the server.
    #[arg(long, default_value = "live", help_heading = heading::NO_FLAG, value_parser = word::<Mode>())]
    pub mode: Mode,
    /// Files and folders of a replay.
    #[arg(long, default_value = "fixtures", value_delimiter = ':', help_heading = heading::NO_FLAG)]
    pub fixtures: Vec<PathBuf>,
    /// Settings of a replay.
    #[command(flatten)]
    pub replay: ReplaySettings,
    /// Aliases of models.
    #[arg(skip)]
    pub aliases: Aliases,
    /// Rules for scrubbing fixtures, in addition to the built-in ones.
    #[arg(skip)]
    pub scrub: Vec<Rule>,
    /// Budgets, with their time zone.
    #[arg(skip)]
    pub budgets: Budgets,
    /// Client keys with names.
    #[arg(skip)]
    pub keys: Vec<ClientKey>,
}

/// Upstream of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Mode {
    /// Claude.
    Live,
    /// Fixtures.
    Replay,
}

/// Durability of a committed answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Durability {
    /// Survives a power failure.
    Full,
    /// Survives a crash of the process.
    Normal,
}

/// Index of what is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum SearchIndex {
    /// Kept in the ledger.
    On,
    /// Not kept.
    Off,
}

/// Format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// The environment of the process. Empty variables count as unset, as in docker-compose files.
#[derive(Debug)]
pub struct ProcessEnv;

impl Environment for ProcessEnv {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }

    fn names(&self) -> Vec<String> {
        let set = std::env::vars_os().filter(|(_, value)| !value.is_empty());
        set.filter_map(|(name, _)| name.into_string().ok()).collect()
    }

    fn system_folder(&self) -> Option<PathBuf> {
        Some(PathBuf::from("/etc"))
    }
}

/// Variables of the process whose names are those of secrets, sorted.
fn process_secrets() -> Vec<(String, SecretString)> {
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut secrets: Vec<(String, String)> =
        variables.filter(|(name, _)| is_secret_name(name)).collect();
    secrets.sort();
    secrets.into_iter().map(|(name, value)| (name, SecretString::from(value))).collect()
}

impl Config {
    /// Reads all settings, for commands that start no server.
    pub fn load(flags: &Flags, env: Env<'_>) -> Result<Self, Error> {
        Self::parse(&Sources::read(flags, env)?)
    }

    /// Reads all settings, and checks those that a server needs.
    pub fn load_server(flags: &Flags, env: Env<'_>) -> Result<Self, Error> {
        let mut config = Self::load(flags, env)?;
        config.check_exposure()?;
        match config.mode {
            Mode::Live => drop(config.ledger()?),
            // Nothing is stored, so no place is needed.
            Mode::Replay => config.database_url = Some(IN_MEMORY.to_owned()),
        }
        Ok(config)
    }

    /// The same for a replay of `fixtures`; of those in the settings, if it is empty.
    pub fn load_replay(fixtures: &[PathBuf], flags: &Flags, env: Env<'_>) -> Result<Self, Error> {
        let mut config = Self::load_server(&flags.clone().with("mode", "replay"), env)?;
        if !fixtures.is_empty() {
            config.fixtures = fixtures.to_vec();
        }
        Ok(config)
    }

    /// All settings with their sources, in the order of their declarations. Fails where a server would not start.
    pub fn settings(flags: &Flags, env: Env<'_>) -> Result<Vec<Setting>, Error> {
        let sources = Sources::read(flags, env)?;
        let config = Self::parse(&sources)?;
        config.check_exposure()?;
        Ok(sources.settings(&config))
    }

    fn parse(sources: &Sources) -> Result<Self, Error> {
        let mut config = sources.parse()?;
        let Lists { aliases, budgets, keys, scrub } = sources.lists.clone();
        let zone = config.timezone.clone().unwrap_or_else(TimeZone::system);
        config.budgets = Budgets { list: budgets, zone };
        (config.aliases, config.keys, config.scrub) = (aliases, keys, scrub);
        if let Some(named) = config.key_that_has_a_name() {
            let expected = format!("a key of its own: it is the [[key]] {named}, too");
            return Err(sources.invalid_secret("api_key", &expected));
        }
        if config.require_signed_users && config.user_jwt_secret.is_none() {
            let expected = "false without user_jwt_secret, by which signatures are checked";
            return Err(sources.invalid("require_signed_users", expected));
        }
        if !config.keep.covers(&config.budgets) {
            let expected = "long enough for the budgets: 25h for one per day, 169h for one per week, 745h for one per month";
            return Err(sources.invalid("keep_totals", expected));
        }
        Ok(config)
    }

    fn check_exposure(&self) -> Result<(), Error> {
        if !self.requires_key() && !self.host.is_loopback() && !self.no_auth {
            return Err(Error::Unprotected { host: self.host });
        }
        Ok(())
    }

    /// Trust in users that are not signed: none once Open WebUI signs its users.
    pub fn vouched(&self) -> IdentityProof {
        if self.user_jwt_secret.is_some() {
            IdentityProof::Unverified
        } else {
            IdentityProof::Verified
        }
    }

    /// Address of the ledger.
    pub fn ledger(&self) -> Result<&str, Error> {
        self.database_url.as_deref().ok_or(Error::Homeless)
    }

    /// Address at which a server with these settings answers on this machine.
    pub fn local_address(&self) -> SocketAddr {
        let host = match self.host {
            IpAddr::V4(host) if host.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(host) if host.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            host => host,
        };
        SocketAddr::new(host, self.port)
    }
}

/// Address of a ledger that is not stored.
const IN_MEMORY: &str = "sqlite::memory:";

#[cfg(test)]
mod tests {
    use super::*;

    fn load(flags: &Flags, file: Option<&str>, env: &[(&str, &str)]) -> Result<Config, Error> {
        let folder = tempfile::tempdir().unwrap();
        let config = file.map(|text| {
            let path = folder.path().join("reprise.toml");
            std::fs::write(&path, text).unwrap();
            path
        });
        let flags = config
            .iter()
            .fold(flags.clone(), |flags, path| flags.with("config", path.to_str().unwrap()));
        let env = |name: &str| match name {
            "HOME" => Some("/home/someone".to_owned()),
            name => {
                env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            }
        };
        Config::load_server(&flags, &env)
    }

    #[test]
    fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
        let file = Some("port = 1\nmax_body = \"1KiB\"\ncache_ttl = \"2h\"");
        let env = [("REPRISE_PORT", "2"), ("REPRISE_MAX_BODY", "2KiB")];
        let flags = Flags::default().with("port", "3");
        let config = load(&flags, file, &env).unwrap();
        assert_eq!((config.port, config.max_body), (3, 2048));
        assert_eq!(config.cache.ttl, Duration::from_hours(2));
        assert_eq!(config.upstream_idle, Duration::from_mins(2));
        assert_eq!(
            config.ledger().unwrap(),
            "sqlite:///home/someone/.local/share/reprise/reprise.db"
        );
    }

    #[test]
    fn an_error_names_where_the_value_came_from() {
        let message = |file, env: &[(&str, &str)]| {
            load(&Flags::default(), file, env).unwrap_err().to_string()
        };
        assert_eq!(
            message(None, &[("REPRISE_PORT", "http")]),
            "REPRISE_PORT: \"http\" is not a port number"
        );
        assert!(
            message(Some("colour = 3"), &[]).contains("reprise.toml: no such setting: colour (")
        );
        assert!(message(None, &[("REPRISE_CACHE_TTL", "0s")]).contains("a time such as"));
        assert_eq!(
            message(None, &[("ANTHROPIC_API_KEY", " ")]),
            "ANTHROPIC_API_KEY: \" \" is not a key; leave it out for none"
        );
    }

    #[test]
    fn an_error_shows_no_secret() {
        let unquoted = load(&Flags::default(), Some("anthropic_api_key = sk-ant-hidden"), &[]);
        let address = |value| load(&Flags::default(), None, &[("ANTHROPIC_BASE_URL", value)]);
        for refused in [
            unquoted,
            address("https://user:sk-ant-hidden@gateway"),
            address("https://gateway?token=sk-ant-hidden"),
            address("gateway#sk-ant-hidden"),
        ] {
            let error = anyhow::Error::from(refused.unwrap_err());
            assert!(!format!("{error:#} {error:?}").contains("hidden"), "{error:#}");
        }
    }

    #[test]
    fn an_address_that_others_can_reach_needs_a_key_or_a_word() {
        let open = Flags::default().with("host", "0.0.0.0");
        assert!(matches!(load(&open, None, &[]), Err(Error::Unprotected { .. })));
        assert!(load(&open, None, &[("REPRISE_API_KEY", "k")]).is_ok());
        assert!(load(&open.clone().with("no_auth", "true"), None, &[]).is_ok());
    }
}
