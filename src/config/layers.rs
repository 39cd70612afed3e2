//! The layers of settings: flag over environment over file, each value with where it came from.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use jiff::tz::TimeZone;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{Durability, Env, Error, GlobalFlags, LogFormat, flags::Given, scrub::scrub};
use crate::domain::{
    alias::{Alias, Aliases},
    budget::{Budget, Budgets},
    cassette::Rule,
    catalog::Catalog,
};

/// All settings but the lists that only the file can say.
pub(super) const NAMES: &[Known] = &[
    Known::of("host", "REPRISE_HOST", "127.0.0.1"),
    Known::of("port", "REPRISE_PORT", "8000"),
    Known::secret("api_key", "REPRISE_API_KEY"),
    Known::of("no_auth", "REPRISE_NO_AUTH", "false"),
    Known::secret("admin_key", "REPRISE_ADMIN_KEY"),
    Known::secret("anthropic_api_key", "ANTHROPIC_API_KEY"),
    Known::of("anthropic_base_url", "ANTHROPIC_BASE_URL", "https://api.anthropic.com"),
    Known::unset("database_url", "REPRISE_DATABASE_URL"),
    Known::of("max_body", "REPRISE_MAX_BODY", "32MiB"),
    Known::of("upstream_idle_timeout", "REPRISE_UPSTREAM_IDLE_TIMEOUT", "120s"),
    Known::of("cache", "REPRISE_CACHE", "all"),
    Known::of("cache_scope", "REPRISE_CACHE_SCOPE", "user"),
    Known::of("cache_ttl", "REPRISE_CACHE_TTL", "30d"),
    Known::unset("task_ttl", "REPRISE_TASK_TTL"),
    Known::of("web_ttl", "REPRISE_WEB_TTL", "off"),
    Known::unset("no_store_users", "REPRISE_NO_STORE_USERS"),
    Known::unset("task_model", "REPRISE_TASK_MODEL"),
    Known::of("no_status_line", "REPRISE_NO_STATUS_LINE", "false"),
    Known::unset("id_headers", "REPRISE_ID_HEADERS"),
    Known::secret("user_jwt_secret", "REPRISE_USER_JWT_SECRET"),
    Known::of("mode", "REPRISE_MODE", "live"),
    Known::of("fixtures", "REPRISE_FIXTURES", "fixtures"),
    Known::of("speed", "REPRISE_SPEED", "0"),
    Known::of("longest_gap", "REPRISE_LONGEST_GAP", "5s"),
    Known::of("at_the_end", "REPRISE_AT_THE_END", "last"),
    Known::of("strict", "REPRISE_STRICT", "false"),
    Known::unset("timezone", "REPRISE_TIMEZONE"),
    Known::unset("keep_bodies", "REPRISE_KEEP_BODIES"),
    Known::unset("keep_totals", "REPRISE_KEEP_TOTALS"),
    Known::unset("max_size", "REPRISE_MAX_SIZE"),
    Known::of("durability", "REPRISE_DURABILITY", "full"),
    Known::of("log_format", "REPRISE_LOG_FORMAT", "text"),
    Known::of("log", "REPRISE_LOG", "info"),
];

/// What a setting is called, and what it says when nobody says anything.
#[derive(Debug)]
pub(super) struct Known {
    /// In the file; with hyphens the flag.
    pub(super) name: &'static str,
    /// In the environment.
    pub(super) variable: &'static str,
    /// `None`: nothing, or something that depends on the machine.
    pub(super) default: Option<&'static str>,
    /// Whether it must not be shown.
    pub(super) secret: bool,
}

impl Known {
    const fn of(name: &'static str, variable: &'static str, default: &'static str) -> Self {
        Self { name, variable, default: Some(default), secret: false }
    }

    const fn unset(name: &'static str, variable: &'static str) -> Self {
        Self { name, variable, default: None, secret: false }
    }

    const fn secret(name: &'static str, variable: &'static str) -> Self {
        Self { name, variable, default: None, secret: true }
    }
}

/// What only the file can say: lists, and what is in them.
const LISTS: &[(&str, &str)] =
    &[("alias", "aliases"), ("budget", "budgets"), ("scrub", "rules for scrubbing")];

/// A value and where it came from.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) value: String,
    pub(super) source: String,
    pub(super) layer: Layer,
}

/// Which layer a value came from, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// A flag.
    Flag,
    /// A variable of the environment.
    Variable,
    /// The settings file.
    File,
    /// Nobody said anything.
    Default,
}

