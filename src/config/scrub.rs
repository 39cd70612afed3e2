//! Secrets that must not be in a fixture: variables of this process whose names are those of secrets, the keys that
//! clients must send, and matches of the operator's rules.

use secrecy::ExposeSecret;

use super::{Config, process_secrets};
use crate::domain::cassette::{Scrubber, Secret};

impl Config {
    /// Scrubber for the secrets of this process and the rules in its settings.
    pub fn scrubber(&self) -> Scrubber {
        let mut secrets = process_secrets();
        for key in self.client_keys() {
            secrets.push(("REPRISE_API_KEY".to_owned(), key.clone()));
        }
        // Always in one order, so that two names of one value always make the same placeholder.
        secrets.sort_by(|(a, _), (b, _)| a.cmp(b));
        let secrets =
            secrets.iter().filter_map(|(name, value)| Secret::new(name, value.expose_secret()));
        Scrubber::new(secrets.collect(), self.scrub.clone())
    }
}
