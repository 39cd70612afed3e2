//! What must not be in a fixture: the values of this process's variables that are named as secrets are.

use secrecy::{ExposeSecret, SecretString};

use crate::domain::cassette::{Scrubber, Secret, is_secret_name};

/// A scrubber that knows the secrets of this process, and the key that clients must show.
pub(super) fn scrubber(client_key: Option<&SecretString>) -> Scrubber {
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut secrets: Vec<(String, String)> =
        variables.filter(|(name, _)| is_secret_name(name)).collect();
    if let Some(key) = client_key {
        secrets.push(("REPRISE_API_KEY".to_owned(), key.expose_secret().to_owned()));
    }
    // Always in one order, so that two names of one value always make the same placeholder.
    secrets.sort();
    let secrets = secrets.iter().filter_map(|(name, value)| Secret::new(name, value)).collect();
    Scrubber::new(secrets, Vec::new())
}