/// The strongest value of each setting, and what only the file can say.
#[derive(Debug)]
pub(super) struct Layers {
    settings: BTreeMap<&'static str, Setting>,
    pub(super) aliases: Aliases,
    pub(super) scrub: Vec<Rule>,
    budgets: Vec<Budget>,
    /// The settings file.
    pub(super) file: Option<PathBuf>,
}

impl Layers {
    pub(super) fn read(
        given: Vec<Given<'_>>,
        global: &GlobalFlags,
        env: Env<'_>,
    ) -> Result<Self, Error> {
        let mut layers = BTreeMap::new();
        let mut own = Own::default();
        let file = global.config.clone().or_else(|| env("REPRISE_CONFIG").map(PathBuf::from));
        if let Some(path) = &file {
            own = read_file(path, &mut layers)?;
        }
        for &Known { name, variable, .. } in NAMES {
            if let Some(value) = env(variable) {
                let source = variable.to_owned();
                layers.insert(name, Setting { value, source, layer: Layer::Variable });
            }
        }
        let database = ("database_url", global.database_url.as_deref());
        for (name, value) in given.into_iter().chain([database]) {
            if let Some(value) = value {
                let source = format!("--{}", name.replace('_', "-"));
                layers
                    .insert(name, Setting { value: value.to_owned(), source, layer: Layer::Flag });
            }
        }
        let Own { aliases, scrub, budgets } = own;
        Ok(Self { settings: layers, aliases, scrub, budgets, file })
    }

    pub(super) fn text(&self, name: &str) -> Option<&Setting> {
        self.settings.get(name)
    }

    /// A key that is given but blank is a mistake, such as `--api-key "$UNSET"`: it must not open the door.
    pub(super) fn secret(&self, name: &str) -> Result<Option<SecretString>, Error> {
        self.read_as(name, "a key; leave it out for none", |value| {
            (!value.is_empty()).then(|| SecretString::from(value))
        })
    }

    pub(super) fn read_as<T>(
        &self,
        name: &str,
        expected: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(Setting { value, source, .. }) = self.text(name) else { return Ok(None) };
        let invalid =
            || Error::Invalid { source_name: source.clone(), value: value.clone(), expected };
        read(value.trim()).map(Some).ok_or_else(invalid)
    }

    pub(super) fn parse<T: FromStr>(
        &self,
        name: &str,
        expected: &'static str,
    ) -> Result<Option<T>, Error> {
        self.read_as(name, expected, |value| value.parse().ok())
    }

    /// The name of something, which cannot be blank.
    pub(super) fn name(&self, name: &str) -> Result<Option<String>, Error> {
        self.read_as(name, "a name; leave it out for none", |value| {
            Some(value.trim().to_owned()).filter(|name| !name.is_empty())
        })
    }

    /// Whether something is switched on.
    pub(super) fn switch(&self, name: &str) -> Result<bool, Error> {
        Ok(self.parse(name, "`true` or `false`")?.unwrap_or(false))
    }

    pub(super) fn time(&self, name: &str) -> Result<Option<Duration>, Error> {
        self.read_as(name, "a time such as 90s, 2h or 30d", time)
    }

    /// What may be spent. Without a word days begin where this machine is.
    pub(super) fn budgets(&self) -> Result<Budgets, Error> {
        let zone =
            self.read_as("timezone", "a time zone such as Europe/Berlin or UTC", |name| {
                TimeZone::get(name).ok()
            })?;
        Ok(Budgets { list: self.budgets.clone(), zone: zone.unwrap_or_else(TimeZone::system) })
    }

