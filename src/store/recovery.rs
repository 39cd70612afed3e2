//! Recovery after a crash: exchanges that a dead process left in `running` become lost exchanges of unknown cost.
//!
//! Processes that share a ledger bury each other (`burial`). One that was taken for dead, or has the end of its exchanges in
//! a journal, is right about them (`regained`).

mod burial;
mod regained;
mod row;

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use tracing::{error, warn};

use self::row::{RunningRow, plausible, rows};
pub(super) use self::{
    burial::{Burial, dead},
    regained::regain,
};
use super::{
    Durability, Error,
    batch::{self, CallOp, Op, SealOp},
    chain::Packed,
    connection::Connection,
    database::Database,
    error::WriteError,
    insert::Sink,
    journal::{self, Left, Progress, Slot},
    query::{query_as, query_scalar},
    read::{MOST_PARTS, answer_parts},
    record::{CallRecord, Opening, Sealing},
    row::from_row,
    write::WriteConnection,
};
use crate::domain::{
    chain::Hash,
    exchange::{AnsweredBy, Api, CallId, Cost, ExchangeId, Outcome, OwnerId, Tokens, UnixMillis},
    price::Pricing,
};

/// The column `running.call`: the call that the exchange answers.
#[derive(Serialize, Deserialize)]
struct RunningCall<C> {
    #[serde(flatten)]
    call: C,
    client_frame: Option<Hash>,
    client_head: Option<Hash>,
}

/// The column `running.call` for a call.
pub(super) fn call_json(call: &CallRecord, client: &Packed) -> String {
    let call = RunningCall { call, client_frame: client.frame, client_head: client.head };
    serde_json::to_string(&call).expect("our own types have string keys and finite numbers")
}

/// Rows that a dead process left to others.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Recovered {
    /// Exchanges that were running: they are lost.
    pub(super) lost: usize,
    /// Exchanges that stood in the journal only, and the calls that they answered.
    pub(super) exchanges: usize,
    /// Other calls that stood in the journal only.
    pub(super) calls: usize,
}

/// Whose rows of `running` are brought in order.
#[derive(Debug, Clone, Copy)]
pub(super) enum Whose<'a> {
    /// All: this process is the only one that may have any.
    All,
    /// Those of these owners.
    Owners(&'a [String]),
}

/// Brings in order what dead processes left: their running exchanges become lost ones, and what they had ended is restored
/// from their journals. An owner of the ledger runs this before it writes anything.
pub(super) async fn run(
    conn: &mut Connection<'_>,
    writer: &mut WriteConnection,
    file: &Database,
    journals: impl Iterator<Item = &Slot>,
    owner: OwnerId,
    now: UnixMillis,
) -> Result<(), Error> {
    let mut left = Left::default();
    for journal in journals {
        left.add(journal.read().map_err(|source| file.not_created(source))?);
    }
    let Recovered { lost, exchanges, calls } = if file.is_shared() {
        let dead = dead(conn).await?;
        let burial = Burial::begin(conn, dead).await?;
        // Rows of a process that had the same id, which nobody else may have.
        let whose: Vec<String> =
            burial.owners().iter().cloned().chain([owner.to_string()]).collect();
        let recovered =
            bring_in_order(conn, writer, left, owner, now, Whose::Owners(&whose)).await?;
        burial.end(conn).await?;
        recovered
    } else {
        bring_in_order(conn, writer, left, owner, now, Whose::All).await?
    };
    if lost > 0 {
        warn!(exchanges = lost, "a process died while these were running; they are lost");
    }
    if exchanges + calls > 0 {
        warn!(exchanges, calls, "a process died before these were written; they are restored");
    }
    Ok(())
}

/// Buries owners that share the ledger and have died: what they had running becomes lost.
pub(super) async fn bury(
    conn: &mut Connection<'_>,
    file: &Database,
    dead: Vec<String>,
    owner: OwnerId,
    now: UnixMillis,
) -> Result<(), Error> {
    let burial = Burial::begin(conn, dead).await?;
    let whose = Whose::Owners(burial.owners());
    let mut writer = WriteConnection::open(&file.clone().unowned()).await?;
    let recovered = bring_in_order(conn, &mut writer, Left::default(), owner, now, whose).await?;
    writer.close().await?;
    burial.end(conn).await?;
    if recovered.lost > 0 {
        let exchanges = recovered.lost;
        warn!(exchanges, "another process died while these were running; they are lost");
    }
    Ok(())
}

/// Brings in order what is left of a process.
pub(super) async fn bring_in_order(
    conn: &mut Connection<'_>,
    writer: &mut WriteConnection,
    mut left: Left,
    owner: OwnerId,
    now: UnixMillis,
    whose: Whose<'_>,
) -> Result<Recovered, Error> {
    let sealings = std::mem::take(&mut left.sealings);
    let exchanges = journal::restore_sealings(conn, writer, owner, sealings).await?;
    let lost = seal_all(conn, writer, owner, now, whose, &mut left).await?;
    let calls = journal::restore_calls(conn, writer, owner, left).await?;
    Ok(Recovered { lost, exchanges, calls })
}

