//! Operations that are queued for the writer, and their rows: a batch is written by table, many rows a statement.

use std::{collections::HashSet, sync::Arc};

use super::{
    chain::{Bodies, FileNumber, Packed},
    columns::cost_word,
    error::WriteError,
    insert::{Insert, Sink},
    invalidate::Clear,
    record::{CallRecord, Opening, Sealing},
    refusals::CountRefusals,
    replicas::{Claimed, Word, notifications},
    users::NamedUser,
};
use crate::domain::{
    anthropic::ApiHeaders,
    exchange::{AnswerRef, CallId, Cost, ExchangeId, OwnerId},
};

/// Memory that an operation takes beside its bodies, roughly.
const OVERHEAD: usize = 1024;

/// The parameter of a column after the first. It has no number: SQLite would look it up by its name.
macro_rules! parameter {
    ($column:ident) => {
        ", ?"
    };
}

/// Inserts `$rows` into `$table`: each column stands beside the value that is bound to it.
macro_rules! insert {
    ($sink:expr, $table:ident, $rows:expr, $tail:literal, |$row:pat_param| {
        $first:ident: $first_value:expr, $($column:ident: $value:expr,)*
    }) => {
        $sink.insert(
            &Insert {
                table: stringify!($table),
                columns: &[stringify!($first), $(stringify!($column),)*],
                tail: $tail,
                sqlite: concat!(
                    "insert into ", stringify!($table),
                    " (", stringify!($first), $(", ", stringify!($column),)* ") values (?", $(parameter!($column),)* ")",
                    $tail,
                ),
            },
            $rows,
            |values, row| {
                let $row = row;
                values.add($first_value)?;
                $(values.add($value)?;)*
                Ok(())
            },
        )?
    };
}

/// A queued write.
#[derive(Debug)]
pub(super) enum Op {
    Open(Box<OpenOp>),
    /// Shared with its caller, who may have to journal it.
    Seal(Arc<SealOp>),
    Call(Box<CallOp>),
    Clear(Clear),
    Refusals(CountRefusals),
    Name(Box<NamedUser>),
    /// The end of a claim whose exchange is not sealed.
    EndClaim(Claimed),
    /// Writes nothing: once it is committed, so is everything that was queued before it.
    Mark,
}

/// The opening of an exchange.
#[derive(Debug)]
pub(super) struct OpenOp {
    pub(super) opening: Arc<Opening>,
    /// The upstream request.
    pub(super) request: Packed,
    /// The client's request.
    pub(super) client: Packed,
    /// The column `running.call`.
    pub(super) call_json: String,
}

/// The sealing of an exchange.
#[derive(Debug, Clone)]
pub(super) struct SealOp {
    pub(super) opening: Arc<Opening>,
    pub(super) sealing: Sealing,
    /// The upstream request, packed again, since the opening may have lost its bodies: empty, once they are persisted.
    pub(super) request: Packed,
    /// Encoded and compressed.
    pub(super) recording: Option<Vec<u8>>,
    /// The call that ends with the exchange.
    pub(super) call: Option<CallOp>,
    /// The claim that ends with the exchange.
    pub(super) claim: Option<Claimed>,
}

/// A call, with its client's request.
#[derive(Debug, Clone)]
pub(super) struct CallOp {
    pub(super) record: CallRecord,
    pub(super) client: Packed,
}

impl SealOp {
    /// The bytes that could be dropped without losing a row of totals.
    pub(super) fn body_bytes(&self) -> usize {
        self.recording.as_ref().map_or(0, Vec::len)
            + self.request.bytes()
            + self.call.as_ref().map_or(0, |call| call.client.bytes())
    }
}

impl Op {
    fn packed(&self) -> [Option<&Packed>; 2] {
        match self {
            Self::Open(open) => [Some(&open.request), Some(&open.client)],
            Self::Seal(seal) => [Some(&seal.request), seal.call.as_ref().map(|call| &call.client)],
            Self::Call(call) => [Some(&call.client), None],
            _ => [None, None],
        }
    }

    /// The rows of requests that this operation brings.
    pub(super) fn bodies(&self) -> impl Iterator<Item = &Bodies> {
        self.packed().into_iter().flatten().map(|packed| &packed.bodies)
    }

    /// The bytes that could be dropped without losing a row of totals.
    pub(super) fn body_bytes(&self) -> usize {
        match self {
            Self::Seal(seal) => seal.body_bytes(),
            _ => self.packed().into_iter().flatten().map(Packed::bytes).sum(),
        }
    }