    pub(super) fn base_url(&self) -> Result<Url, Error> {
        let expected = "an address such as https://api.anthropic.com";
        let url = self.read_as("anthropic_base_url", expected, |value| {
            let url = Url::parse(value).ok()?;
            (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
        });
        let url = match (url, self.text("anthropic_base_url")) {
            // A password would be shown with the value.
            (Err(_), Some(Setting { value, source, .. })) if value.contains(['@', '?', '#']) => {
                return Err(Error::Address { source_name: source.clone() });
            }
            (url, _) => url?,
        };
        let Some(url) = url else {
            return Ok(
                Url::parse("https://api.anthropic.com").expect("a constant that is an address")
            );
        };
        let extra = !url.username().is_empty()
            || url.password().is_some()
            || url.query().is_some()
            || url.fragment().is_some();
        match self.text("anthropic_base_url") {
            Some(Setting { source, .. }) if extra => {
                Err(Error::Address { source_name: source.clone() })
            }
            _ => Ok(url),
        }
    }

    pub(super) fn database_url(&self, env: Env<'_>) -> Result<String, Error> {
        if let Some(Setting { value, .. }) = self.text("database_url") {
            return Ok(value.clone());
        }
        let data = env("XDG_DATA_HOME").map(PathBuf::from);
        let data = data
            .or_else(|| Some(Path::new(&env("HOME")?).join(".local/share")))
            .ok_or(Error::Homeless)?;
        Ok(format!("sqlite://{}", data.join("reprise/reprise.db").display()))
    }
}

/// What only the file can say.
#[derive(Debug, Default)]
struct Own {
    aliases: Aliases,
    scrub: Vec<Rule>,
    budgets: Vec<Budget>,
}

fn read_file(path: &Path, layers: &mut BTreeMap<&'static str, Setting>) -> Result<Own, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::File { path: path.to_owned(), source })?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let (line, why) = located(&error, &text);
        Error::Toml { path: path.to_owned(), line, why }
    })?;
    for (name, value) in table {
        if let Some((name, what)) = LISTS.iter().find(|(list, _)| *list == name) {
            if !value.is_array() {
                let begins = format!("[{name}");
                let begins = |line: &str| line.trim_start().starts_with(&begins);
                let line = text.lines().position(begins).map_or(1, |at| at + 1);
                let why = format!("each {name} begins with [[{name}]], in two brackets");
                return Err(Error::Shape { what, path: path.to_owned(), line, why });
            }
            continue;
        }
        let known = NAMES.iter().find(|known| known.name == name);
        let &Known { name: known, .. } =
            known.ok_or_else(|| Error::Unknown { path: path.to_owned(), name: name.clone() })?;
        let value = match value {
            toml::Value::String(text) => text,
            toml::Value::Array(list) if list.iter().all(toml::Value::is_str) => {
                list.iter().filter_map(toml::Value::as_str).collect::<Vec<_>>().join(",")
            }
            other => other.to_string(),
        };
        let source = format!("{} in {}", name, path.display());
        layers.insert(known, Setting { value, source, layer: Layer::File });
    }
    Ok(Own {
        aliases: aliases(path, &text)?,
        scrub: scrub(path, &text)?,
        budgets: budgets(path, &text)?,
    })
}

/// The `[[alias]]`es of the file. Read from its text, whose lines an error can name.
fn aliases(path: &Path, text: &str) -> Result<Aliases, Error> {
    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        alias: Vec<Alias>,
    }

    let File { alias } = toml::from_str(text).map_err(|error| {
        let (line, why) = located(&error, text);
        let why = why.replace("a nonzero u32", "a whole number of at least 1");
        Error::Shape { what: "aliases", path: path.to_owned(), line, why }
    })?;
    Aliases::new(alias, &Catalog::builtin())
        .map_err(|source| Error::Aliases { path: path.to_owned(), source })
}

/// The `[[budget]]`s of the file.
fn budgets(path: &Path, text: &str) -> Result<Vec<Budget>, Error> {
    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        budget: Vec<Budget>,
    }

    let File { budget } = toml::from_str(text).map_err(|error| {
        let (line, why) = located(&error, text);
        Error::Shape { what: "budgets", path: path.to_owned(), line, why }
    })?;
    Ok(budget)
}

/// The line that an error is about, and what is wrong there, without showing it.
pub(super) fn located(error: &toml::de::Error, text: &str) -> (usize, String) {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    (before.matches('\n').count() + 1, error.message().to_owned())
}

/// Bytes, or a number with KiB, MiB or GiB.
pub fn size(text: &str) -> Option<usize> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).trim_end();
    let unit = match text[digits.len()..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(unit).filter(|&size| size > 0)
}

/// Seconds, or what jiff reads as a span, as `90s`, `2h` or `30d`; a day has 24 hours.
pub fn time(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds)).filter(|time| !time.is_zero());
    }
    let span: jiff::Span = text.parse().ok()?;
    let time = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(time).ok().filter(|time| !time.is_zero())
}

pub(super) fn durability(word: &str) -> Option<Durability> {
    match word {
        "full" => Some(Durability::Full),
        "normal" => Some(Durability::Normal),
        _ => None,
    }
}

pub(super) fn log_format(word: &str) -> Option<LogFormat> {
    match word {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    }
}
