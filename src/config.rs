//! Every setting: flag, else environment, else file, else default. Read once, validated once; the environment is
//! read nowhere else. Secrets are [`SecretString`]s and are never shown.

mod cache;
mod effective;
mod flags;
mod ids;
mod keep;
mod layers;
mod replay;
mod scrub;

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use secrecy::SecretString;
use url::Url;

use self::layers::{Layers, durability, log_format};
pub use self::{
    effective::Effective,
    flags::{CacheFlags, Flags, GlobalFlags, OpenWebUiFlags, ReplayFlags},
    ids::IdHeaders,
    keep::Keep,
    layers::{Layer, size, time},
    replay::{Mode, Replay},
};
use crate::domain::{
    alias::{self, Aliases},
    budget::Budgets,
    cache::{IdentityProof, Policy},
    cassette::{Rule, is_secret_name},
};

/// All settings, validated.
#[derive(Debug)]
pub struct Config {
    /// Address to listen on.
    pub host: IpAddr,
    /// Port to listen on; 0 takes any free one.
    pub port: u16,
    /// What clients must show.
    pub client_key: Option<SecretString>,
    /// What upstream is asked with.
    pub anthropic_key: Option<SecretString>,
    /// Where the Messages API is.
    pub anthropic_base_url: Url,
    /// The ledger.
    pub database_url: String,
    /// Largest request body, in bytes.
    pub max_body: usize,
    /// How long Anthropic may be silent.
    pub upstream_idle: Duration,
    /// What the ledger may answer.
    pub cache: Policy,
    /// Whether a chat in Open WebUI is told that its answer comes from the ledger.
    pub status_line: bool,
    /// The model, or alias, that Open WebUI's background calls are asked of; `None`: each its own.
    pub task_model: Option<String>,
    /// Which headers say who asks.
    pub id_headers: IdHeaders,
    /// What Open WebUI signs its users with; `None`: they are not signed.
    pub user_jwt_secret: Option<SecretString>,
    /// What an operator must show; `None`: to be on this machine.
    pub admin_key: Option<SecretString>,
    /// Who answers.
    pub mode: Mode,
    /// What is replayed, and how.
    pub replay: Replay,
    /// What a committed answer survives.
    pub durability: Durability,
    /// How logs are written.
    pub log_format: LogFormat,
    /// What is logged.
    pub log: String,
    /// What the operator named.
    pub aliases: Aliases,
    /// What is taken out of fixtures, besides what looks like a secret.
    pub scrub: Vec<Rule>,
    /// What may be spent.
    pub budgets: Budgets,
    /// How long what is kept.
    pub keep: Keep,
}

/// The settings that a command needs which asks nobody.
#[derive(Debug)]
pub struct Offline {
    /// What clients must show.
    pub client_key: Option<SecretString>,
    /// Where the Messages API is.
    pub anthropic_base_url: Url,
    /// The cache policy.
    pub cache: Policy,
    /// Whether a user who is not signed is vouched for.
    pub vouched: IdentityProof,
    /// What background calls are asked of; `None`: what each asks for.
    pub task_model: Option<String>,
    /// What the operator named.
    pub aliases: Aliases,
    /// What is taken out of fixtures, besides what looks like a secret.
    pub scrub: Vec<Rule>,
}

/// The settings that a command needs which changes a ledger that a server may be using.
#[derive(Debug)]
pub struct Operator {
    /// The ledger.
    pub database_url: String,
    /// Where a server with the same settings answers on this machine.
    pub address: SocketAddr,
    /// What it wants operators to show.
    pub admin_key: Option<SecretString>,
    /// What it wants clients to show, and operators where there is no admin key.
    pub client_key: Option<SecretString>,
}

