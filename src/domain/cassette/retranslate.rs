//! A fixture's request by the translation of today, and its answer for the history of later requests.

use std::sync::Arc;

use super::{Cassette, RecordedCall, RecordedRequest, RecordedResponse};
use crate::domain::{
    anthropic::{self, StreamSummary},
    cache::KeyHolder,
    exchange::Api,
    prepare::{
        Caller, ClientRequest, ParsedRequest, PrepareContext, PrepareError, PreparedRequest,
    },
    translate::{Original, Originals},
};

impl RecordedCall {
    /// The caller that the fixture has recorded, with the client key of `holder`.
    pub fn caller(&self, holder: KeyHolder) -> Caller {
        Caller {
            client: self.program.clone(),
            open_webui: self.program.as_deref() == Some("open-webui"),
            task: self.task.clone(),
            ..Caller::new(holder)
        }
    }
}

impl Cassette {
    /// The client's request, prepared as a server does now; `None` where the fixture has none. A native client states
    /// its own headers, which stand in the recorded request.
    pub fn prepare(
        &self,
        caller: &Caller,
        context: &PrepareContext<'_>,
        originals: &Originals,
    ) -> Option<Result<PreparedRequest, PrepareError>> {
        let RecordedCall { api, body, .. } = self.client.as_ref()?;
        let body = body.clone().into_bytes().into();
        let request = match api {
            Api::Chat => ClientRequest::Chat(body),
            Api::Messages => {
                let headers = self.upstream.as_ref().map(|recorded| recorded.headers.clone());
                ClientRequest::Messages(body, headers.unwrap_or_default())
            }
        };
        let parsed = ParsedRequest::parse(request, caller, context);
        Some(parsed.and_then(|parsed| parsed.prepare(caller, context, originals)))
    }

    /// The client's request as it goes upstream now; `None` where there is none, or it cannot be prepared.
    pub fn current_request(
        &self,
        context: &PrepareContext<'_>,
        originals: &Originals,
    ) -> Option<RecordedRequest> {
        // The key is not used, so any holder does.
        let caller = self.client.as_ref()?.caller(KeyHolder::of(""));
        let PreparedRequest { upstream, .. } = self.prepare(&caller, context, originals)?.ok()?;
        RecordedRequest::of(upstream.chain(), upstream.headers())
    }

    /// The answer under every name that a later request may call it by (design §8).
    pub fn originals(&self) -> Originals {
        let recording = self.recording();
        let mut summary = StreamSummary::default();
        let read = recording.events().try_for_each(|event| summary.read(event).map(drop));
        let message = anthropic::fold(&recording);
        let (Ok(()), Ok(anthropic::Message { model, content, .. })) = (read, message) else {
            return Originals::new();
        };
        let original = Arc::new(Original { model, blocks: content });
        summary.take_refs().into_iter().map(|name| (name, Arc::clone(&original))).collect()
    }
}

impl RecordedResponse {
    /// An error before the first byte, as JSON in one line.
    pub fn error(status: u16, kind: &str, message: &str) -> Self {
        let body =
            serde_json::json!({"type": "error", "error": {"type": kind, "message": message}});
        let body = super::ResponseBody::Error(body.to_string());
        Self { status, headers: Vec::new(), delay: 0, body, cut_after: None }
    }
}
