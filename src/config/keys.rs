//! Client keys with names: `[[key]]` in the settings file.
//!
//! No error shows a key: a message of TOML's that has a value is replaced.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use toml::Spanned;

use super::{
    Config, Error,
    line::{line_at, located},
    parsers,
};
use crate::domain::prepare::check_id;

/// A client key with a name.
#[derive(Debug, Clone)]
pub struct ClientKey {
    /// The name, by which reports and budgets know its calls.
    pub name: String,
    /// The key that clients send.
    pub key: SecretString,
    /// The user whose calls these are, whatever user they state; `None`: as they state.
    pub user: Option<String>,
    /// The file that the key was read from.
    pub file: Option<PathBuf>,
}

impl Config {
    /// The name of the client key that is given without a name, too.
    pub(super) fn key_that_has_a_name(&self) -> Option<&str> {
        let key = self.client_key.as_ref()?.expose_secret();
        let same = self.keys.iter().find(|named| named.key.expose_secret() == key);
        same.map(|named| &*named.name)
    }

    /// True if clients must send a key.
    pub fn requires_key(&self) -> bool {
        self.client_key.is_some() || !self.keys.is_empty()
    }

    /// All keys that clients may send.
    pub fn client_keys(&self) -> impl Iterator<Item = &SecretString> {
        self.client_key.iter().chain(self.keys.iter().map(|named| &named.key))
    }

    /// A key that a client on this machine may send.
    pub fn any_client_key(&self) -> Option<&SecretString> {
        self.client_keys().next()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeySetting {
    name: Spanned<String>,
    key: Option<String>,
    key_file: Option<PathBuf>,
    user: Option<String>,
}

/// Reads the keys from the text of the settings file. `api_key`, which has no name, may not be one of them.
pub(super) fn read(path: &Path, text: &str) -> Result<Vec<ClientKey>, Error> {
    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        key: Vec<KeySetting>,
    }

    let invalid = |line, why| Error::List { list: "client keys", path: path.to_owned(), line, why };
    let File { key } = toml::from_str(text).map_err(|error| {
        let (line, why) = located(&error, text);
        let shape = "each key begins with [[key]] and has a name, a key or a key_file, and a user if you like, which are \
                     texts";
        invalid(line, if why.starts_with("invalid ") { shape.to_owned() } else { why })
    })?;
    let mut keys: Vec<ClientKey> = Vec::with_capacity(key.len());
    for setting in key {
        let line = line_at(text, setting.name.span().start);
        let key = client_key(setting).map_err(|why| invalid(line, why))?;
        let secret = key.key.expose_secret();
        if keys.iter().any(|other| other.name == key.name) {
            return Err(invalid(line, format!("there are two keys with the name {}", key.name)));
        }
        if let Some(same) = keys.iter().find(|other| other.key.expose_secret() == secret) {
            let why = format!("{} has the same key as {}", key.name, same.name);
            return Err(invalid(line, why));
        }
        keys.push(key);
    }
    Ok(keys)
}

fn client_key(setting: KeySetting) -> Result<ClientKey, String> {
    let KeySetting { name, key, key_file, user } = setting;
    let name = name.into_inner().trim().to_owned();
    if name.is_empty() || check_id(&name).is_err() {
        return Err("a key needs a name, such as \"team-a\"".to_owned());
    }
    let user = user.map(|user| user.trim().to_owned());
    if user.as_deref().is_some_and(|user| user.is_empty() || check_id(user).is_err()) {
        return Err(format!("the user of {name} must be an id; leave it out for none"));
    }
    let file = key_file.clone();
    let key = match (key, key_file) {
        (Some(key), None) => SecretString::from(key),
        (None, Some(file)) => {
            std::fs::read_to_string(&file).map(SecretString::from).map_err(|error| {
                format!("the key of {name} cannot be read from {}: {error}", file.display())
            })?
        }
        _ => return Err(format!("{name} must have either key or key_file")),
    };
    let key = parsers::key(key.expose_secret().trim())
        .map_err(|expected| format!("the key of {name} is not {}", expected.0))?;
    Ok(ClientKey { name, key, user, file })
}