/// What a committed answer survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A power failure.
    Full,
    /// A crash of the process.
    Normal,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value makes no sense.
    #[error("{source_name}: {value:?} is not {expected}")]
    Invalid {
        /// The flag, variable or field that it came from.
        source_name: String,
        /// What it said.
        value: String,
        /// What it should have said.
        expected: &'static str,
    },
    /// The file cannot be read.
    #[error("cannot read the settings file {}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is no TOML. The line is named but not shown: it may be the one with the key.
    #[error("the settings file {} is not TOML: line {line}: {why}", path.display())]
    Toml {
        /// Which file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// Why not.
        why: String,
    },
    /// An alias or a budget that is none.
    #[error("the {what} in the settings file {}: line {line}: {why}", path.display())]
    Shape {
        /// Of which kind.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// Why not.
        why: String,
    },
    /// An alias that could not be told from another, or says nonsense.
    #[error("the aliases in the settings file {}", path.display())]
    Aliases {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: alias::Error,
    },
    /// What is to be taken out of fixtures cannot be understood. The line is named but not shown.
    #[error("what [[scrub]] says in the settings file {}: line {line}: {why}", path.display())]
    Scrub {
        /// Which file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// Why not.
        why: String,
    },
    /// The address of upstream has more in it than an address.
    #[error(
        "{source_name}: give the bare address, such as https://api.anthropic.com: what else stands in it would be shown"
    )]
    Address {
        /// The flag, variable or field that it came from.
        source_name: String,
    },
    /// The file says something that is no setting.
    #[error(
        "{}: no such setting: {name} (they are named as the flags of `reprise serve`, with underscores for hyphens)",
        path.display()
    )]
    Unknown {
        /// Which file.
        path: PathBuf,
        /// What it says.
        name: String,
    },
    /// Others could reach the server and nothing would stop them.
    #[error(
        "{host} can be reached from other machines: set a key that clients must show (--api-key or REPRISE_API_KEY), or \
         say --no-auth if anyone may spend your money"
    )]
    Unprotected {
        /// Where it would have listened.
        host: IpAddr,
    },
    /// There is no place for the ledger.
    #[error(
        "no HOME and no XDG_DATA_HOME to keep the ledger in: say where with --database-url or REPRISE_DATABASE_URL"
    )]
    Homeless,
}

/// The environment, given so that tests can give their own.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The process's environment. Empty variables count as unset, as in docker-compose files.
pub fn process_env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The variables of the process that are named as secrets are, in an order that does not change.
pub fn process_secrets() -> Vec<(String, SecretString)> {
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut secrets: Vec<(String, String)> =
        variables.filter(|(name, _)| is_secret_name(name)).collect();
    secrets.sort();
    secrets.into_iter().map(|(name, value)| (name, SecretString::from(value))).collect()
}

impl Config {
    /// Puts the layers together.
    pub fn load(flags: &Flags, global: &GlobalFlags, env: Env<'_>) -> Result<Self, Error> {
        Self::of(&Layers::read(flags.given(), global, env)?, env)
    }

    /// The same for a replay of `fixtures`; those of the other layers, if it is empty.
    pub fn load_replay(
        fixtures: &[PathBuf],
        replay: &ReplayFlags,
        flags: &Flags,
        global: &GlobalFlags,
        env: Env<'_>,
    ) -> Result<Self, Error> {
        let mut given = flags.given();
        given.extend(replay.given());
        given.push(("mode", Some("replay")));
        let mut config = Self::of(&Layers::read(given, global, env)?, env)?;
        if !fixtures.is_empty() {
            config.replay.fixtures = fixtures.to_vec();
        }
        Ok(config)
    }

    fn of(layers: &Layers, env: Env<'_>) -> Result<Self, Error> {
        let mode = replay::mode(layers)?;
        let config = Self {
            host: layers.parse("host", "an IP address")?.unwrap_or(IpAddr::from([127, 0, 0, 1])),
            port: layers.parse("port", "a port number")?.unwrap_or(8000),
            client_key: layers.secret("api_key")?,
            anthropic_key: layers.secret("anthropic_api_key")?,
            anthropic_base_url: layers.base_url()?,
            database_url: match mode {
                Mode::Live => layers.database_url(env)?,
                // Nothing is kept, so there need not be a place for it.
                Mode::Replay => "sqlite::memory:".to_owned(),
            },
            max_body: layers.read_as("max_body", "a size such as 32MiB", size)?.unwrap_or(32 << 20),
            upstream_idle: layers.time("upstream_idle_timeout")?.unwrap_or(Duration::from_mins(2)),
            cache: cache::policy(layers)?,
            status_line: !layers.switch("no_status_line")?,
            task_model: layers.name("task_model")?,
            id_headers: ids::id_headers(layers)?,
            mode,
            replay: replay::replay(layers)?,
            user_jwt_secret: layers.secret("user_jwt_secret")?,
            admin_key: layers.secret("admin_key")?,
            durability: layers
                .read_as("durability", "`full` or `normal`", durability)?
                .unwrap_or(Durability::Full),
            log_format: layers
                .read_as("log_format", "`text` or `json`", log_format)?
                .unwrap_or(LogFormat::Text),
            log: layers
                .text("log")
                .map_or_else(|| "info".to_owned(), |setting| setting.value.clone()),
            aliases: layers.aliases.clone(),
            scrub: layers.scrub.clone(),
            keep: keep::keep(layers, &layers.budgets()?)?,
            budgets: layers.budgets()?,
        };
        let no_auth = layers.switch("no_auth")?;
        if config.client_key.is_none() && !config.host.is_loopback() && !no_auth {
            return Err(Error::Unprotected { host: config.host });
        }
        Ok(config)
    }

