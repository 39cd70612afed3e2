//! The end of an exchange as a line: the row that it will have, and the bodies that no committed row has.

use std::{borrow::Cow, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::call::JournaledCall;
use crate::{
    domain::{
        anthropic::ApiHeaders,
        cache::CacheKey,
        chain::Hash,
        exchange::{AnsweredBy, Api, CallId, ExchangeId, UnixMillis},
    },
    store::{
        batch::{CallOp, SealOp},
        chain::{Bodies, Packed},
        record::{CallRecord, Opening, Sealing},
    },
};

/// The sealing of an exchange.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct JournaledSealing<'a> {
    exchange: ExchangeId,
    key: Hash,
    scope: Cow<'a, str>,
    model: Cow<'a, str>,
    opened_at: UnixMillis,
    continues: Option<ExchangeId>,
    breakpoints: Option<Cow<'a, str>>,
    version: Option<Cow<'a, str>>,
    betas: Option<Cow<'a, str>>,
    sealing: Cow<'a, Sealing>,
    request: JournaledRequest<'a>,
    recording: Option<Packet<'a>>,
    /// `None`: another exchange continues the answer.
    call: Option<JournaledCall<'a>>,
    client: JournaledRequest<'a>,
}

/// The rows of a request.
#[derive(Debug, Default, Serialize, Deserialize)]
struct JournaledRequest<'a> {
    frame: Option<Hash>,
    head: Option<Hash>,
    frames: Vec<(Hash, Packet<'a>)>,
    nodes: Vec<(Hash, Option<Hash>, Packet<'a>)>,
    blobs: Vec<(Hash, Packet<'a>)>,
    pieces: Vec<(Hash, usize, Hash)>,
}

/// Bytes as Base64.
#[derive(Debug)]
struct Packet<'a>(Cow<'a, [u8]>);

impl<'a> From<&'a [u8]> for Packet<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self(Cow::Borrowed(bytes))
    }
}

impl Serialize for Packet<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Packet<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let bytes = BASE64_STANDARD.decode(text.as_bytes()).map_err(de::Error::custom)?;
        Ok(Self(Cow::Owned(bytes)))
    }
}

impl<'a> JournaledSealing<'a> {
    pub(super) fn of(op: &'a SealOp) -> Self {
        let SealOp { opening, sealing, request, recording, call, claim: _ } = op;
        let Opening {
            exchange,
            key,
            scope,
            model,
            opened_at,
            continues,
            breakpoints,
            headers,
            chain: _,
            call: _,
        } = &**opening;
        let headers = headers.as_ref();
        Self {
            exchange: *exchange,
            key: Hash::from_bytes(*key.as_bytes()),
            scope: scope.into(),
            model: model.into(),
            opened_at: *opened_at,
            continues: *continues,
            breakpoints: breakpoints.as_deref().map(Cow::Borrowed),
            version: headers.map(|headers| headers.version().into()),
            betas: headers.map(|headers| headers.wire_betas().into()),
            sealing: Cow::Borrowed(sealing),
            request: JournaledRequest::of(request),
            recording: recording.as_deref().map(Packet::from),
            call: call.as_ref().map(|CallOp { record, client }| {
                JournaledCall::of(record, (client.frame, client.head))
            }),
            client: call
                .as_ref()
                .map(|call| JournaledRequest::of(&call.client))
                .unwrap_or_default(),
        }
    }

    /// The totals, and requests of which all rows are committed.
    pub(super) fn without_bodies(self) -> Self {
        let Self { request, client, .. } = self;
        let (request, client) = (request.without_bodies(), client.without_bodies());
        Self { request, recording: None, client, ..self }
    }

    pub(super) const fn exchange(&self) -> ExchangeId {
        self.exchange
    }

    /// The operation that the line is of.
    pub(super) fn seal(self) -> SealOp {
        let key = CacheKey::from_bytes(*self.key.as_bytes());
        let model = self.model.into_owned();
        let call =
            self.call.map(|call| CallOp { record: call.call().0, client: self.client.packed() });
        let opening = Opening {
            exchange: self.exchange,
            key,
            scope: self.scope.into_owned(),
            opened_at: self.opened_at,
            continues: self.continues,
            breakpoints: self.breakpoints.map(Cow::into_owned),
            headers: self.version.map(|version| ApiHeaders::new(version, self.betas.as_deref())),
            chain: None,
            // Only the finished call has a row.
            call: CallRecord::new(
                CallId::new(self.exchange.uuid()),
                self.opened_at,
                AnsweredBy::Miss,
                Api::Chat,
                key,
                model.clone(),
            ),
            model,
        };
        SealOp {
            opening: Arc::new(opening),
            sealing: self.sealing.into_owned(),
            request: self.request.packed(),
            recording: self.recording.map(|packet| packet.0.into_owned()),
            call,
            claim: None,
        }
    }
}

impl<'a> JournaledRequest<'a> {
    fn of(packed: &'a Packed) -> Self {
        let Packed { frame, head, bodies: Bodies { frames, nodes, blobs, pieces }, rest: _ } =
            packed;
        let base64 = |body: &'a Vec<u8>| Packet::from(&**body);
        Self {
            frame: *frame,
            head: *head,
            frames: frames.iter().map(|(hash, body)| (*hash, base64(body))).collect(),
            nodes: nodes
                .iter()
                .map(|(hash, parent, body)| (*hash, *parent, base64(body)))
                .collect(),
            blobs: blobs.iter().map(|(hash, body)| (*hash, base64(body))).collect(),
            pieces: pieces.clone(),
        }
    }

    fn without_bodies(self) -> Self {
        let Self { frames, nodes, blobs, pieces, .. } = &self;
        let has_bodies =
            !(frames.is_empty() && nodes.is_empty() && blobs.is_empty() && pieces.is_empty());
        if has_bodies { Self::default() } else { self }
    }

    fn packed(self) -> Packed {
        let Self { frame, head, frames, nodes, blobs, pieces } = self;
        let bytes = |packet: Packet<'_>| packet.0.into_owned();
        let bodies = Bodies {
            frames: frames.into_iter().map(|(hash, body)| (hash, bytes(body))).collect(),
            nodes: nodes
                .into_iter()
                .map(|(hash, parent, body)| (hash, parent, bytes(body)))
                .collect(),
            blobs: blobs.into_iter().map(|(hash, body)| (hash, bytes(body))).collect(),
            pieces,
        };
        Packed { frame, head, bodies, rest: None }
    }
}
