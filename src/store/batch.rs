//! What is queued for the writer, and how a batch of it becomes rows: by table, many rows a statement.

use std::{collections::HashSet, sync::Arc};

use sqlx::{QueryBuilder, Sqlite, SqliteConnection, query_builder::Separated};

use super::{
    chain::{Bodies, Packed},
    invalidate::Clear,
    record::{CallRecord, Opening, Sealing, cost_columns},
};
use crate::domain::{
    anthropic::ApiHeaders,
    chain::Hash,
    exchange::{AnswerRef, Cost, ExchangeId, OwnerId, Tokens},
};

/// What an operation takes in memory beside its bodies, roughly.
const OVERHEAD: usize = 1024;

/// One thing to write.
#[derive(Debug)]
pub(super) enum Op {
    Open(Box<Open>),
    Seal(Box<Seal>),
    Call(Box<Call>),
    Clear(Clear),
    /// Nothing: once it is committed, all that was queued before it is.
    Mark,
}

/// An exchange begins.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) opening: Arc<Opening>,
    pub(super) asked: Packed,
    pub(super) client: Packed,
    /// The call as it was begun, as JSON.
    pub(super) call: String,
}

/// An exchange ended.
#[derive(Debug)]
pub(super) struct Seal {
    pub(super) opening: Arc<Opening>,
    pub(super) sealing: Sealing,
    /// Packed again, since the opening may have lost its bodies: nothing, once they are known.
    pub(super) asked: Packed,
    pub(super) client: Packed,
    /// Encoded and compressed.
    pub(super) recording: Option<Vec<u8>>,
}

/// A call without an exchange of its own.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) record: CallRecord,
    pub(super) client: Packed,
}

impl Op {
    fn packed(&self) -> [Option<&Packed>; 2] {
        match self {
            Self::Open(open) => [Some(&open.asked), Some(&open.client)],
            Self::Seal(seal) => [Some(&seal.asked), Some(&seal.client)],
            Self::Call(call) => [Some(&call.client), None],
            Self::Clear(_) | Self::Mark => [None, None],
        }
    }

    /// The rows of requests that this operation brings.
    pub(super) fn bodies(&self) -> impl Iterator<Item = &Bodies> {
        self.packed().into_iter().flatten().map(|packed| &packed.bodies)
    }

    /// The bytes that could be dropped without losing a row of totals.
    pub(super) fn body_bytes(&self) -> usize {
        let recording = match self {
            Self::Seal(seal) => seal.recording.as_ref().map_or(0, Vec::len),
            Self::Open(_) | Self::Call(_) | Self::Clear(_) | Self::Mark => 0,
        };
        recording + self.packed().into_iter().flatten().map(Packed::bytes).sum::<usize>()
    }

    /// What it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        OVERHEAD + self.body_bytes()
    }

    /// It is in the database.
    pub(super) fn committed(&self) {
        if let Self::Clear(clear) = self {
            clear.committed();
        }
    }

    /// What it is, for the log.
    pub(super) fn name(&self) -> (&'static str, String) {
        match self {
            Self::Open(open) => ("opening", open.opening.exchange.to_string()),
            Self::Seal(seal) => ("sealing", seal.opening.exchange.to_string()),
            Self::Call(call) => ("call", call.record.id.to_string()),
            Self::Clear(_) => ("clearing", String::new()),
            Self::Mark => ("mark", String::new()),
        }
    }

    /// Lets go of everything but the totals.
    pub(super) fn drop_bodies(&mut self) {
        match self {
            Self::Open(open) => {
                open.asked.drop_bodies();
                open.client.drop_bodies();
            }
            Self::Seal(seal) => {
                let Seal { asked, client, recording, .. } = &mut **seal;
                asked.drop_bodies();
                client.drop_bodies();
                *recording = None;
            }
            Self::Call(call) => call.client.drop_bodies(),
            Self::Clear(_) | Self::Mark => {}
        }
    }
}