    /// What `reprise explain` needs.
    pub fn offline(global: &GlobalFlags, env: Env<'_>) -> Result<Offline, Error> {
        let layers = Layers::read(Vec::new(), global, env)?;
        Ok(Offline {
            client_key: layers.secret("api_key")?,
            anthropic_base_url: layers.base_url()?,
            cache: cache::policy(&layers)?,
            vouched: match layers.secret("user_jwt_secret")? {
                None => IdentityProof::Verified,
                Some(_) => IdentityProof::Unverified,
            },
            task_model: layers.name("task_model")?,
            aliases: layers.aliases,
            scrub: layers.scrub,
        })
    }

    /// What may be spent, and where the ledger is that says what was.
    pub fn budgets(global: &GlobalFlags, env: Env<'_>) -> Result<(String, Budgets), Error> {
        let layers = Layers::read(Vec::new(), global, env)?;
        Ok((layers.database_url(env)?, layers.budgets()?))
    }

    /// Where the ledger is, for commands that only read it.
    pub fn ledger(global: &GlobalFlags, env: Env<'_>) -> Result<String, Error> {
        Layers::read(Vec::new(), global, env)?.database_url(env)
    }

    /// What a command needs that changes the ledger.
    pub fn operator(global: &GlobalFlags, env: Env<'_>) -> Result<Operator, Error> {
        let layers = Layers::read(Vec::new(), global, env)?;
        Ok(Operator {
            database_url: layers.database_url(env)?,
            address: Self::local_address(global, env)?,
            admin_key: layers.secret("admin_key")?,
            client_key: layers.secret("api_key")?,
        })
    }

    /// Where a server with these settings answers on this machine.
    pub fn local_address(global: &GlobalFlags, env: Env<'_>) -> Result<SocketAddr, Error> {
        let layers = Layers::read(Vec::new(), global, env)?;
        let host = match layers.parse("host", "an IP address")? {
            None => IpAddr::from([127, 0, 0, 1]),
            Some(IpAddr::V4(host)) if host.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
            Some(IpAddr::V6(host)) if host.is_unspecified() => IpAddr::from(Ipv6Addr::LOCALHOST),
            Some(host) => host,
        };
        let port = layers.parse("port", "a port number")?.unwrap_or(8000);
        Ok(SocketAddr::new(host, port))
    }
}

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
        let global = GlobalFlags { database_url: None, config };
        let env = |name: &str| match name {
            "HOME" => Some("/home/someone".to_owned()),
            name => {
                env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            }
        };
        Config::load(flags, &global, &env)
    }

    #[test]
    fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
        let file = Some("port = 1\nmax_body = \"1KiB\"\ncache_ttl = \"2h\"");
        let env = [("REPRISE_PORT", "2"), ("REPRISE_MAX_BODY", "2KiB")];
        let flags = Flags { port: Some("3".to_owned()), ..Flags::default() };
        let config = load(&flags, file, &env).unwrap();
        assert_eq!((config.port, config.max_body), (3, 2048));
        assert_eq!(config.cache.ttl, Duration::from_hours(2));
        assert_eq!(config.upstream_idle, Duration::from_mins(2));
        assert_eq!(config.database_url, "sqlite:///home/someone/.local/share/reprise/reprise.db");
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
        let open = Flags { host: Some("0.0.0.0".to_owned()), ..Flags::default() };
        assert!(matches!(load(&open, None, &[]), Err(Error::Unprotected { .. })));
        assert!(load(&open, None, &[("REPRISE_API_KEY", "k")]).is_ok());
        assert!(load(&Flags { no_auth: true, ..open }, None, &[]).is_ok());
    }
}
