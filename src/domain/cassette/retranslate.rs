//! A fixture's request by the translation of today, and its answer for the history of later requests.

use std::sync::Arc;

use super::{Cassette, RecordedCall, RecordedRequest, RecordedResponse, wildcard};
use crate::domain::{
    anthropic::{self, StreamSummary},
    cache::KeyHolder,
    exchange::Api,
    prepare::{
        Caller, ClientRequest, ParsedRequest, PrepareContext, PrepareError, PreparedRequest,
    },
    translate::{Original, Originals},
};

/// The reason that a client's request cannot be translated.
#[derive(Debug, thiserror::Error)]
pub enum Untranslatable {
    /// A server would refuse it.
    #[error(transparent)]
    Refused(#[from] PrepareError),
    /// Its translation is no text.
    #[error("its translation cannot be read")]
    Unreadable,
    /// A wildcard stands where the translation does not keep it.
    #[error(
        "a wildcard stands for something that is not sent to Claude as it is: write it into an \"upstream\" request \
         instead of the client's"
    )]
    LostWildcard,
}

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
        Some(self.prepare_body(*api, body.clone(), caller, context, originals))
    }

    fn prepare_body(
        &self,
        api: Api,
        body: String,
        caller: &Caller,
        context: &PrepareContext<'_>,
        originals: &Originals,
    ) -> Result<PreparedRequest, PrepareError> {
        let body = body.into_bytes().into();
        let request = match api {
            Api::Chat => ClientRequest::Chat(body),
            Api::Messages => {
                let headers = self.upstream.as_ref().map(|recorded| recorded.headers.clone());
                ClientRequest::Messages(body, headers.unwrap_or_default())
            }
        };
        let parsed = ParsedRequest::parse(request, caller, context);
        parsed.and_then(|parsed| parsed.prepare(caller, context, originals))
    }

    /// The client's request as it goes upstream now, with its wildcards; `None` where there is none.
    pub fn translate(
        &self,
        context: &PrepareContext<'_>,
        originals: &Originals,
    ) -> Option<Result<RecordedRequest, Untranslatable>> {
        let client = self.client.as_ref()?;
        // The key is not used, so any holder does.
        let caller = client.caller(KeyHolder::of(""));
        let (body, hidden) = if self.is_hand_written() {
            wildcard::hide(&client.body)
        } else {
            (client.body.clone(), Vec::new())
        };
        let prepared = self.prepare_body(client.api, body, &caller, context, originals);
        Some(prepared.map_err(Untranslatable::from).and_then(|prepared| {
            let PreparedRequest { upstream, .. } = prepared;
            let request = RecordedRequest::of(upstream.chain(), upstream.headers());
            let RecordedRequest { headers, body } = request.ok_or(Untranslatable::Unreadable)?;
            let body = wildcard::restore(&body, &hidden).ok_or(Untranslatable::LostWildcard)?;
            Ok(RecordedRequest { headers, body })
        }))
    }

    /// The client's request as it goes upstream now; `None` where there is none, or it cannot be prepared.
    pub fn current_request(
        &self,
        context: &PrepareContext<'_>,
        originals: &Originals,
    ) -> Option<RecordedRequest> {
        self.translate(context, originals)?.ok()
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