/// Writes a batch inside the transaction that `conn` is in.
pub(super) async fn insert_all(
    conn: &mut SqliteConnection,
    owner: OwnerId,
    ops: &[&Op],
) -> Result<(), sqlx::Error> {
    let bodies: Vec<&Bodies> = ops.iter().flat_map(|op| op.bodies()).collect();
    insert_bodies(conn, &bodies).await?;

    let (mut opens, mut seals, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    let mut clears = Vec::new();
    for op in ops {
        match op {
            Op::Open(open) => opens.push(&**open),
            Op::Seal(seal) => {
                seals.push(&**seal);
                calls.extend(seal.sealing.call.as_ref().map(|call| (call, &seal.client)));
            }
            Op::Call(call) => calls.push((&call.record, &call.client)),
            Op::Clear(clear) => clears.push(clear),
            Op::Mark => {}
        }
    }

    // An exchange that is opened and sealed in one batch was never seen running. The others leave `running` before
    // new ones enter: they may hand on a collapse key.
    let opened: HashSet<ExchangeId> = opens.iter().map(|open| open.opening.exchange).collect();
    let sealed: HashSet<ExchangeId> = seals.iter().map(|seal| seal.opening.exchange).collect();
    let ended: Vec<ExchangeId> = sealed.difference(&opened).copied().collect();
    opens.retain(|open| !sealed.contains(&open.opening.exchange));
    delete_running(conn, &ended).await?;
    insert_running(conn, owner, &opens).await?;
    insert_exchanges(conn, &seals).await?;
    insert_calls(conn, &calls).await?;
    let refs: Vec<(&Seal, &AnswerRef)> = seals
        .iter()
        .flat_map(|&seal| seal.sealing.refs.iter().map(move |name| (seal, name)))
        .collect();
    let into = "insert into answer_ref (scope, ref, exchange) ";
    insert(conn, into, &refs, " on conflict do nothing", |row, (seal, name)| {
        row.push_bind(&*seal.opening.scope);
        row.push_bind(name.as_str());
        row.push_bind(seal.opening.exchange.to_string());
    })
    .await?;
    for clear in clears {
        clear.run(conn).await?;
    }
    Ok(())
}

async fn insert_bodies(conn: &mut SqliteConnection, bodies: &[&Bodies]) -> Result<(), sqlx::Error> {
    let tail = " on conflict do nothing";
    let frames: Vec<_> = bodies.iter().flat_map(|bodies| &bodies.frames).collect();
    insert(conn, "insert into frame (hash, body) ", &frames, tail, |row, (hash, body)| {
        row.push_bind(bytes(hash));
        row.push_bind(&**body);
    })
    .await?;
    let nodes: Vec<_> = bodies.iter().flat_map(|bodies| &bodies.nodes).collect();
    insert(conn, "insert into node (hash, parent, body) ", &nodes, tail, |row, node| {
        let (hash, parent, body) = node;
        row.push_bind(bytes(hash));
        row.push_bind(parent.as_ref().map(bytes));
        row.push_bind(&**body);
    })
    .await?;
    let blobs: Vec<_> = bodies.iter().flat_map(|bodies| &bodies.blobs).collect();
    insert(conn, "insert into blob (hash, body) ", &blobs, tail, |row, (hash, body)| {
        row.push_bind(bytes(hash));
        row.push_bind(&**body);
    })
    .await?;
    let pieces: Vec<_> = bodies.iter().flat_map(|bodies| &bodies.pieces).collect();
    insert(conn, "insert into piece (owner, at, blob) ", &pieces, tail, |row, piece| {
        let (owner, at, blob) = piece;
        row.push_bind(bytes(owner));
        row.push_bind(i64::try_from(*at).unwrap_or(i64::MAX));
        row.push_bind(bytes(blob));
    })
    .await
}

async fn delete_running(
    conn: &mut SqliteConnection,
    ended: &[ExchangeId],
) -> Result<(), sqlx::Error> {
    for chunk in powers_of_two(ended) {
        let mut query = QueryBuilder::<Sqlite>::new("delete from running where exchange in (");
        let mut ids = query.separated(", ");
        for id in chunk {
            ids.push_bind(id.to_string());
        }
        query.push(")").build().execute(&mut *conn).await?;
    }
    Ok(())
}

async fn insert_running(
    conn: &mut SqliteConnection,
    owner: OwnerId,
    opens: &[&Open],
) -> Result<(), sqlx::Error> {
    let into = "insert into running \
        (exchange, collapse_key, owner, opened_at, key, scope, model, continues, frame, head, call) ";
    insert(conn, into, opens, "", |row, Open { opening, asked, call, .. }| {
        row.push_bind(opening.exchange.to_string());
        row.push_bind(opening.collapse.as_ref().map(|key| &key.as_bytes()[..]));
        row.push_bind(owner.to_string());
        row.push_bind(opening.opened_at.0);
        row.push_bind(&opening.key.as_bytes()[..]);
        row.push_bind(&*opening.scope);
        row.push_bind(&*opening.model);
        row.push_bind(opening.continues.map(|id| id.to_string()));
        row.push_bind(asked.frame.as_ref().map(bytes));
        row.push_bind(asked.head.as_ref().map(bytes));
        row.push_bind(&**call);
    })
    .await
}

async fn insert_exchanges(conn: &mut SqliteConnection, seals: &[&Seal]) -> Result<(), sqlx::Error> {
    let into = "insert into exchange (id, key, scope, frame, head, continues, model_asked, model_served, \
        outcome, stop_reason, error_kind, error, status, upstream_request, opened_at, ended_at, ttft_us, total_us, \
        input, cache_write_5m, cache_write_1h, cache_read, output, thinking, searches, \
        cost, cost_is, priced_on, servable, breakpoints, recording, version, betas) ";
    insert(conn, into, seals, "", |row, Seal { opening, sealing, asked, recording, .. }| {
        let (cost, cost_is) = cost_columns(sealing.cost);
        row.push_bind(opening.exchange.to_string());
        row.push_bind(&opening.key.as_bytes()[..]);
        row.push_bind(&*opening.scope);
        row.push_bind(asked.frame.as_ref().map(bytes));
        row.push_bind(asked.head.as_ref().map(bytes));
        row.push_bind(opening.continues.map(|id| id.to_string()));
        row.push_bind(&*opening.model);
        row.push_bind(sealing.model_served.as_deref());
        row.push_bind(sealing.outcome.into_str());
        row.push_bind(sealing.stop_reason.as_deref());
        row.push_bind(sealing.error_kind.as_deref());
        row.push_bind(sealing.error.as_deref());
        row.push_bind(sealing.status.map(i64::from));
        row.push_bind(sealing.upstream_request.as_deref());
        row.push_bind(opening.opened_at.0);
        row.push_bind(sealing.ended_at.0);
        row.push_bind(sealing.ttft.map(|time| time.0));
        row.push_bind(sealing.total.map(|time| time.0));
        push_tokens(row, &sealing.tokens);
        row.push_bind(cost);
        row.push_bind(cost_is);
        row.push_bind(sealing.priced_on.as_deref());
        row.push_bind(sealing.servable && recording.is_some());
        row.push_bind(opening.breakpoints.as_deref());
        row.push_bind(recording.as_deref());
        let head = opening.head.as_ref();
        row.push_bind(head.map(ApiHeaders::version));
        row.push_bind(head.map(ApiHeaders::wire_betas));
    })
    .await
}

async fn insert_calls(
    conn: &mut SqliteConnection,
    calls: &[(&CallRecord, &Packed)],
) -> Result<(), sqlx::Error> {
    let into = "insert into call (id, exchange, at, answered_by, door, stream, user_id, chat_id, message_id, \
        user_message_id, task, client, status, outcome, ttft_us, total_us, model, \
        input, cache_write_5m, cache_write_1h, cache_read, output, thinking, searches, \
        cost, cost_is, saved, notes, client_frame, client_head, key, error_kind, saved_is) ";
    insert(conn, into, calls, "", |row, &(call, client)| {
        let (cost, cost_is) = cost_columns(call.cost);
        row.push_bind(call.id.to_string());
        row.push_bind(call.exchange.map(|id| id.to_string()));
        row.push_bind(call.at.0);
        row.push_bind(call.answered_by.into_str());
        row.push_bind(call.door.into_str());
        row.push_bind(call.stream);
        row.push_bind(call.user.as_deref());
        row.push_bind(call.chat.as_deref());
        row.push_bind(call.message.as_deref());
        row.push_bind(call.user_message.as_deref());
        row.push_bind(call.task.as_deref());
        row.push_bind(call.client.as_deref());
        row.push_bind(call.status.map(i64::from));
        row.push_bind(call.outcome.into_str());
        row.push_bind(call.ttft.map(|time| time.0));
        row.push_bind(call.total.map(|time| time.0));
        row.push_bind(&*call.model);
        push_tokens(row, &call.tokens);
        row.push_bind(cost);
        row.push_bind(cost_is);
        row.push_bind(call.saved.amount().unwrap_or_default().0);
        row.push_bind(call.notes.as_deref());
        row.push_bind(client.frame.as_ref().map(bytes));
        row.push_bind(client.head.as_ref().map(bytes));
        row.push_bind(&call.key.as_bytes()[..]);
        row.push_bind(call.error_kind.as_deref());
        row.push_bind(if call.saved == Cost::Unpriced { "unpriced" } else { "exact" });
    })
    .await
}

fn push_tokens(row: &mut Line<'_>, tokens: &Tokens) {
    let Tokens { input, cache_write_5m, cache_write_1h, cache_read, output, thinking, searches } =
        *tokens;
    for count in [input, cache_write_5m, cache_write_1h, cache_read, output, thinking, searches] {
        row.push_bind(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

fn bytes(hash: &Hash) -> &[u8] {
    hash.as_bytes()
}

/// One row of a multi-row `values`.
type Line<'a> = Separated<'a, Sqlite, &'static str>;

async fn insert<T>(
    conn: &mut SqliteConnection,
    into: &'static str,
    rows: &[T],
    tail: &'static str,
    bind: impl Fn(&mut Line<'_>, &T),
) -> Result<(), sqlx::Error> {
    for chunk in powers_of_two(rows) {
        let mut query = QueryBuilder::<Sqlite>::new(into);
        query.push_values(chunk, |mut row, item| bind(&mut row, item));
        query.push(tail).build().execute(&mut *conn).await?;
    }
    Ok(())
}

/// Slices of 64, 32, … 1 rows, so that few different statements are ever prepared.
fn powers_of_two<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = 1 << rows.len().min(64).checked_ilog2()?;
        let (chunk, rest) = rows.split_at(size);
        rows = rest;
        Some(chunk)
    })
}

#[cfg(test)]
mod tests {
    use super::powers_of_two;

    #[test]
    fn rows_are_cut_into_powers_of_two() {
        let sizes = |n| powers_of_two(&vec![0; n]).map(<[i32]>::len).collect::<Vec<_>>();
        assert_eq!(sizes(0), [0; 0]);
        assert_eq!(sizes(7), [4, 2, 1]);
        assert_eq!(sizes(150), [64, 64, 16, 4, 2]);
    }
}
