//! News: what a commit tells the other processes that share the ledger. It goes out with the commit, as `NOTIFY` does, in
//! words: the sender's id, and then the keys of new answers and of claims that have ended, or that anything may have gone.

use hex::FromHex;

use super::key::ClaimKey;
use crate::domain::{cache::CacheKey, chain::Hash, exchange::OwnerId};

/// Most words in one notification: Postgres takes less than 8,000 bytes.
const WORDS: usize = 110;

/// The news that a prune begins or has ended.
pub(super) const PRUNE: &str = "prune";

/// The sender of news that are for all, the sender too.
pub(super) const NOBODY: &str = "-";
const ALL: &str = "all";
const ANSWER: &str = "answer:";
const ENDED: &str = "ended:";

/// News that answers were cleared or deleted.
pub(in crate::store) const CLEARED: &str = "select tell('- all')";

/// A word of news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Word {
    /// There is a new answer to this key.
    Answer(CacheKey),
    /// This claim has ended.
    Ended(ClaimKey),
    /// A prune begins or has ended.
    Prune,
    /// Any answer may be gone.
    All,
}

/// The notifications with these words.
pub(in crate::store) fn notifications(sender: OwnerId, words: &[Word]) -> Vec<String> {
    let word = |word: &Word| match word {
        Word::Answer(key) => format!("{ANSWER}{key}"),
        Word::Ended(claim) => format!("{ENDED}{}", claim.hash()),
        Word::Prune => PRUNE.to_owned(),
        Word::All => ALL.to_owned(),
    };
    let notification = |words: &[Word]| {
        let words: Vec<String> = words.iter().map(word).collect();
        format!("{sender} {}", words.join(" "))
    };
    words.chunks(WORDS).map(notification).collect()
}

/// The words of a notification. Those of the `reader` itself are none, and what cannot be read may mean anything.
pub(super) fn read(notification: &str, reader: OwnerId) -> Vec<Word> {
    let mut words = notification.split(' ');
    let sender = words.next().unwrap_or(NOBODY);
    if sender == reader.to_string() {
        return Vec::new();
    }
    let word = |word: &str| {
        let hash = |digits: &str| <[u8; 32]>::from_hex(digits).ok();
        let read = match word.split_once(':') {
            Some(("answer", digits)) => hash(digits).map(CacheKey::from_bytes).map(Word::Answer),
            Some(("ended", digits)) => {
                hash(digits).map(|hash| Word::Ended(ClaimKey::from(Hash::from_bytes(hash))))
            }
            None if word == PRUNE => Some(Word::Prune),
            _ => None,
        };
        read.unwrap_or(Word::All)
    };
    words.map(word).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn news_are_read_as_they_were_written() {
        let [sender, reader] = [1, 2].map(|n| OwnerId::new(Uuid::from_u128(n)));
        let words: Vec<Word> = (0..u8::MAX)
            .flat_map(|n| {
                let answer = Word::Answer(CacheKey::from_bytes([n; 32]));
                [answer, Word::Ended(ClaimKey::from(Hash::from_bytes([n; 32])))]
            })
            .chain([Word::Prune, Word::All])
            .collect();
        let notifications = notifications(sender, &words);
        assert!(notifications.iter().all(|notification| notification.len() < 8_000));
        let heard = |by| -> Vec<Word> {
            notifications.iter().flat_map(|notification| read(notification, by)).collect()
        };
        assert_eq!(heard(reader), words);
        assert_eq!(heard(sender), []);
        assert_eq!(read("- all", sender), [Word::All]);
        assert_eq!(read("- something of a later version", reader)[0], Word::All);
    }
}
