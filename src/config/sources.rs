//! The sources of settings, strongest first: flag, environment, file, default.
//!
//! The strongest value of each setting is injected into the declarations of [`Config`] as its default, so that clap
//! parses all of them in the same way. An error names the source of the value.

use std::{
    collections::BTreeMap,
    error::Error as _,
    path::{Path, PathBuf},
};

use clap::{
    Arg, FromArgMatches,
    error::{ContextKind, ContextValue},
};
use secrecy::SecretString;
use serde::Serialize;
use url::Url;

use super::{
    Config, Env, Error, Flags,
    environment::default_files,
    flags::{declarations, variable},
    line::{line_at, located},
    lists::Lists,
    parsers::{Expected, Refused},
};
use crate::domain::spelling;

/// Source of a setting, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingSource {
    /// A flag.
    Flag,
    /// A variable of the environment.
    Variable,
    /// The settings file.
    File,
    /// The program.
    Default,
}

/// A setting in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Name in the settings file; with hyphens that of the flag.
    pub name: String,
    /// Name in the environment; `None`: it stands in the file only.
    pub variable: Option<String>,
    /// Value; `None`: not set, or a secret.
    pub value: Option<String>,
    /// True for a secret, which is never shown.
    pub secret: bool,
    /// True if there is a value.
    pub set: bool,
    /// Source of the value.
    pub from: SettingSource,
    /// Name of the flag, variable or file; `None`: the default.
    pub source: Option<String>,
}

/// The strongest value of each setting, as text.
pub(super) struct Sources {
    values: BTreeMap<String, (String, SettingSource)>,
    /// The settings file.
    file: Option<PathBuf>,
    /// The lines of its settings.
    lines: BTreeMap<String, usize>,
    pub(super) lists: Lists,
}

impl Sources {
    pub(super) fn read(flags: &Flags, env: Env<'_>) -> Result<Self, Error> {
        let command = declarations();
        let names = || command.get_arguments().map(|arg| arg.get_id().as_str());
        let mut values: BTreeMap<String, (String, SettingSource)> = BTreeMap::new();
        if let Some(path) = default_ledger(env) {
            values.insert("database_url".to_owned(), (path, SettingSource::Default));
        }
        let of_env = names().filter_map(|name| Some((name.to_owned(), env.get(&variable(name))?)));
        let of_env: Vec<_> = of_env.collect();
        let file = flags
            .0
            .get("config")
            .or_else(|| of_env.iter().find(|(name, _)| name == "config").map(|(_, path)| path));
        // One that is there but cannot be read is an error, too: it may have budgets.
        let is_there = |path: &PathBuf| path.try_exists().unwrap_or(true);
        let by_default = || default_files(env).into_iter().find(is_there);
        let file = file.map(PathBuf::from).or_else(by_default);
        let (mut lines, mut lists) = (BTreeMap::new(), Lists::default());
        if let Some(path) = &file {
            let settings;
            (settings, lines, lists) =
                read_file(path, &names().filter(|name| *name != "config").collect::<Vec<_>>())?;
            values.extend(settings.into_iter().map(|(n, v)| (n, (v, SettingSource::File))));
            let path = path.display().to_string();
            values.insert("config".to_owned(), (path, SettingSource::Default));
        }
        values.extend(of_env.into_iter().map(|(n, v)| (n, (v, SettingSource::Variable))));
        values.extend(flags.0.clone().into_iter().map(|(n, v)| (n, (v, SettingSource::Flag))));
        if let Some((url, _)) = values.get_mut("database_url") {
            *url = with_journal(url, env);
        }
        Ok(Self { values, file, lines, lists })
    }

    /// Parses all values.
    pub(super) fn parse(&self) -> Result<Config, Error> {
        let mut command = declarations();
        for (name, (value, _)) in &self.values {
            command = command.mut_arg(name, |arg| arg.default_value(value.clone()));
        }
        let matches = command.try_get_matches_from([""; 0]);
        let parsed = matches.and_then(|matches| Config::from_arg_matches(&matches));
        parsed.map_err(|error| self.explain(&error))
    }

    /// The error of a value, under the name of its source.
    fn explain(&self, error: &clap::Error) -> Error {
        let flag = error.get(ContextKind::InvalidArg).map(ToString::to_string).unwrap_or_default();
        let flag = flag.split(' ').next().unwrap_or_default();
        let name = &*flag.trim_start_matches('-').replace('-', "_");
        let value = self.values.get(name).map(|(value, _)| value.clone()).unwrap_or_default();
        // A password would be shown with the value.
        if name == "anthropic_base_url" && value.contains(['@', '?', '#']) {
            return Error::Address { source_name: self.source_of(name) };
        }
        if matches!(name, "budget_webhook" | "otlp_endpoint") {
            let source_name = self.source_of(name);
            return Error::Secret {
                source_name,
                expected: "an address that begins with https://".to_owned(),
            };
        }
        let expected = match error.source().and_then(|source| source.downcast_ref::<Refused>()) {
            Some(Refused::Unclear(why)) => {
                return Error::Unclear(self.place_of(name), why.clone());
            }
            Some(Refused::Expected(expected)) => Some(expected),
            None => error.source().and_then(|source| source.downcast_ref::<Expected>()),
        };
        let expected = match (expected, error.get(ContextKind::ValidValue)) {
            (Some(Expected(expected)), _) => (*expected).to_owned(),
            (None, Some(ContextValue::Strings(words))) => alternatives(words),
            (None, _) => "valid".to_owned(),
        };
        Error::Invalid { source_name: self.place_of(name), value, expected }
    }