/// Number of running exchanges.
pub(super) async fn count(conn: &mut Connection<'_>) -> Result<i64, sqlx::Error> {
    query_scalar("select count(*) from running").fetch_one(conn).await
}

/// Seals what stands in `running` as lost, and the exchanges that got no row there; returns the number of
/// exchanges. A row with any content is sealed as well as it can be; one that no table takes is deleted, and the log has
/// its id.
async fn seal_all(
    conn: &mut Connection<'_>,
    writer: &mut WriteConnection,
    owner: OwnerId,
    now: UnixMillis,
    whose: Whose<'_>,
    left: &mut Left,
) -> Result<usize, Error> {
    let mut raw = Vec::new();
    match whose {
        Whose::All => raw = rows(conn, None, None).await?,
        Whose::Owners(owners) => {
            for owner in owners {
                raw.append(&mut rows(conn, Some(owner), None).await?);
            }
        }
    }
    let mut rows_left: Vec<RunningRow> = raw.into_iter().map(|row| row.read(now)).collect();
    for opening in left.take_openings() {
        let exchange = opening.exchange;
        if rows_left.iter().any(|row| row.exchange == exchange) || has_ended(conn, exchange).await?
        {
            continue;
        }
        // The lock of a process that has just died may be held for a moment.
        let row = rows(conn, None, Some(exchange)).await?.pop();
        rows_left.push(row.map_or_else(|| RunningRow::of(opening), |row| row.read(now)));
    }
    let mut rows = rows_left;
    if rows.is_empty() {
        return Ok(0);
    }
    rows.sort_by_key(|row| Reverse(row.exchange));
    let (mut ids, mut seals) = (Vec::new(), Vec::new());
    for row in rows {
        ids.push(row.raw.clone());
        seals.push(seal(row, now, left));
    }
    end_calls(conn, &mut seals).await?;
    let number = seals.len();
    let seals = seals.into_iter().map(|(seal, _)| Op::Seal(Arc::new(seal))).collect();
    write_all(writer, owner, seals, &ids).await?;
    Ok(number)
}

/// Tells whether an exchange has ended.
pub(super) async fn has_ended(
    conn: &mut Connection<'_>,
    exchange: ExchangeId,
) -> Result<bool, Error> {
    const SQL: &str = "select count(*) from exchange where id = $1";
    let found: i64 = query_scalar(SQL).bind(exchange).fetch_one(conn).await?;
    Ok(found > 0)
}

/// Tells whether a call is in the ledger.
pub(super) async fn has_call(conn: &mut Connection<'_>, call: CallId) -> Result<bool, Error> {
    const SQL: &str = "select count(*) from call where id = $1";
    let found: i64 = query_scalar(SQL).bind(call).fetch_one(conn).await?;
    Ok(found > 0)
}

/// The ids of some rows of `running`, as they are there.
type RawIds = [Option<Vec<u8>>];

/// Seals the exchanges of some rows.
async fn write_all(
    writer: &mut WriteConnection,
    owner: OwnerId,
    seals: Vec<Op>,
    ids: &RawIds,
) -> Result<(), WriteError> {
    let seals = Arc::new(seals);
    match write(writer, owner, &seals, ids).await {
        // One by one, so that only the offender loses something.
        Err(error) if error.is_refusal() => {}
        other => return other,
    }
    let seals = Arc::into_inner(seals).expect("the writer has dropped its share");
    for (seal, id) in seals.into_iter().zip(ids.chunks(1)) {
        write_one(writer, owner, seal, id).await?;
    }
    Ok(())
}

/// Seals the exchanges of some rows. They leave `running`, by their ids as they are there.
async fn write(
    writer: &mut WriteConnection,
    owner: OwnerId,
    seals: &Arc<Vec<Op>>,
    ids: &RawIds,
) -> Result<(), WriteError> {
    let (seals, ids) = (Arc::clone(seals), ids.to_vec());
    let work = move |sink: &mut Sink<'_>| {
        batch::write(sink, owner, &seals.iter().collect::<Vec<_>>())?;
        let leave = match sink {
            Sink::Sqlite(_) => "delete from running where cast(exchange as blob) is $1",
            Sink::Postgres(_) => "delete from running where exchange = convert_from($1, 'UTF8')",
        };
        sink.each(leave, &ids, |values, id| values.add(id.as_deref()))
    };
    writer.transaction(Durability::Full, work).await
}

/// Seals one exchange, of the one id, with what the tables take of it: all, without its call, nothing.
async fn write_one(
    writer: &mut WriteConnection,
    owner: OwnerId,
    seal: Op,
    ids: &RawIds,
) -> Result<(), WriteError> {
    let seal = Arc::new(vec![seal]);
    let mut written = write(writer, owner, &seal, ids).await;
    if written.as_ref().is_err_and(WriteError::is_refusal) {
        let mut seal = Arc::into_inner(seal).expect("the writer has dropped its share");
        if let Some(Op::Seal(op)) = seal.first_mut() {
            Arc::make_mut(op).call = None;
        }
        written = write(writer, owner, &Arc::new(seal), ids).await;
    }
    match written {
        Err(error) if error.is_refusal() => {
            let id = ids.iter().flatten().flatten().copied().collect::<Vec<u8>>();
            let exchange = String::from_utf8_lossy(&id);
            error!(%exchange, %error, "a running exchange cannot be sealed; its row is deleted");
            write(writer, owner, &Arc::default(), ids).await
        }
        other => other,
    }
}

