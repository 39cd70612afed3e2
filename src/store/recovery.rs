//! What a dead process left in `running` becomes lost exchanges: asked, perhaps answered, at an unknown cost.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};
use tracing::warn;
use uuid::Uuid;

use super::{
    Error,
    batch::{self, Op, Seal},
    chain::{Bodies, Packed},
    read::{self, MOST_PARTS},
    record::{CallRecord, Opening, Sealing},
};
use crate::domain::{
    cache::CacheKey,
    chain::Hash,
    exchange::{
        AnsweredBy, Api, CallId, Cost, ExchangeId, NanoDollars, Outcome, OwnerId, Tokens,
        UnixMillis,
    },
};

/// The column `running.call`: who asked, and with what.
#[derive(Serialize, Deserialize)]
struct Call<F> {
    #[serde(flatten)]
    facts: F,
    client_frame: Option<String>,
    client_head: Option<String>,
}

/// The column `running.call` for a call.
pub(super) fn call_column(facts: &CallRecord, client: &Packed) -> String {
    let call = Call {
        facts,
        client_frame: client.frame.map(|hash| hash.to_string()),
        client_head: client.head.map(|hash| hash.to_string()),
    };
    serde_json::to_string(&call).expect("our own types have string keys and finite numbers")
}

/// Seals everything that stands in `running` as lost. To be called by the owner of the ledger before it writes
/// anything: whoever wrote those rows is gone.
pub(super) async fn seal_all(
    conn: &mut SqliteConnection,
    owner: OwnerId,
    now: UnixMillis,
) -> Result<usize, Error> {
    const SQL: &str = "select exchange, opened_at, key, scope, model, continues, frame, head, call \
         from running order by exchange desc";
    let rows = sqlx::query(SQL).fetch_all(&mut *conn).await.map_err(Error::Open)?;
    if rows.is_empty() {
        return Ok(0);
    }
    let mut seals = rows.iter().map(|row| seal(row, now)).collect::<Result<Vec<_>, _>>()?;
    end_calls(conn, &mut seals).await?;
    let seals: Vec<Op> = seals.into_iter().map(|seal| Op::Seal(Box::new(seal))).collect();
    sqlx::query("begin immediate").execute(&mut *conn).await.map_err(Error::Open)?;
    batch::insert_all(conn, owner, &seals.iter().collect::<Vec<_>>()).await.map_err(Error::Open)?;
    sqlx::query("commit").execute(&mut *conn).await.map_err(Error::Open)?;
    Ok(seals.len())
}

/// What the clients of running exchanges sent, which no other row refers to yet.
pub(super) async fn client_hashes(conn: &mut SqliteConnection) -> Result<Vec<Hash>, Error> {
    let calls = sqlx::query_scalar("select call from running").fetch_all(conn).await;
    let calls: Vec<String> = calls.map_err(Error::Read)?;
    // A call that cannot be read is sealed as unknown, without what was said.
    let known = calls.iter().filter_map(|call| facts(call).ok());
    Ok(known.flat_map(|(_, client)| [client.frame, client.head]).flatten().collect())
}

/// Ends each call with the newest of its exchanges: between two parts of an answer both stand in `running`. What the
/// parts that ended cost was paid, and no other row of `call` says so.
async fn end_calls(conn: &mut SqliteConnection, newest_first: &mut [Seal]) -> Result<(), Error> {
    const SQL: &str = "select continues, \
        input, cache_write_5m, cache_write_1h, cache_read, output, thinking, searches, cost, cost_is \
        from exchange where id = $1";
    let running: HashMap<ExchangeId, Option<ExchangeId>> =
        newest_first.iter().map(|seal| (seal.opening.exchange, seal.opening.continues)).collect();
    let mut ended = HashSet::new();
    for Seal { opening, sealing, .. } in newest_first {
        if !ended.insert(opening.call.id) {
            continue;
        }
        let (mut tokens, mut cost) = (sealing.tokens, sealing.cost);
        let mut before = opening.continues;
        for _ in 0..MOST_PARTS {
            let Some(part) = before else { break };
            if let Some(continues) = running.get(&part) {
                before = *continues;
                continue;
            }
            let found = sqlx::query(SQL).bind(part.to_string()).fetch_optional(&mut *conn).await;
            let Some(row) = found.map_err(Error::Open)? else { break };
            tokens += read::tokens(&row).map_err(Error::Open)?;
            cost = cost.plus(read::cost(&row)?);
            before = id(&row, "exchange", "continues")?.map(ExchangeId::new);
        }
        sealing.call = Some(CallRecord { tokens, cost, ..opening.call.clone() });
    }
    Ok(())
}

