//! Secrets that must not be in a fixture: variables of this process whose names are those of secrets, the key that
//! clients must send, and matches of the operator's rules.

use secrecy::{ExposeSecret, SecretString};

use crate::{
    config::process_secrets,
    domain::cassette::{Rule, Scrubber, Secret},
};

/// Scrubber for the secrets of this process and the rules in its settings.
pub(super) fn scrubber<'a>(
    client_keys: impl IntoIterator<Item = &'a SecretString>,
    rules: &[Rule],
) -> Scrubber {
    let mut secrets = process_secrets();
    for key in client_keys {
        secrets.push(("REPRISE_API_KEY".to_owned(), key.clone()));
    }
    // Always in one order, so that two names of one value always make the same placeholder.
    secrets.sort_by(|(a, _), (b, _)| a.cmp(b));
    let secrets =
        secrets.iter().filter_map(|(name, value)| Secret::new(name, value.expose_secret()));
    Scrubber::new(secrets.collect(), rules.to_vec())
}
