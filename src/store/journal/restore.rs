//! Exchanges and calls that a dead process had ended but not committed, written to the ledger at the next start.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use tracing::error;

use super::line::Left;
use crate::{
    domain::{
        chain::Hash,
        exchange::{AnsweredBy, Cost, ExchangeId, NanoDollars, Outcome, OwnerId, Tokens},
    },
    store::{
        Durability, Error,
        batch::{self, CallOp, Op, SealOp},
        chain::Packed,
        connection::Connection,
        error::WriteError,
        insert::Sink,
        query::{query_as, query_scalar},
        record::CallRecord,
        recovery,
        row::from_row,
        write::WriteConnection,
    },
};

/// How far the call that an exchange was begun for may lie from one that joined it.
const A_DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The end of the call that an exchange was begun for.
struct AskersEnd {
    exchange: Option<ExchangeId>,
    outcome: Outcome,
    error_kind: Option<String>,
    model: String,
    status: Option<i64>,
    tokens: Tokens,
    cost: Cost,
}

from_row!(AskersEnd {
    exchange,
    outcome,
    error_kind,
    model,
    status,
    tokens: columns,
    cost: columns,
});

/// Writes the ended exchanges that are left and not in the ledger, with their calls; returns their number. After this
/// they are not running any more.
pub(in crate::store) async fn restore_sealings(
    conn: &mut Connection<'_>,
    writer: &mut WriteConnection,
    owner: OwnerId,
    sealings: Vec<SealOp>,
) -> Result<usize, Error> {
    // In the order in which they began: one may continue another.
    let sealings: BTreeMap<ExchangeId, SealOp> =
        sealings.into_iter().map(|seal| (seal.opening.exchange, seal)).collect();
    let mut ops = Vec::new();
    for (exchange, mut seal) in sealings {
        if recovery::has_ended(conn, exchange).await? {
            // Another process may have sealed it as lost.
            let call = seal.call.as_ref().map(|call| call.record.id);
            recovery::regain(conn, &[exchange], call.as_slice()).await?;
            if recovery::has_ended(conn, exchange).await? {
                continue;
            }
        }
        keep_if_whole(conn, &mut seal.request).await?;
        if let Some(call) = &mut seal.call {
            keep_if_whole(conn, &mut call.client).await?;
        }
        ops.push(Op::Seal(Arc::new(seal)));
    }
    Ok(write_each(writer, owner, ops).await?)
}

/// Drops a request of which rows are neither here nor in the ledger, which may be another one now.
async fn keep_if_whole(conn: &mut Connection<'_>, request: &mut Packed) -> Result<(), Error> {
    let Packed { frame, head, bodies, .. } = &*request;
    let frame = frame.filter(|frame| bodies.frames.iter().all(|(hash, _)| hash != frame));
    let stem = match bodies.nodes.first() {
        Some((_, parent, _)) => *parent,
        None => *head,
    };
    let here: HashSet<&Hash> = bodies.blobs.iter().map(|(hash, _)| hash).collect();
    let mut is_whole = has_bodies(conn, frame, stem).await?;
    for (_, _, blob) in bodies.pieces.iter().filter(|(.., blob)| !here.contains(blob)) {
        const BLOB: &str = "select count(*) from blob where hash = $1";
        let found: i64 = query_scalar(BLOB).bind(*blob).fetch_one(&mut *conn).await?;
        is_whole &= found > 0;
    }
    if !is_whole {
        *request = Packed::default();
    }
    Ok(())
}

/// Writes the calls that are left and not in the ledger; returns their number. The exchanges are sealed already.
pub(in crate::store) async fn restore_calls(
    conn: &mut Connection<'_>,
    writer: &mut WriteConnection,
    owner: OwnerId,
    left: Left,
) -> Result<usize, Error> {
    let mut newest = HashMap::new();
    for call in left.calls {
        // A call that was journaled twice ends as the later line says.
        newest.insert(call.0.id, call);
    }
    let mut ops = Vec::new();
    for (id, (mut call, frame, head)) in newest {
        if recovery::has_call(conn, id).await? {
            continue;
        }
        if call.answered_by == AnsweredBy::Collapsed {
            call = joined(conn, call).await?;
        }
        // The bodies of a request that no other call brought were queued with the call.
        let (frame, head) =
            if has_bodies(conn, frame, head).await? { (frame, head) } else { (None, None) };
        let client = Packed { frame, head, ..Packed::default() };
        ops.push(Op::Call(Box::new(CallOp { record: call, client })));
    }
    // In the order of their arrival.
    ops.sort_by_key(|op| if let Op::Call(call) = op { Some(call.record.id) } else { None });
    Ok(write_each(writer, owner, ops).await?)
}

/// Writes each operation on its own, as much of it as the ledger does not refuse; returns the number of those that are
/// written.
async fn write_each(
    writer: &mut WriteConnection,
    owner: OwnerId,
    ops: Vec<Op>,
) -> Result<usize, WriteError> {
    let mut written = 0;
    for mut op in ops {
        loop {
            let shared = Arc::new(op);
            let taken = Arc::clone(&shared);
            let work = move |sink: &mut Sink<'_>| batch::write(sink, owner, &[&taken]);
            let ended = writer.transaction(Durability::Full, work).await;
            op = Arc::into_inner(shared).expect("the writer has dropped its share");
            match ended {
                Ok(()) => {
                    written += 1;
                    break;
                }
                Err(error) if error.is_refusal() => {
                    if op.strip() {
                        continue;
                    }
                    let (kind, id) = op.name();
                    error!(%error, kind, id, "the ledger refused a row of the journal; it is lost");
                    break;
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(written)
}

async fn has_bodies(
    conn: &mut Connection<'_>,
    frame: Option<Hash>,
    head: Option<Hash>,
) -> Result<bool, Error> {
    const SQL: &str = "select ($1 is null or exists (select 1 from frame where hash = $1)) \
         and ($2 is null or exists (select 1 from node where hash = $2))";
    Ok(query_scalar(SQL).bind(frame).bind(head).fetch_one(conn).await?)
}

/// Ends a call that had joined an exchange as the call ended that the exchange was begun for: the last of its parts may
/// be another exchange.
async fn joined(conn: &mut Connection<'_>, call: CallRecord) -> Result<CallRecord, Error> {
    const SQL: &str = "select exchange, outcome, error_kind, model, status, \
         input, cache_write_5m, cache_write_1h, cache_read, output, thinking, searches, cost, cost_is \
         from call where at between $2 and $3 and answered_by in ('miss', 'refresh', 'bypass') and $1 in ( \
         with recursive part (id, continues, position) as ( \
         select id, continues, 1 from exchange where id = call.exchange \
         union all \
         select exchange.id, exchange.continues, part.position + 1 \
         from part join exchange on exchange.id = part.continues where part.position < 64 \
         ) select id from part)";
    let asker: Option<AskersEnd> = query_as(SQL)
        .bind(call.exchange)
        .bind(call.at.0.saturating_sub(A_DAY_MS))
        .bind(call.at.0.saturating_add(A_DAY_MS))
        .fetch_optional(conn)
        .await?;
    let Some(AskersEnd { exchange, outcome, error_kind, model, status, tokens, cost }) = asker
    else {
        return Ok(call);
    };
    let free = Cost::Exact(NanoDollars(0));
    let saved = if outcome == Outcome::Complete { cost } else { free };
    Ok(CallRecord {
        exchange,
        outcome,
        error_kind,
        model,
        status: status.and_then(|status| u16::try_from(status).ok()),
        tokens,
        cost: free,
        saved,
        ..call
    })
}
