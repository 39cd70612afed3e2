//! Column forms of the domain's values, the same for every database driver.
//!
//! Ids and words are text, hashes and keys are 32 bytes, times and money are integers. Tokens and a cost take several
//! columns: rows include them with `columns` ([`from_row`](super::row)).

use std::{borrow::Cow, cell::RefCell, io};

use bytes::Bytes;
use sqlx::{Database, Decode, Type, error::BoxDynError};

use super::{
    row::{AnyRow, FromRow, from_row},
    value::{Bind, Value, bind},
};

use crate::domain::{
    cache::CacheKey,
    chain::Hash,
    exchange::{
        AnswerRef, AnsweredBy, Api, CallId, Cost, ExchangeId, Micros, NanoDollars, Outcome,
        OwnerId, Tokens, UnixMillis,
    },
    price::{PicoDollars, Prices, Pricing},
    recording::Recording,
    tags::Tags,
};

/// Gives Rust types a column type.
macro_rules! column {
    ($($type:ty),+; $column:ty) => {$(
        impl<DB: Database> Type<DB> for $type
        where
            $column: Type<DB>,
        {
            fn type_info() -> DB::TypeInfo {
                <$column as Type<DB>>::type_info()
            }

            fn compatible(info: &DB::TypeInfo) -> bool {
                <$column as Type<DB>>::compatible(info)
            }
        }
    )+};
}

/// Reads values back from the form of their column.
macro_rules! decode {
    (<$r:lifetime> $($type:ty),+; $column:ty: |$value:ident| $decoded:expr) => {$(
        impl<$r, DB: Database> Decode<$r, DB> for $type
        where
            $column: Decode<$r, DB>,
        {
            fn decode(value: DB::ValueRef<$r>) -> Result<Self, BoxDynError> {
                let $value = <$column as Decode<$r, DB>>::decode(value)?;
                $decoded
            }
        }
    )+};
}

column!(UnixMillis, Micros, NanoDollars, PicoDollars; i64);
bind!(UnixMillis, Micros, NanoDollars => Integer: |number| number.0);
decode!(<'r> UnixMillis, Micros, NanoDollars; i64: |number| Ok(Self(number)));
bind!(PicoDollars => Integer: |price| price.picos());
decode!(<'r> PicoDollars; i64: |number| Ok(Self::new(number)));

column!(ExchangeId, CallId, OwnerId; str);
bind!(ExchangeId, CallId, OwnerId => Text: |id| Cow::Owned(id.to_string()));
decode!(<'r> ExchangeId, CallId, OwnerId; &'r str: |text| Ok(text.parse()?));

column!(Hash, CacheKey; [u8]);
decode!(<'r> Hash, CacheKey; &'r [u8]: |bytes| Ok(Self::from_bytes(bytes.try_into()?)));

/// Gives hashes their form for columns.
macro_rules! bind_hash {
    ($($type:ty),+) => {$(
        impl<'v> Bind<'v> for $type {
            const NULL: Value<'static> = Value::Bytes(None);

            fn into_value(self) -> Value<'v> {
                Value::Bytes(Some(Cow::Owned(self.as_bytes().to_vec())))
            }
        }

        impl<'v> Bind<'v> for &'v $type {
            const NULL: Value<'static> = Value::Bytes(None);

            fn into_value(self) -> Value<'v> {
                Value::Bytes(Some(Cow::Borrowed(self.as_bytes())))
            }
        }
    )+};
}
bind_hash!(Hash, CacheKey);

column!(Outcome, AnsweredBy, Api; str);
bind!(Outcome, AnsweredBy, Api => Text: |word| Cow::Borrowed(word.into_str()));
decode!(<'r> Outcome, AnsweredBy, Api; &'r str:
    |word| word.parse().map_err(|_| format!("the word {word:?} is unknown").into()));

impl<'v> Bind<'v> for &'v AnswerRef {
    const NULL: Value<'static> = Value::Text(None);

    fn into_value(self) -> Value<'v> {
        Value::Text(Some(Cow::Borrowed(self.as_str())))
    }
}

column!(Tags; str);
decode!(<'r> Tags; &'r str: |json| Ok(serde_json::from_str(json)?));

/// A body or other bytes that the ledger keeps compressed; uncompressed here.
#[derive(Debug)]
pub(super) struct Body(pub(super) Vec<u8>);

column!(Body, Recording; [u8]);
decode!(<'r> Body; &'r [u8]: |packed| Ok(Self(decompress(packed)?)));
decode!(<'r> Recording; &'r [u8]:
    |packed| Ok(Self::decode(Bytes::from(decompress(packed)?))?));

/// The first bytes of a zstd frame (RFC 8878 §3.1.1).
const ZSTD_MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();

/// Shorter bodies stay plain: compressing them takes longer than writing them.
const SHORT: usize = 1024;

/// Compresses a body with zstd at level 1, if it is not short. Each thread keeps its context: a new one costs more than
/// the work.
pub(super) fn compress(bytes: &[u8]) -> Vec<u8> {
    if bytes.len() < SHORT && !bytes.starts_with(&ZSTD_MAGIC) {
        return bytes.to_vec();
    }
    thread_local! {
        static COMPRESSOR: RefCell<zstd::bulk::Compressor<'static>> =
            RefCell::new(zstd::bulk::Compressor::new(1).expect("level 1 exists"));
    }
    COMPRESSOR.with_borrow_mut(|compressor| {
        compressor.compress(bytes).expect("the compressor sizes its own buffer")
    })
}

/// Reads the form of [`compress`].
fn decompress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    if bytes.starts_with(&ZSTD_MAGIC) { zstd::decode_all(bytes) } else { Ok(bytes.to_vec()) }
}

impl FromRow for Tokens {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let count = |column| row.get(column).map(count);
        Ok(Self {
            input: count("input")?,
            cache_write_5m: count("cache_write_5m")?,
            cache_write_1h: count("cache_write_1h")?,
            cache_read: count("cache_read")?,
            output: count("output")?,
            thinking: count("thinking")?,
            searches: count("searches")?,
        })
    }
}

/// The word for the kind of a cost, as in the column `cost_is`.
pub const fn cost_word(cost: Cost) -> &'static str {
    match cost {
        Cost::Exact(_) => "exact",
        Cost::AtLeast(_) => "at_least",
        Cost::Unpriced => "unpriced",
    }
}

impl FromRow for Cost {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        cost(row.get("cost")?, row.get("cost_is")?)
    }
}

/// A count, which is never negative; a damaged one reads as zero.
pub(super) fn count(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

/// The cost that an amount and its word stand for.
pub(super) fn cost(amount: Option<NanoDollars>, word: &str) -> sqlx::Result<Cost> {
    match (amount, word) {
        (Some(amount), "exact") => Ok(Cost::Exact(amount)),
        (Some(amount), "at_least") => Ok(Cost::AtLeast(amount)),
        (None, "unpriced") => Ok(Cost::Unpriced),
        (_, other) => Err(sqlx::Error::ColumnDecode {
            index: "cost_is".to_owned(),
            source: format!("the cost does not go with the word {other:?}").into(),
        }),
    }
}

from_row!(Prices { input, output, cache_write_5m, cache_write_1h, cache_read });
from_row!(Pricing { priced_as, estimate });