    /// The same error for a value that does not fit to others.
    pub(super) fn invalid(&self, name: &str, expected: &str) -> Error {
        let value = self.values.get(name).map(|(value, _)| value.clone()).unwrap_or_default();
        Error::Invalid { source_name: self.place_of(name), value, expected: expected.to_owned() }
    }

    /// The same for a secret, which is not shown.
    pub(super) fn invalid_secret(&self, name: &str, expected: &str) -> Error {
        Error::Secret { source_name: self.source_of(name), expected: expected.to_owned() }
    }

    /// The flag, variable, or entry of the file with its line, that gave a setting.
    fn place_of(&self, name: &str) -> String {
        let source = self.source_of(name);
        match (self.values.get(name), self.lines.get(name)) {
            (Some((_, SettingSource::File)), Some(line)) => format!("{source}, line {line}"),
            _ => source,
        }
    }

    /// The flag, variable or entry of the file that gave a setting.
    fn source_of(&self, name: &str) -> String {
        match self.values.get(name).map(|(_, source)| source) {
            Some(SettingSource::Variable) => variable(name),
            Some(SettingSource::File) => {
                let file = self.file.as_deref().unwrap_or(Path::new(""));
                format!("{name} in {}", file.display())
            }
            Some(SettingSource::Flag | SettingSource::Default) | None => {
                format!("--{}", name.replace('_', "-"))
            }
        }
    }

    /// All settings in force, in the order of their declarations, and then the lists of the file.
    pub(super) fn settings(&self, config: &Config) -> Vec<Setting> {
        let command = declarations();
        let mut settings: Vec<Setting> =
            command.get_arguments().map(|arg| self.setting(arg, config)).collect();
        let lists = [
            ("alias", config.aliases.iter().map(|alias| alias.id.clone()).collect::<Vec<_>>()),
            ("budget", config.budgets.list.iter().map(ToString::to_string).collect()),
            ("key", config.keys.iter().map(|key| key.name.clone()).collect()),
        ];
        settings.extend(lists.into_iter().map(|(name, list)| {
            let set = !list.is_empty();
            let file = self.file.as_ref().filter(|_| set);
            Setting {
                name: name.to_owned(),
                variable: None,
                secret: false,
                set,
                from: if set { SettingSource::File } else { SettingSource::Default },
                source: file.map(|path| path.display().to_string()),
                value: set.then(|| list.join(", ")),
            }
        }));
        settings
    }

    fn setting(&self, arg: &Arg, config: &Config) -> Setting {
        let name = arg.get_id().as_str();
        let given = self.values.get(name);
        let from = given.map_or(SettingSource::Default, |(_, source)| *source);
        let value = given.map(|(value, _)| value.clone()).or_else(|| match name {
            "timezone" => config.budgets.zone.iana_name().map(str::to_owned),
            _ if arg.get_action().takes_values() => {
                let default = arg.get_default_values().first()?.to_str()?;
                Some(default.to_owned()).filter(|default| !default.is_empty())
            }
            _ => Some("false".to_owned()),
        });
        let secret = arg.get_value_parser().type_id() == std::any::TypeId::of::<SecretString>();
        Setting {
            name: name.to_owned(),
            variable: Some(variable(name)),
            secret,
            set: value.is_some(),
            from,
            source: (from != SettingSource::Default).then(|| self.source_of(name)),
            value: value.filter(|_| !secret).map(|value| masked(&value)),
        }
    }
}