/// Hashes of the clients' requests of running exchanges, which no other row refers to yet.
pub(super) async fn client_hashes(conn: &mut Connection<'_>) -> Result<Vec<Hash>, Error> {
    const SQLITE: &str = "select cast(call as blob) from running";
    const POSTGRES: &str = "select convert_to(call, 'UTF8') from running";
    let sql = conn.pick(SQLITE, POSTGRES);
    let calls: Vec<Option<Vec<u8>>> = query_scalar(sql).fetch_all(conn).await?;
    // A call that cannot be read is sealed as unknown, without its request.
    let readable = calls.iter().flatten().filter_map(|call| read_call(call).ok());
    Ok(readable.flat_map(|(_, client)| [client.frame, client.head]).flatten().collect())
}

/// Ends each call with the newest of its exchanges: between two parts of an answer both stand in `running`. The cost of
/// the parts that ended was paid, and no other row of `call` has it.
async fn end_calls(
    conn: &mut Connection<'_>,
    newest_first: &mut [(SealOp, Packed)],
) -> Result<(), Error> {
    const SQL: &str = answer_parts!(
        "select tries, input, cache_write_5m, cache_write_1h, cache_read, output, thinking, searches, cost, cost_is, \
         priced_as, estimate"
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
        let mut pricing = sealing.pricing.clone();
        let mut before = opening.continues;
        // Damaged rows may continue each other in a circle.
        for _ in 0..MOST_PARTS {
            let Some(continues) = before.and_then(|part| running.get(&part)) else { break };
            before = *continues;
        }
        let parts = query_as(SQL).bind(before).fetch_all(&mut *conn).await;
        let parts: Vec<Part> = parts.unwrap_or_else(|error| {
            let exchange = opening.exchange;
            warn!(%exchange, %error, "the parts of a lost answer before its last cannot be read");
            Vec::new()
        });
        for part in parts {
            tries = tries.saturating_add(part.tries);
            tokens += part.tokens;
            cost = cost.plus(part.cost);
            pricing.add(&part.pricing);
        }
        let record = CallRecord { tries, tokens, cost, pricing, ..opening.call.clone() };
        *call = Some(CallOp { record, client: std::mem::take(client) });
    }
    Ok(())
}

/// The totals of an exchange that is a part of an answer.
struct Part {
    tries: u32,
    tokens: Tokens,
    cost: Cost,
    pricing: Pricing,
}

from_row!(Part { tries: number, tokens: columns, cost: columns, pricing: columns });

/// The sealing of a lost exchange, and its client's request.
fn seal(row: RunningRow, now: UnixMillis, left: &Left) -> (SealOp, Packed) {
    let RunningRow { raw: _, exchange, opened_at, key, scope, model, continues, frame, head, call } =
        row;
    let (begun, client) = call.unwrap_or_else(|error| {
        warn!(%exchange, %error, "the call of a lost exchange cannot be read");
        // It still counts.
        let (id, by) = (CallId::new(exchange.uuid()), AnsweredBy::Miss);
        let begun = CallRecord::new(id, opened_at, by, Api::Chat, key, model.clone());
        (begun, Packed::default())
    });
    let at = plausible(begun.at, now);
    // The last try may not have left.
    let Progress { tries, model: model_served, tokens, cost, pricing, bill, priced_on } =
        left.progress(exchange);
    let answering = model_served.as_ref().unwrap_or(&model).clone();
    let call = CallRecord { key, exchange: Some(exchange), model: answering, at, ..begun };
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
        model_served,
        ended_at: now,
        ttft: None,
        total: None,
        tries,
        tokens,
        cost: cost.at_least(),
        pricing,
        bill,
        priced_on,
        servable: false,
        recording: None,
        refs: Vec::new(),
        call: None,
    };
    let request = Packed { frame, head, ..Packed::default() };
    let seal = SealOp {
        opening: Arc::new(opening),
        sealing,
        request,
        recording: None,
        call: None,
        claim: None,
    };
    (seal, client)
}

pub(super) fn read_call(json: &[u8]) -> Result<(CallRecord, Packed), serde_json::Error> {
    let RunningCall { call, client_frame, client_head } = serde_json::from_slice(json)?;
    let client = Packed { frame: client_frame, head: client_head, ..Packed::default() };
    Ok((call, client))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::cache::CacheKey;

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
        let (read, packed) = read_call(call_json(&call, &client).as_bytes()).unwrap();
        assert_eq!((read.id, read.user, read.task), (call.id, call.user, call.task));
        assert_eq!((packed.frame, packed.head), (None, Some(head)));
    }
}
