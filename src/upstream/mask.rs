//! Removal of the key that a request was sent with from what upstream says: a gateway that repeats it must not give it
//! to clients, to the ledger or to the log.

use std::fmt;

use memchr::memmem::Finder;
use secrecy::{ExposeSecret, SecretString};

use crate::domain::recording::Segment;

/// Shorter keys are words that an answer may have in it.
const SHORTEST: usize = 12;

/// Overwrites a key wherever it stands in a response.
pub struct KeyMask(Option<Finder<'static>>);

impl KeyMask {
    /// Masks `key`.
    pub fn new(key: &SecretString) -> Self {
        let key = key.expose_secret().as_bytes();
        Self((key.len() >= SHORTEST).then(|| Finder::new(key).into_owned()))
    }

    /// Masks nothing.
    pub const fn none() -> Self {
        Self(None)
    }

    /// The same events without the key.
    pub fn apply(&self, segment: Segment) -> Segment {
        match &self.0 {
            Some(finder) => segment.masked(finder.needle().len(), |bytes| finder.find(bytes)),
            None => segment,
        }
    }
}

/// Leaves out the key.
impl fmt::Debug for KeyMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyMask").finish_non_exhaustive()
    }
}
