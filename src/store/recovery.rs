//! Recovery after a crash: exchanges that a dead process left in `running` become lost exchanges of unknown cost.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use sqlx::{FromRow, SqliteConnection};
use tracing::warn;

use super::{
    Error,
    batch::{self, CallOp, Op, SealOp},
    chain::{Bodies, Packed},
    journal::{self, Left},
    read::answer_parts,
    record::{CallRecord, Opening, Sealing},
    sqlite::{self, DatabaseFile},
};
use crate::domain::{
    cache::CacheKey,
    chain::Hash,
    exchange::{
        AnsweredBy, Api, CallId, Cost, ExchangeId, NanoDollars, Outcome, OwnerId, Tokens,
        UnixMillis,
    },
};

/// The column `running.call`: the call that the exchange answers.
#[derive(Serialize, Deserialize)]
struct RunningCall<C> {
    #[serde(flatten)]
    call: C,
    client_frame: Option<Hash>,
    client_head: Option<Hash>,
}

/// A row of `running`.
#[derive(FromRow)]
struct RunningRow {
    exchange: ExchangeId,
    opened_at: UnixMillis,
    key: CacheKey,
    scope: String,
    model: String,
    continues: Option<ExchangeId>,
    frame: Option<Hash>,
    head: Option<Hash>,
    call: String,
}

/// The column `running.call` for a call.
pub(super) fn call_json(call: &CallRecord, client: &Packed) -> String {
    let call = RunningCall { call, client_frame: client.frame, client_head: client.head };
    serde_json::to_string(&call).expect("our own types have string keys and finite numbers")
}

/// Brings in order what a dead process left: its running exchanges become lost ones, and its calls are restored from the
/// journal. The owner of the ledger runs this before it writes anything.
pub(super) async fn run(
    conn: &mut SqliteConnection,
    file: &DatabaseFile,
    owner: OwnerId,
    now: UnixMillis,
) -> Result<(), Error> {
    let journal = file.journal();
    let left = Left::read(journal.as_deref()).map_err(|source| file.not_created(source))?;
    let lost = seal_all(conn, owner, now, &left).await?;
    if lost > 0 {
        warn!(exchanges = lost, "the last process died while these were running; they are lost");
    }
    journal::restore(conn, owner, left).await?;
    Ok(())
}

/// Seals everything that stands in `running` as lost; returns the number of exchanges.
async fn seal_all(
    conn: &mut SqliteConnection,
    owner: OwnerId,
    now: UnixMillis,
    left: &Left,
) -> Result<usize, Error> {
    const SQL: &str = "select exchange, opened_at, key, scope, model, continues, frame, head, call \
         from running order by exchange desc";
    let rows: Vec<RunningRow> = sqlx::query_as(SQL).fetch_all(&mut *conn).await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let mut seals: Vec<_> = rows.into_iter().map(|row| seal(row, now, left)).collect();
    end_calls(conn, &mut seals).await?;
    let seals: Vec<Op> = seals.into_iter().map(|(seal, _)| Op::Seal(Box::new(seal))).collect();
    let mut tx = sqlite::begin_write(conn).await?;
    batch::insert_all(&mut tx, owner, &seals.iter().collect::<Vec<_>>()).await?;
    tx.commit().await?;
    Ok(seals.len())
}

/// Hashes of the clients' requests of running exchanges, which no other row refers to yet.
pub(super) async fn client_hashes(conn: &mut SqliteConnection) -> Result<Vec<Hash>, Error> {
    let calls: Vec<String> = sqlx::query_scalar("select call from running").fetch_all(conn).await?;
    // A call that cannot be read is sealed as unknown, without its request.
    let readable = calls.iter().filter_map(|call| read_call(call).ok());
    Ok(readable.flat_map(|(_, client)| [client.frame, client.head]).flatten().collect())
}

