//! Holders of client keys, as the ledger names them.
//!
//! A stolen ledger lets its thief test guesses of a key. So each ledger has a salt of its own, and the key that protects
//! the server is derived slowly. Other keys protect nothing here: they are placeholders, or keys of a provider, which
//! nobody guesses; they are hashed once, since anybody may send any number of them.

use std::{collections::HashSet, num::NonZeroU32};

use aws_lc_rs::pbkdf2;

use crate::domain::chain::Hash;

/// Length in bytes of a ledger's salt.
pub const SALT_LENGTH: usize = 16;

/// Rounds of the derivation, as OWASP recommends for PBKDF2 with SHA-256.
const ROUNDS: NonZeroU32 = NonZeroU32::new(600_000).expect("not zero");

/// Number of hexadecimal digits of a name.
const DIGITS: usize = 16;

/// The holder of a client key: 16 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHolder(String);

impl KeyHolder {
    /// The holder of `key` outside of any ledger, as in ledgers that were made before there were salts. A guess of the
    /// key can be tested at once.
    pub fn of(key: &str) -> Self {
        Self::named(&Hash::of("reprise key holder", &[key.as_bytes()]))
    }

    fn named(hash: &Hash) -> Self {
        let mut digits = hash.to_string();
        digits.truncate(DIGITS);
        Self(digits)
    }

    /// The hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The names that a ledger gives to holders of keys.
#[derive(Debug, Clone, Default)]
pub struct Holders {
    /// `None` outside of any ledger.
    salt: Option<[u8; SALT_LENGTH]>,
    /// Names without salt that are in the ledger. They are kept, because another name finds no answers.
    old: HashSet<String>,
}

impl Holders {
    /// Names with this salt, except for those that the ledger has already.
    pub fn new(salt: [u8; SALT_LENGTH], old: impl IntoIterator<Item = String>) -> Self {
        Self { salt: Some(salt), old: old.into_iter().collect() }
    }

    /// Names the holder of the key that clients must send. Takes as long as guessing it must take.
    pub fn of_client_key(&self, key: &str) -> KeyHolder {
        self.salted(key, |salt| {
            let mut derived = [0; 32];
            pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, salt, key.as_bytes(), &mut derived);
            Hash::of("reprise client key holder", &[&derived])
        })
    }

    /// Names the holder of any other key.
    pub fn of(&self, key: &str) -> KeyHolder {
        self.salted(key, |salt| Hash::of("reprise salted key holder", &[salt, key.as_bytes()]))
    }

    fn salted(&self, key: &str, hash: impl FnOnce(&[u8; SALT_LENGTH]) -> Hash) -> KeyHolder {
        let plain = KeyHolder::of(key);
        match &self.salt {
            // Who sends no key has nothing to protect.
            Some(salt) if !key.is_empty() && !self.old.contains(&plain.0) => {
                KeyHolder::named(&hash(salt))
            }
            _ => plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_has_another_name_in_each_ledger_and_keeps_an_old_one() {
        let (one, two) = (Holders::new([1; 16], []), Holders::new([2; 16], []));
        for name in [Holders::of, Holders::of_client_key] {
            assert_eq!(name(&one, "key"), name(&one, "key"));
            assert_ne!(name(&one, "key"), name(&one, "another"));
            assert_ne!(name(&one, "key"), name(&two, "key"));
            assert_ne!(name(&one, "key"), KeyHolder::of("key"));
            assert_eq!(name(&one, ""), KeyHolder::of(""), "nothing to protect");
            let old = Holders::new([1; 16], [KeyHolder::of("key").0]);
            assert_eq!(name(&old, "key"), KeyHolder::of("key"));
            assert_eq!(name(&old, "another"), name(&one, "another"));
            assert_eq!(name(&Holders::default(), "key"), KeyHolder::of("key"), "no ledger");
        }
        assert_ne!(one.of("key"), one.of_client_key("key"));
    }

    /// Figures of Python's `hashlib.pbkdf2_hmac`, so that no later version derives other names.
    #[test]
    fn the_derivation_stays_the_same() {
        let mut derived = [0; 32];
        let salt = [7; SALT_LENGTH];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, &salt, b"key", &mut derived);
        assert_eq!(
            hex::encode(derived),
            "14ee5355e6b6231982f660d7749e73781ea37e919a7c5b7d411ea31bc0643d80"
        );
        let name = KeyHolder::named(&Hash::of("reprise client key holder", &[&derived]));
        assert_eq!(Holders::new(salt, []).of_client_key("key"), name);
    }
}
