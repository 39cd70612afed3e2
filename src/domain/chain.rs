//! Requests as hash chains: a frame (all but the messages) and a chain of nodes (the messages).
//!
//! A chat of N turns shares all but its newest nodes with the previous turn, so it takes O(N) space in the ledger, and
//! `parent` gives the tree of a session (edits, regenerations). A node's hash covers its ancestors: the presence of a
//! node implies theirs.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

use super::json::string_end;

/// A SHA-256 hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The hash of `parts`, each preceded by its length, so that no two lists of parts hash alike by accident.
    pub fn of(domain: &str, parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(domain.as_bytes());
        for part in parts {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// A hash from its bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut bytes = [0; 32];
        let digits = String::deserialize(deserializer)?;
        hex::decode_to_slice(digits, &mut bytes).map_err(de::Error::custom)?;
        Ok(Self(bytes))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A JSON text under its hash: a frame, or a node with its parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Covers the parent's hash and the whole body.
    pub hash: Hash,
    /// The message before; `None` for the first one and for frames.
    pub parent: Option<Hash>,
    /// JSON.
    pub body: Vec<u8>,
}

/// A request in two parts that are stored independently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Everything but the messages: model, system, tools, parameters.
    pub frame: Node,
    /// The messages, oldest first.
    pub nodes: Vec<Node>,
}

impl Chain {
    /// Links `messages` (JSON texts, oldest first) and hashes `frame` (JSON).
    pub fn new(frame: Vec<u8>, messages: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let frame = Node { hash: Hash::of("frame", &[&frame]), parent: None, body: frame };
        let mut nodes: Vec<Node> = Vec::new();
        for body in messages {
            let parent = nodes.last().map(|node| node.hash);
            let above = parent.as_ref().map_or(&[][..], |hash| hash.as_bytes());
            nodes.push(Node { hash: Hash::of("node", &[above, &body]), parent, body });
        }
        Self { frame, nodes }
    }

    /// The hash of the newest message, which stands for all of them.
    pub fn head(&self) -> Option<Hash> {
        self.nodes.last().map(|node| node.hash)
    }

    /// Size of all texts in bytes.
    pub fn bytes(&self) -> usize {
        self.frame.body.len() + self.nodes.iter().map(|node| node.body.len()).sum::<usize>()
    }
}

/// Strings longer than this (images, documents, long prompts) are kept once, under their own hash.
pub const LONG_STRING: usize = 4096;

/// Splits a JSON text into the rest, which lacks the insides of its long strings (their quotes stay), and those strings,
/// as they were escaped, with their offsets in the rest. [`join`] puts them back, byte for byte.
pub fn split(json: &[u8]) -> (Vec<u8>, Vec<(usize, &[u8])>) {
    let mut rest = Vec::with_capacity(json.len().min(LONG_STRING * 2));
    let mut pieces = Vec::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(open) = memchr::memchr(b'"', &json[at..]).map(|found| at + found + 1) {
        let close = string_end(json, open);
        if close - open > LONG_STRING {
            rest.extend_from_slice(&json[copied..open]);
            pieces.push((rest.len(), &json[open..close]));
            copied = close;
        }
        at = (close + 1).min(json.len());
    }
    rest.extend_from_slice(&json[copied..]);
    (rest, pieces)
}

/// Joins the two parts of a [`split`] text.
pub fn join<'a>(rest: &[u8], pieces: impl IntoIterator<Item = (usize, &'a [u8])>) -> Vec<u8> {
    let mut json = Vec::with_capacity(rest.len());
    let mut copied = 0;
    for (at, piece) in pieces {
        let at = at.clamp(copied, rest.len());
        json.extend_from_slice(&rest[copied..at]);
        json.extend_from_slice(piece);
        copied = at;
    }
    json.extend_from_slice(&rest[copied..]);
    json
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_longer_chat_shares_its_stem() {
        let turn = |n: usize| {
            Chain::new(b"{}".to_vec(), (0..n).map(|i| format!("{{\"n\":{i}}}").into_bytes()))
        };
        assert_eq!(turn(3).nodes[..2], turn(2).nodes[..]);
        assert_eq!(turn(3).nodes[2].parent, turn(2).head());
    }

    #[test]
    fn a_message_elsewhere_in_the_chat_is_another_node() {
        let chain = Chain::new(b"{}".to_vec(), [b"{}".to_vec(), b"{}".to_vec()]);
        assert_ne!(chain.nodes[0].hash, chain.nodes[1].hash);
    }

    proptest! {
        #[test]
        fn splitting_and_joining_gives_the_same_bytes(
            texts in prop::collection::vec(("[a\"\\\\ü\n]{0,8}", 0_usize..3), 0..6)
        ) {
            let long: Vec<String> = texts.iter().map(|(text, times)| text.repeat(times * 2000)).collect();
            let json = serde_json::to_vec(&json!({"a": texts, "b": long})).unwrap();
            let (rest, pieces) = split(&json);
            prop_assert!(pieces.iter().all(|(_, piece)| piece.len() > LONG_STRING));
            prop_assert!(rest.len() < LONG_STRING * 4);
            prop_assert_eq!(join(&rest, pieces.iter().copied()), json);
        }

        #[test]
        fn any_bytes_survive(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let (rest, pieces) = split(&bytes);
            prop_assert_eq!(join(&rest, pieces.iter().copied()), bytes);
        }
    }
}
