//! Byte format of the sums of one hour: a list of texts, then groups that refer to them.
//!
//! An hour is one row instead of one row for each group, because a report reads whole hours: the sums of a million
//! calls are 40 MB in some hundred rows, and are read faster than the database could count as many rows.

use std::{borrow::Cow, collections::BTreeMap};

use crate::domain::{
    exchange::{AnsweredBy, NanoDollars, Tokens},
    histogram::Histogram,
    totals::{Key, Totals},
    varint::{put, take},
};

/// The first number of the format, so that a later version can write another.
const VERSION: u64 = 3;

/// The version that did not know names of client keys.
const WITHOUT_KEYS: u64 = 2;

/// The version that did not count tries: each call has one.
const WITHOUT_TRIES: u64 = 1;

/// The groups of one hour, by quarter and key.
#[derive(Debug, Default)]
pub(super) struct Hour(BTreeMap<(u8, Key<'static>), Totals>);

impl Hour {
    /// Adds totals to a group.
    pub(super) fn add(&mut self, quarter: u8, key: &Key<'_>, totals: &Totals) {
        self.0.entry((quarter, key.clone().into_owned())).or_default().add(totals);
    }

    /// Adds the groups in `bytes`; `None` if they are no sums.
    pub(super) fn merge(&mut self, bytes: &[u8]) -> Option<()> {
        read(bytes, |quarter, key, totals| self.add(quarter, key, totals))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut texts = BTreeMap::new();
        for (_, key) in self.0.keys() {
            for text in texts_of(key).into_iter().flatten() {
                texts.insert(text, 0);
            }
        }
        let mut bytes = Vec::new();
        put(&mut bytes, VERSION);
        put(&mut bytes, texts.len() as u64);
        for (at, (text, number)) in (1..).zip(&mut texts) {
            *number = at;
            put(&mut bytes, text.len() as u64);
            bytes.extend_from_slice(text.as_bytes());
        }
        put(&mut bytes, self.0.len() as u64);
        for ((quarter, key), totals) in &self.0 {
            bytes.push(*quarter);
            bytes.push(key.answered_by as u8);
            for text in texts_of(key) {
                put(&mut bytes, text.map_or(0, |text| texts[text]));
            }
            put_totals(&mut bytes, totals);
        }
        bytes
    }
}

/// Shows each group to `visit`; `None` if the bytes are no sums.
pub(super) fn read(bytes: &[u8], mut visit: impl FnMut(u8, &Key<'_>, &Totals)) -> Option<()> {
    let mut rest = bytes;
    let version = take(&mut rest)?;
    if !matches!(version, WITHOUT_TRIES | WITHOUT_KEYS | VERSION) {
        return None;
    }
    let mut texts: Vec<Option<Cow<'_, str>>> = vec![None];
    for _ in 0..take(&mut rest)? {
        let length = usize::try_from(take(&mut rest)?).ok()?;
        let (text, after) = rest.split_at_checked(length)?;
        texts.push(Some(Cow::Borrowed(std::str::from_utf8(text).ok()?)));
        rest = after;
    }
    let mut totals = Totals::default();
    for _ in 0..take(&mut rest)? {
        let [quarter, answered_by, ..] = *rest else { return None };
        rest = &rest[2..];
        let mut text = || texts.get(usize::try_from(take(&mut rest)?).ok()?).cloned();
        let key = Key {
            model: text()??,
            user: text()?,
            chat: text()?,
            task: text()?,
            client: text()?,
            error: text()?,
            client_key: if version < VERSION { None } else { text()? },
            answered_by: AnsweredBy::from_repr(answered_by)?,
        };
        take_totals(&mut rest, version, &mut totals)?;
        visit(quarter, &key, &totals);
    }
    rest.is_empty().then_some(())
}

fn texts_of<'a>(key: &'a Key<'_>) -> [Option<&'a str>; 7] {
    let Key { model, user, chat, task, client, client_key, answered_by: _, error } = key;
    [
        Some(&**model),
        user.as_deref(),
        chat.as_deref(),
        task.as_deref(),
        client.as_deref(),
        error.as_deref(),
        client_key.as_deref(),
    ]
}

fn put_totals(bytes: &mut Vec<u8>, totals: &Totals) {
    let Totals {
        calls,
        tries,
        tokens,
        cost,
        at_least,
        unpriced,
        saved,
        saved_unpriced,
        cache_saved,
        cache_unpriced,
        ttft,
        total,
    } = totals;
    let Tokens { input, cache_write_5m, cache_write_1h, cache_read, output, thinking, searches } =
        *tokens;
    let counts = [
        *calls,
        *tries,
        input,
        cache_write_5m,
        cache_write_1h,
        cache_read,
        output,
        thinking,
        searches,
        zigzag(cost.0),
        *at_least,
        *unpriced,
        zigzag(saved.0),
        *saved_unpriced,
        zigzag(cache_saved.0),
        *cache_unpriced,
    ];
    for count in counts {
        put(bytes, count);
    }
    for histogram in [ttft, total] {
        let buckets = histogram.buckets();
        put(bytes, buckets.len() as u64);
        for &(bucket, count) in buckets {
            put(bytes, u64::from(bucket));
            put(bytes, count);
        }
    }
}

fn take_totals(rest: &mut &[u8], version: u64, totals: &mut Totals) -> Option<()> {
    let mut count = || take(rest);
    totals.calls = count()?;
    totals.tries = if version == WITHOUT_TRIES { totals.calls } else { count()? };
    totals.tokens = Tokens {
        input: count()?,
        cache_write_5m: count()?,
        cache_write_1h: count()?,
        cache_read: count()?,
        output: count()?,
        thinking: count()?,
        searches: count()?,
    };
    totals.cost = NanoDollars(unzigzag(count()?));
    totals.at_least = count()?;
    totals.unpriced = count()?;
    totals.saved = NanoDollars(unzigzag(count()?));
    totals.saved_unpriced = count()?;
    totals.cache_saved = NanoDollars(unzigzag(count()?));
    totals.cache_unpriced = count()?;
    take_histogram(rest, &mut totals.ttft)?;
    take_histogram(rest, &mut totals.total)
}

fn take_histogram(rest: &mut &[u8], histogram: &mut Histogram) -> Option<()> {
    histogram.clear();
    for _ in 0..take(rest)? {
        histogram.add(u16::try_from(take(rest)?).ok()?, take(rest)?);
    }
    Some(())
}

/// Zigzag encoding: numbers near zero become small, whatever their sign.
const fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

const fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::exchange::Micros;

    proptest! {
        #[test]
        fn numbers_come_back(unsigned: u64, signed: i64) {
            let mut bytes = Vec::new();
            put(&mut bytes, unsigned);
            put(&mut bytes, zigzag(signed));
            let mut rest = &*bytes;
            prop_assert_eq!(take(&mut rest), Some(unsigned));
            prop_assert_eq!(take(&mut rest).map(unzigzag), Some(signed));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = read(&bytes, |_, _, _| {});
        }
    }

    #[test]
    fn an_hour_comes_back_and_can_be_added_to() {
        let key = |user: Option<&'static str>| Key {
            model: "claude".into(),
            user: user.map(Cow::Borrowed),
            chat: None,
            task: Some("title".into()),
            client: None,
            client_key: user.map(|_| "team-a".into()),
            answered_by: AnsweredBy::Replay,
            error: None,
        };
        let mut totals =
            Totals { calls: 1, tries: 2, cache_saved: NanoDollars(-7), ..Totals::default() };
        totals.ttft.record(Micros(1_000));
        let mut hour = Hour::default();
        hour.add(3, &key(Some("ann")), &totals);
        hour.add(0, &key(None), &totals);
        let mut later = Hour::default();
        later.add(3, &key(Some("ann")), &totals);
        later.merge(&hour.encode()).unwrap();
        let mut twice = totals.clone();
        twice.add(&totals);
        let bytes = later.encode();
        let mut found = Hour::default();
        found.merge(&bytes).unwrap();
        let found: Vec<_> = found.0.into_iter().collect();
        assert_eq!(found, [((0, key(None)), totals), ((3, key(Some("ann"))), twice)]);
        assert!(Hour::default().merge(&bytes[..bytes.len() - 1]).is_none());
    }
}