/// `a`, `b` or `c`.
fn alternatives(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

/// Address of the ledger in the user's data folder; `None` without a home.
fn default_ledger(env: Env<'_>) -> Option<String> {
    let data = env.get("XDG_DATA_HOME").map(PathBuf::from);
    let data = data.or_else(|| Some(Path::new(&env.get("HOME")?).join(".local/share")))?;
    Some(format!("sqlite://{}", data.join("reprise/reprise.db").display()))
}

/// The address of a ledger, with the folder of the journal if it is in Postgres and names none: the user's folder for state,
/// if there is a home.
pub fn with_journal(address: &str, env: Env<'_>) -> String {
    let unchanged = || address.to_owned();
    if !address.starts_with("postgres") {
        return unchanged();
    }
    let Ok(mut url) = Url::parse(address) else { return unchanged() };
    let state = env.get("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.or_else(|| Some(Path::new(&env.get("HOME")?).join(".local/state")));
    let Some(folder) = state.filter(|_| !url.query_pairs().any(|(name, _)| name == "journal"))
    else {
        return unchanged();
    };
    url.query_pairs_mut().append_pair("journal", &folder.join("reprise").to_string_lossy());
    url.into()
}

/// The settings of a file, their lines, and its lists.
type FileContent = (Vec<(String, String)>, BTreeMap<String, usize>, Lists);

/// Reads the settings and the lists of the file.
fn read_file(path: &Path, known: &[&str]) -> Result<FileContent, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::File { path: path.to_owned(), source })?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let (line, why) = located(&error, &text);
        Error::Toml { path: path.to_owned(), line, why }
    })?;
    let mut settings = Vec::new();
    for (name, value) in table {
        if let Some((name, list)) = Lists::NAMES.iter().find(|(list, _)| *list == name) {
            if !value.is_array() {
                let begins = format!("[{name}");
                let begins = |line: &str| line.trim_start().starts_with(&begins);
                let line = text.lines().position(begins).map_or(1, |at| at + 1);
                let why = format!("each {name} begins with [[{name}]], in two brackets");
                return Err(Error::List { list, path: path.to_owned(), line, why });
            }
            continue;
        }
        if !known.contains(&&*name) {
            let known = known.iter().copied().chain(Lists::NAMES.map(|(list, _)| list));
            let nearest = spelling::nearest(&name, known).map(str::to_owned);
            return Err(Error::Unknown { path: path.to_owned(), name, nearest });
        }
        let value = match value {
            toml::Value::String(text) => text,
            toml::Value::Array(list) if list.iter().all(toml::Value::is_str) => {
                list.iter().filter_map(toml::Value::as_str).collect::<Vec<_>>().join(",")
            }
            other => other.to_string(),
        };
        settings.push((name, value));
    }
    let lines = toml::de::DeTable::parse(&text).map(|table| {
        let line = |name: &toml::Spanned<_>| line_at(&text, name.span().start);
        table.get_ref().keys().map(|name| (name.get_ref().to_string(), line(name))).collect()
    });
    Ok((settings, lines.unwrap_or_default(), Lists::read(path, &text)?))
}

/// An address without the parts that may hold a password; any other value unchanged.
fn masked(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else { return value.to_owned() };
    if scheme == "sqlite" || !rest.contains(['@', '?', '#']) {
        return value.to_owned();
    }
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}://…{}…", host.split(['?', '#']).next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "hush-hush-0123456789";
    const WEBHOOK: &str = "https://hush:hush@hooks.example/hush";

    fn env(name: &str) -> Option<String> {
        (name == "HOME").then(|| "/home/someone".to_owned())
    }

    #[test]
    fn every_setting_is_told_with_where_it_came_from_and_no_secret_is() {
        let defaults = Config::settings(&Flags::default(), &env).unwrap();
        for Setting { name, variable, secret, value, .. } in &defaults {
            let Some(variable) = variable else { continue };
            // What has no default is given what it takes.
            let value = match &**name {
                "task_ttl" => "title=1h",
                "id_headers" => "chat=X-Chat",
                "allow_origin" => "https://chat.example",
                "timezone" => "UTC",
                "keep_bodies" | "keep_totals" => "90d",
                "max_size" => "2GiB",
                "ignore" => "tools",
                "warn_above" => "$1.50",
                "budget_webhook" | "otlp_endpoint" => WEBHOOK,
                "config" => "/dev/null",
                _ if *secret => SECRET,
                _ => value.as_deref().unwrap_or("x"),
            };
            let env = |asked: &str| {
                if asked == variable { Some(value.to_owned()) } else { env(asked) }
            };
            let settings = Config::settings(&Flags::default(), &env).unwrap();
            let found = settings.iter().find(|setting| setting.name == *name).unwrap();
            assert_eq!(found.from, SettingSource::Variable, "{name}");
            assert_eq!(found.source.as_ref(), Some(variable));
            let shown = (!secret).then(|| value.to_owned());
            assert_eq!((found.set, &found.value), (true, &shown), "{name}");
            assert!(!format!("{settings:?}").contains("hush"), "{name}");
        }
        let secrets = defaults.iter().filter(|setting| setting.secret).count();
        assert_eq!(secrets, 6, "keys are secrets");
    }

    #[test]
    fn every_declaration_can_be_used() {
        let command = declarations();
        command.clone().debug_assert();
        for arg in command.get_arguments() {
            assert!(arg.get_long().is_some_and(|long| long.replace('-', "_") == *arg.get_id()));
        }
    }

    #[test]
    fn an_address_is_told_without_a_password() {
        let hidden = masked("postgres://ann:hush@db:5432/reprise?password=hush");
        assert_eq!(hidden, "postgres://…db:5432/reprise…");
        assert_eq!(masked("postgres://db/reprise?password=hush"), "postgres://…db/reprise…");
        let file = "sqlite:///a@b/reprise.db?mode=rwc";
        assert_eq!(masked(file), file);
    }
}