    /// The memory it takes.
    pub(super) fn bytes(&self) -> usize {
        OVERHEAD + self.body_bytes()
    }

    /// Tells whether its commit must survive the end of the power, as what it seals must. What is journaled later relies on
    /// bodies that are committed.
    pub(super) fn must_survive(&self) -> bool {
        matches!(self, Self::Seal(_))
            || self.bodies().any(|bodies| bodies.hashes().next().is_some())
    }

    /// Called when it is committed.
    pub(super) fn committed(&self) {
        if let Self::Clear(clear) = self {
            clear.committed();
        }
    }

    /// Its kind and id, for the log.
    pub(super) fn name(&self) -> (&'static str, String) {
        match self {
            Self::Open(open) => ("opening", open.opening.exchange.to_string()),
            Self::Seal(seal) => ("sealing", seal.opening.exchange.to_string()),
            Self::Call(call) => ("call", call.record.id.to_string()),
            Self::Clear(_) => ("clearing", String::new()),
            Self::Refusals(_) => ("refusals", String::new()),
            Self::Name(named) => ("name", named.user.clone()),
            Self::EndClaim(claimed) => ("end of a claim", claimed.exchange.to_string()),
            Self::Mark => ("mark", String::new()),
        }
    }

    /// Drops everything but the totals.
    pub(super) fn drop_bodies(&mut self) {
        self.packed_mut().into_iter().flatten().for_each(Packed::drop_bodies);
        if let Self::Seal(seal) = self {
            Arc::make_mut(seal).recording = None;
        }
    }

    /// Drops the requests with the references to their rows, which may not be there; the second time the recording, too.
    /// Returns `false` if only totals are left.
    pub(super) fn strip(&mut self) -> bool {
        let mut dropped = false;
        for packed in self.packed_mut().into_iter().flatten() {
            dropped |= packed.frame.is_some();
            *packed = Packed::default();
        }
        match self {
            Self::Seal(seal) if !dropped => Arc::make_mut(seal).recording.take().is_some(),
            _ => dropped,
        }
    }

    /// Drops the requests that refer to rows of another file than `file`.
    pub(super) fn drop_unless_in(&mut self, file: FileNumber) {
        if self.packed().into_iter().flatten().any(|packed| packed.is_for_another(file)) {
            self.packed_mut().into_iter().flatten().for_each(|packed| packed.drop_unless_in(file));
        }
    }

    fn packed_mut(&mut self) -> [Option<&mut Packed>; 2] {
        match self {
            Self::Open(open) => [Some(&mut open.request), Some(&mut open.client)],
            Self::Seal(seal) => {
                let SealOp { request, call, .. } = Arc::make_mut(seal);
                [Some(request), call.as_mut().map(|call| &mut call.client)]
            }
            Self::Call(call) => [Some(&mut call.client), None],
            _ => [None, None],
        }
    }

    /// The exchange of which it writes a row.
    pub(super) fn exchange(&self) -> Option<ExchangeId> {
        match self {
            Self::Open(open) => Some(open.opening.exchange),
            Self::Seal(seal) => Some(seal.opening.exchange),
            _ => None,
        }
    }

    /// The call that it writes.
    pub(super) fn call(&self) -> Option<CallId> {
        match self {
            Self::Seal(seal) => seal.call.as_ref().map(|call| call.record.id),
            Self::Call(call) => Some(call.record.id),
            _ => None,
        }
    }
}