fn seal(row: &SqliteRow, now: UnixMillis) -> Result<Seal, Error> {
    let exchange = id(row, "running", "exchange")?
        .ok_or(Error::Damaged { table: "running", column: "exchange" })?;
    let opened_at = UnixMillis(row.try_get("opened_at").map_err(Error::Open)?);
    let model: String = row.try_get("model").map_err(Error::Open)?;
    let key = hash(row, "key")?
        .map(|hash| CacheKey::from_bytes(*hash.as_bytes()))
        .ok_or(Error::Damaged { table: "running", column: "key" })?;
    let call = row.try_get("call").map_err(Error::Open)?;
    let (begun, client) = facts(call).unwrap_or_else(|error| {
        warn!(%exchange, %error, "a lost exchange no longer says who asked");
        // It still counts.
        let (id, by) = (CallId::new(exchange), AnsweredBy::Miss);
        let begun = CallRecord::new(id, opened_at, by, Api::Chat, key, model.clone());
        (begun, Packed::default())
    });
    let exchange = ExchangeId::new(exchange);
    let call = CallRecord { key, exchange: Some(exchange), model: model.clone(), ..begun };
    let opening = Opening {
        exchange,
        key,
        scope: row.try_get("scope").map_err(Error::Open)?,
        model,
        opened_at,
        continues: id(row, "running", "continues")?.map(ExchangeId::new),
        breakpoints: None,
        head: None,
        chain: None,
        collapse: None,
        call,
    };
    let sealing = Sealing {
        outcome: Outcome::Lost,
        stop_reason: None,
        error_kind: None,
        error: None,
        status: None,
        upstream_request: None,
        model_served: None,
        ended_at: now,
        ttft: None,
        total: None,
        tokens: Tokens::default(),
        cost: Cost::AtLeast(NanoDollars(0)),
        priced_on: None,
        servable: false,
        recording: None,
        refs: Vec::new(),
        call: None,
    };
    let asked =
        Packed { frame: hash(row, "frame")?, head: hash(row, "head")?, bodies: Bodies::default() };
    let opening = Arc::new(opening);
    Ok(Seal { opening, sealing, asked, client, recording: None })
}

fn facts(call: &str) -> Result<(CallRecord, Packed), serde_json::Error> {
    let call: Call<CallRecord> = serde_json::from_str(call)?;
    let packed = Packed {
        frame: call.client_frame.as_deref().and_then(from_hex),
        head: call.client_head.as_deref().and_then(from_hex),
        bodies: Bodies::default(),
    };
    Ok((call.facts, packed))
}

fn id(row: &SqliteRow, table: &'static str, column: &'static str) -> Result<Option<Uuid>, Error> {
    let id: Option<&str> = row.try_get(column).map_err(Error::Open)?;
    id.map(str::parse).transpose().map_err(|_| Error::Damaged { table, column })
}

fn hash(row: &SqliteRow, column: &'static str) -> Result<Option<Hash>, Error> {
    row.try_get::<Option<&[u8]>, _>(column)
        .map_err(Error::Open)?
        .map(|bytes| {
            let bytes =
                bytes.try_into().map_err(|_| Error::Damaged { table: "running", column })?;
            Ok(Hash::from_bytes(bytes))
        })
        .transpose()
}

fn from_hex(digits: &str) -> Option<Hash> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(Hash::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asked_survives_the_column() {
        let id = CallId::new(Uuid::from_u128(7));
        let key = CacheKey::from_bytes([7; 32]);
        let (by, model) = (AnsweredBy::Miss, "claude".to_owned());
        let mut asked = CallRecord::new(id, UnixMillis(5), by, Api::Chat, key, model);
        asked.user = Some("ann".to_owned());
        asked.task = Some("title_generation".to_owned());
        let head = Hash::of("node", &[]);
        let client = Packed { head: Some(head), ..Packed::default() };
        let (read, packed) = facts(&call_column(&asked, &client)).unwrap();
        assert_eq!((read.id, read.user, read.task), (asked.id, asked.user, asked.task));
        assert_eq!((packed.frame, packed.head), (None, Some(head)));
    }
}
