//! Rows of `running`, as they are found.

use super::read_call;
use crate::{
    domain::{
        cache::CacheKey,
        chain::Hash,
        exchange::{ExchangeId, UnixMillis},
    },
    store::{
        Error, chain::Packed, connection::Connection, journal::JournaledOpening, query::query_as,
        record::CallRecord, row::from_row,
    },
};

/// A row of `running`, as it is: another program may have written anything into it. Texts are bytes here, since they
/// need not be UTF-8.
pub(super) struct RawRow {
    exchange: Option<Vec<u8>>,
    opened_at: Option<i64>,
    key: Option<Vec<u8>>,
    scope: Option<Vec<u8>>,
    model: Option<Vec<u8>>,
    continues: Option<Vec<u8>>,
    frame: Option<Vec<u8>>,
    head: Option<Vec<u8>>,
    call: Option<Vec<u8>>,
}

from_row!(RawRow { exchange, opened_at, key, scope, model, continues, frame, head, call });

/// A row of `running`, with the value nearest to what is readable in each column.
pub(super) struct RunningRow {
    /// The exchange as it is in the table.
    pub(super) raw: Option<Vec<u8>>,
    pub(super) exchange: ExchangeId,
    pub(super) opened_at: UnixMillis,
    pub(super) key: CacheKey,
    pub(super) scope: String,
    pub(super) model: String,
    pub(super) continues: Option<ExchangeId>,
    pub(super) frame: Option<Hash>,
    pub(super) head: Option<Hash>,
    /// The call, and its client's request.
    pub(super) call: Result<(CallRecord, Packed), serde_json::Error>,
}

impl RawRow {
    pub(super) fn read(self, now: UnixMillis) -> RunningRow {
        let Self { exchange: raw, opened_at, key, scope, model, continues, frame, head, call } =
            self;
        let text = |bytes: Option<Vec<u8>>| {
            String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
        };
        let id = |bytes: &[u8]| str::from_utf8(bytes).ok()?.parse::<ExchangeId>().ok();
        let hash = |bytes: Option<Vec<u8>>| bytes?.try_into().ok();
        RunningRow {
            // Another id for what is none: always the same for the same row.
            exchange: raw.as_deref().and_then(id).unwrap_or_else(|| {
                let hash = Hash::of("exchange", &[raw.as_deref().unwrap_or_default()]);
                let id = hash.as_bytes().first_chunk().copied().unwrap_or_default();
                ExchangeId::new(uuid::Builder::from_custom_bytes(id).into_uuid())
            }),
            raw,
            opened_at: plausible(UnixMillis(opened_at.unwrap_or(now.0)), now),
            key: CacheKey::from_bytes(hash(key).unwrap_or_default()),
            scope: text(scope),
            model: text(model),
            continues: continues.as_deref().and_then(id),
            frame: hash(frame).map(Hash::from_bytes),
            head: hash(head).map(Hash::from_bytes),
            call: read_call(&call.unwrap_or_default()),
        }
    }
}

impl RunningRow {
    /// The row that an exchange would have got.
    pub(super) fn of(opening: JournaledOpening<'_>) -> Self {
        let JournaledOpening { exchange, opened_at, key, scope, model, continues, call } = opening;
        Self {
            raw: Some(exchange.to_string().into_bytes()),
            exchange,
            opened_at,
            key: CacheKey::from_bytes(*key.as_bytes()),
            scope,
            model,
            continues,
            frame: None,
            head: None,
            call: Ok((call.into_owned(), Packed::default())),
        }
    }
}

/// The last moment that has a date, in the year 9999.
const LAST_MOMENT: i64 = 253_402_207_200_000;

/// A moment from a row, or the present if it is none: sums by the hour go by it.
pub(super) fn plausible(at: UnixMillis, now: UnixMillis) -> UnixMillis {
    if (0..=LAST_MOMENT).contains(&at.0) { at } else { now }
}

/// Rows of `running`: those of an owner, or of an exchange; without either, all.
pub(super) async fn rows(
    conn: &mut Connection<'_>,
    owner: Option<&str>,
    exchange: Option<ExchangeId>,
) -> Result<Vec<RawRow>, Error> {
    const SQLITE: &str = "select cast(exchange as blob) as exchange, cast(opened_at as integer) as opened_at, \
         cast(key as blob) as key, cast(scope as blob) as scope, cast(model as blob) as model, \
         cast(continues as blob) as continues, cast(frame as blob) as frame, cast(head as blob) as head, \
         cast(call as blob) as call from running \
         where ($1 is null and $2 is null) or owner = $1 or exchange = $2";
    const POSTGRES: &str = "select convert_to(exchange, 'UTF8') as exchange, opened_at, key, \
         convert_to(scope, 'UTF8') as scope, convert_to(model, 'UTF8') as model, \
         convert_to(continues, 'UTF8') as continues, frame, head, convert_to(call, 'UTF8') as call from running \
         where ($1 is null and $2 is null) or owner = $1 or exchange = $2";
    let sql = query_as(conn.pick(SQLITE, POSTGRES));
    Ok(sql.bind(owner).bind(exchange).fetch_all(conn).await?)
}