/// Writes a batch inside the transaction of `sink`.
pub(super) fn write(sink: &mut Sink<'_>, owner: OwnerId, ops: &[&Op]) -> Result<(), WriteError> {
    let bodies: Vec<&Bodies> = ops.iter().flat_map(|op| op.bodies()).collect();
    insert_bodies(sink, &bodies)?;

    let (mut opens, mut seals, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    let (mut names, mut claims) = (Vec::new(), Vec::new());
    for op in ops {
        match op {
            Op::Open(open) => opens.push(&**open),
            Op::Seal(seal) => {
                seals.push(&**seal);
                calls.extend(&seal.call);
                claims.extend(seal.claim);
            }
            Op::Call(call) => calls.push(&**call),
            Op::Refusals(counts) => counts.run(sink)?,
            Op::Name(user) => names.push(&**user),
            Op::EndClaim(claimed) => claims.push(*claimed),
            // A clearing has a transaction of its own.
            Op::Clear(_) | Op::Mark => {}
        }
    }

    // An exchange that is opened and sealed in one batch is never seen running.
    let opened: HashSet<ExchangeId> = opens.iter().map(|open| open.opening.exchange).collect();
    let sealed: HashSet<ExchangeId> = seals.iter().map(|seal| seal.opening.exchange).collect();
    let ended: Vec<ExchangeId> = sealed.difference(&opened).copied().collect();
    opens.retain(|open| !sealed.contains(&open.opening.exchange));
    sink.each("delete from running where exchange = $1", &ended, |values, id| values.add(id))?;
    end_claims(sink, &claims)?;
    insert_running(sink, owner, &opens)?;
    insert_exchanges(sink, &seals)?;
    insert_calls(sink, &calls)?;
    let refs: Vec<(&SealOp, &AnswerRef)> = seals
        .iter()
        .flat_map(|&seal| seal.sealing.refs.iter().map(move |name| (seal, name)))
        .collect();
    insert!(sink, answer_ref, &refs, " on conflict do nothing", |(seal, name)| {
        scope: &*seal.opening.scope,
        ref: *name,
        exchange: seal.opening.exchange,
    });
    insert_names(sink, &names)?;
    tell(sink, owner, &seals, &claims)
}

/// Only processes that share a ledger make claims.
fn end_claims(sink: &mut Sink<'_>, claims: &[Claimed]) -> Result<(), WriteError> {
    const SQL: &str = "delete from claim where exchange in (select value from json_each($1))";
    if claims.is_empty() {
        return Ok(());
    }
    let exchanges: Vec<ExchangeId> = claims.iter().map(|claimed| claimed.exchange).collect();
    sink.each(SQL, &[serde_json::json!(exchanges).to_string()], |values, list| values.add(list))
}

/// Tells the processes that share the ledger what is new.
fn tell(
    sink: &mut Sink<'_>,
    owner: OwnerId,
    seals: &[&SealOp],
    claims: &[Claimed],
) -> Result<(), WriteError> {
    if !matches!(sink, Sink::Postgres(_)) {
        return Ok(());
    }
    let answers = seals.iter().filter(|seal| seal.sealing.servable && seal.recording.is_some());
    let answers = answers.map(|seal| Word::Answer(seal.opening.key));
    let ended = claims.iter().map(|claimed| Word::Ended(claimed.key));
    let words: Vec<Word> = answers.chain(ended).collect();
    let news = notifications(owner, &words);
    sink.each("select tell($1)", &news, |values, text| values.add(text))
}

fn insert_bodies(sink: &mut Sink<'_>, bodies: &[&Bodies]) -> Result<(), WriteError> {
    let frames: Vec<_> = bodies.iter().flat_map(|bodies| &bodies.frames).collect();
    insert!(sink, frame, &frames, " on conflict do nothing", |(hash, body)| {
        hash: hash,
        body: &**body,
    });
    let nodes: Vec<_> = bodies.iter().flat_map(|bodies| &bodies.nodes).collect();
    insert!(sink, node, &nodes, " on conflict do nothing", |(hash, parent, body)| {
        hash: hash,
        parent: parent.as_ref(),
        body: &**body,
    });
    let blobs: Vec<_> = bodies.iter().flat_map(|bodies| &bodies.blobs).collect();
    insert!(sink, blob, &blobs, " on conflict do nothing", |(hash, body)| {
        hash: hash,
        body: &**body,
    });
    let pieces: Vec<_> = bodies.iter().flat_map(|bodies| &bodies.pieces).collect();
    insert!(sink, piece, &pieces, " on conflict do nothing", |(owner, at, blob)| {
        owner: owner,
        at: i64::try_from(*at).unwrap_or(i64::MAX),
        blob: blob,
    });
    Ok(())
}

fn insert_running(
    sink: &mut Sink<'_>,
    owner_id: OwnerId,
    opens: &[&OpenOp],
) -> Result<(), WriteError> {
    insert!(sink, running, opens, "", |OpenOp { opening, request, call_json, .. }| {
        exchange: opening.exchange,
        owner: owner_id,
        opened_at: opening.opened_at,
        key: opening.key,
        scope: &*opening.scope,
        model: &*opening.model,
        continues: opening.continues,
        frame: request.frame,
        head: request.head,
        call: &**call_json,
    });
    Ok(())
}

fn insert_exchanges(sink: &mut Sink<'_>, seals: &[&SealOp]) -> Result<(), WriteError> {
    insert!(sink, exchange, seals, "", |SealOp { opening, sealing, request, recording, .. }| {
        id: opening.exchange,
        key: opening.key,
        scope: &*opening.scope,
        frame: request.frame,
        head: request.head,
        continues: opening.continues,
        model_asked: &*opening.model,
        model_served: sealing.model_served.as_deref(),
        outcome: sealing.outcome,
        stop_reason: sealing.stop_reason.as_deref(),
        error_kind: sealing.error_kind.as_deref(),
        error: sealing.error.as_deref(),
        status: sealing.status.map(i64::from),
        upstream_request: sealing.upstream_request.as_deref(),
        opened_at: opening.opened_at,
        ended_at: sealing.ended_at,
        ttft_us: sealing.ttft,
        total_us: sealing.total,
        input: count(sealing.tokens.input),
        cache_write_5m: count(sealing.tokens.cache_write_5m),
        cache_write_1h: count(sealing.tokens.cache_write_1h),
        cache_read: count(sealing.tokens.cache_read),
        output: count(sealing.tokens.output),
        thinking: count(sealing.tokens.thinking),
        searches: count(sealing.tokens.searches),
        cost: sealing.cost.amount(),
        cost_is: cost_word(sealing.cost),
        priced_on: sealing.priced_on.as_deref(),
        servable: sealing.servable && recording.is_some(),
        breakpoints: opening.breakpoints.as_deref(),
        recording: recording.as_deref(),
        version: opening.headers.as_ref().map(ApiHeaders::version),
        betas: opening.headers.as_ref().map(ApiHeaders::wire_betas),
        tries: i64::from(sealing.tries),
        priced_as: sealing.pricing.priced_as.as_deref(),
        estimate: sealing.pricing.estimate,
        bill: sealing.bill.as_deref(),
    });
    Ok(())
}

fn insert_calls(sink: &mut Sink<'_>, calls: &[&CallOp]) -> Result<(), WriteError> {
    insert!(sink, call, calls, "", |CallOp { record: call, client }| {
        id: call.id,
        exchange: call.exchange,
        at: call.at,
        answered_by: call.answered_by,
        api: call.api,
        stream: call.stream,
        user_id: call.user.as_deref(),
        chat_id: call.chat.as_deref(),
        message_id: call.message.as_deref(),
        user_message_id: call.user_message.as_deref(),
        task: call.task.as_deref(),
        client: call.client.as_deref(),
        client_key: call.client_key.as_deref(),
        status: call.status.map(i64::from),
        outcome: call.outcome,
        ttft_us: call.ttft,
        total_us: call.total,
        model: &*call.model,
        input: count(call.tokens.input),
        cache_write_5m: count(call.tokens.cache_write_5m),
        cache_write_1h: count(call.tokens.cache_write_1h),
        cache_read: count(call.tokens.cache_read),
        output: count(call.tokens.output),
        thinking: count(call.tokens.thinking),
        searches: count(call.tokens.searches),
        cost: call.cost.amount(),
        cost_is: cost_word(call.cost),
        saved: call.saved.amount().unwrap_or_default(),
        notes: call.notes.as_deref(),
        client_frame: client.frame,
        client_head: client.head,
        key: call.key,
        error_kind: call.error_kind.as_deref(),
        saved_is: if call.saved == Cost::Unpriced { "unpriced" } else { "exact" },
        tries: i64::from(call.tries),
        priced_as: call.pricing.priced_as.as_deref(),
        estimate: call.pricing.estimate,
        tags: call.tags.json(),
        reason: call.reason.as_deref(),
    });
    Ok(())
}

/// What a call does not state of a name stays. One by one, since a batch may name a user twice.
fn insert_names(sink: &mut Sink<'_>, names: &[&NamedUser]) -> Result<(), WriteError> {
    const SQL: &str = "insert into user_name (id, name, email, seen_at) values ($1, $2, $3, $4) \
         on conflict (id) do update set name = coalesce(excluded.name, user_name.name), \
         email = coalesce(excluded.email, user_name.email), seen_at = excluded.seen_at";
    sink.each(SQL, names, |values, NamedUser { user, name, at }| {
        values.add(user)?;
        values.add(name.name.as_deref())?;
        values.add(name.email.as_deref())?;
        values.add(*at)
    })
}

fn count(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX)
}
