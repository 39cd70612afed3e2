//! The hash of a table's rows, which is the same in both databases.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::rows::Row;
use crate::store::value::Value;

/// Number of rows, and a hash over them: the sum of their SHA-256, part by part. So it does not depend on the order of the
/// rows, in which texts with a zero character differ between the databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Digest {
    pub(super) rows: u64,
    sum: [u64; 4],
}

impl Digest {
    /// Adds a row.
    pub(super) fn add(&mut self, row: &Row) {
        let mut hash = Sha256::new();
        for value in row {
            let (kind, bytes): (u8, &[u8]) = match value {
                // SQLite has numbers for booleans.
                Value::Bool(Some(value)) => (1, &i64::from(*value).to_be_bytes()),
                Value::Integer(Some(value)) => (1, &value.to_be_bytes()),
                Value::Text(Some(text)) => (2, text.as_bytes()),
                Value::Bytes(Some(bytes)) => (3, bytes),
                Value::Bool(None)
                | Value::Integer(None)
                | Value::Text(None)
                | Value::Bytes(None) => (0, &[]),
            };
            hash.update([kind]);
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        }
        let hash = hash.finalize();
        for (sum, part) in self.sum.iter_mut().zip(hash.chunks_exact(8)) {
            *sum = sum.wrapping_add(part.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
        }
        self.rows += 1;
    }
}

/// The hash, in hexadecimal.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sum.iter().try_for_each(|part| write!(f, "{part:016x}"))
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn digest(rows: &[Row]) -> Digest {
        let mut digest = Digest::default();
        for row in rows {
            digest.add(row);
        }
        digest
    }

    fn text(text: &'static str) -> Value<'static> {
        Value::Text(Some(Cow::Borrowed(text)))
    }

    #[test]
    fn rows_that_differ_have_another_hash() {
        let number = |number| Value::Integer(Some(number));
        let rows = [
            vec![text("ab"), text("c")],
            vec![text("a"), text("bc")],
            vec![text("abc"), Value::Text(None)],
            vec![text("abc"), text("")],
            vec![Value::Bytes(Some(Cow::Borrowed(b"abc"))), text("")],
            vec![number(0), text("")],
            vec![Value::Integer(None), text("")],
        ];
        for (at, row) in rows.iter().enumerate() {
            for other in &rows[..at] {
                assert_ne!(
                    digest(std::slice::from_ref(row)),
                    digest(std::slice::from_ref(other)),
                    "{row:?}, {other:?}"
                );
            }
        }
        let [first, second, ..] = rows;
        let both = [first.clone(), second.clone()];
        assert_eq!(digest(&both), digest(&[second.clone(), first.clone()]));
        assert_ne!(digest(&both), digest(&[first]));
        let truth = digest(&[vec![Value::Bool(Some(true))]]);
        assert_eq!(truth, digest(&[vec![number(1)]]));
        assert_eq!(truth.to_string().len(), 64);
    }
}