/// Ends each call with the newest of its exchanges: between two parts of an answer both stand in `running`. The cost of
/// the parts that ended was paid, and no other row of `call` has it.
async fn end_calls(
    conn: &mut SqliteConnection,
    newest_first: &mut [(SealOp, Packed)],
) -> Result<(), Error> {
    const SQL: &str = answer_parts!(
        "select tries, input, cache_write_5m, cache_write_1h, cache_read, output, thinking, searches, cost, cost_is"
    );
    let running: HashMap<ExchangeId, Option<ExchangeId>> = newest_first
        .iter()
        .map(|(seal, _)| (seal.opening.exchange, seal.opening.continues))
        .collect();
    let mut ended = HashSet::new();
    for (SealOp { opening, sealing, call, .. }, client) in newest_first {
        if !ended.insert(opening.call.id) {
            continue;
        }
        let (mut tries, mut tokens, mut cost) = (sealing.tries, sealing.tokens, sealing.cost);
        let mut before = opening.continues;
        while let Some(continues) = before.and_then(|part| running.get(&part)) {
            before = *continues;
        }
        let parts: Vec<Part> = sqlx::query_as(SQL).bind(before).fetch_all(&mut *conn).await?;
        for part in parts {
            tries = tries.saturating_add(part.tries);
            tokens += part.tokens;
            cost = cost.plus(part.cost);
        }
        let record = CallRecord { tries, tokens, cost, ..opening.call.clone() };
        *call = Some(CallOp { record, client: std::mem::take(client) });
    }
    Ok(())
}

/// The totals of an exchange that is a part of an answer.
#[derive(FromRow)]
struct Part {
    tries: u32,
    #[sqlx(flatten)]
    tokens: Tokens,
    #[sqlx(flatten)]
    cost: Cost,
}

/// The sealing of a lost exchange, and its client's request.
fn seal(row: RunningRow, now: UnixMillis, left: &Left) -> (SealOp, Packed) {
    let RunningRow { exchange, opened_at, key, scope, model, continues, frame, head, call } = row;
    let (begun, client) = read_call(&call).unwrap_or_else(|error| {
        warn!(%exchange, %error, "the call of a lost exchange cannot be read");
        // It still counts.
        let (id, by) = (CallId::new(exchange.uuid()), AnsweredBy::Miss);
        let begun = CallRecord::new(id, opened_at, by, Api::Chat, key, model.clone());
        (begun, Packed::default())
    });
    let call = CallRecord { key, exchange: Some(exchange), model: model.clone(), ..begun };
    let opening = Opening {
        exchange,
        key,
        scope,
        model,
        opened_at,
        continues,
        breakpoints: None,
        headers: None,
        chain: None,
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
        // The last one may not have left.
        tries: left.tries(exchange),
        tokens: Tokens::default(),
        cost: Cost::AtLeast(NanoDollars(0)),
        priced_on: None,
        servable: false,
        recording: None,
        refs: Vec::new(),
        call: None,
    };
    let request = Packed { frame, head, bodies: Bodies::default() };
    let seal = SealOp { opening: Arc::new(opening), sealing, request, recording: None, call: None };
    (seal, client)
}

fn read_call(json: &str) -> Result<(CallRecord, Packed), serde_json::Error> {
    let RunningCall { call, client_frame, client_head } = serde_json::from_str(json)?;
    let client = Packed { frame: client_frame, head: client_head, bodies: Bodies::default() };
    Ok((call, client))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn who_asked_survives_the_column() {
        let id = CallId::new(Uuid::from_u128(7));
        let key = CacheKey::from_bytes([7; 32]);
        let (by, model) = (AnsweredBy::Miss, "claude".to_owned());
        let mut call = CallRecord::new(id, UnixMillis(5), by, Api::Chat, key, model);
        call.user = Some("ann".to_owned());
        call.task = Some("title_generation".to_owned());
        let head = Hash::of("node", &[]);
        let client = Packed { head: Some(head), ..Packed::default() };
        let (read, packed) = read_call(&call_json(&call, &client)).unwrap();
        assert_eq!((read.id, read.user, read.task), (call.id, call.user, call.task));
        assert_eq!((packed.frame, packed.head), (None, Some(head)));
    }
}
