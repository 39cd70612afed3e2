//! Fixtures against the translation of today.

use std::sync::Arc;

use super::{Cassette, ClientRequest, RecordedRequest, Response};
use crate::domain::{
    alias::Aliases,
    anthropic::{self, Native, StreamSummary},
    catalog::Catalog,
    exchange::Api,
    translate::{self, Context, Occasion, Original, Originals},
};

impl ClientRequest {
    /// What the request is for, as the server understood it.
    pub fn occasion(&self) -> Occasion {
        match (&self.task, self.program.as_deref()) {
            (Some(_), _) => Occasion::Task,
            (None, Some("open-webui")) => Occasion::Chat,
            (None, _) => Occasion::Plain,
        }
    }

    /// What the request goes upstream as, by the translation of today. `None` where it cannot be translated.
    pub fn asks(
        &self,
        catalog: &Catalog,
        aliases: &Aliases,
        task_model: Option<&str>,
        originals: &Originals,
    ) -> Option<RecordedRequest> {
        match self.api {
            Api::Chat => {
                let occasion = self.occasion();
                let context = Context { catalog, aliases, occasion, originals };
                let route = self.task.as_deref().map(|task| (task, task_model));
                let translate::Again { version, betas, texts, .. } =
                    translate::again(self.body.as_bytes(), route, &context)?;
                let betas = betas.into_iter().map(str::to_owned).collect();
                RecordedRequest::of(&texts.chain, version.to_owned(), betas)
            }
            Api::Messages => {
                let native = Native::parse(self.body.as_bytes()).ok()?;
                RecordedRequest::of(
                    &native.chain,
                    anthropic::Version::default().as_str().to_owned(),
                    Vec::new(),
                )
            }
        }
    }
}

impl Cassette {
    /// The request that its answer is found by: as it was recorded, else as the client's is translated now. Whoever
    /// speaks Anthropic's dialect says the version and the betas itself.
    pub fn asked_now(
        &self,
        catalog: &Catalog,
        aliases: &Aliases,
        task_model: Option<&str>,
        originals: &Originals,
    ) -> Option<RecordedRequest> {
        let now = self.client.as_ref()?.asks(catalog, aliases, task_model, originals)?;
        match (&self.client, &self.upstream) {
            (Some(ClientRequest { api: Api::Messages, .. }), Some(then)) => Some(RecordedRequest {
                version: then.version.clone(),
                betas: then.betas.clone(),
                ..now
            }),
            _ => Some(now),
        }
    }

    /// The answer under all the names that a later request may call it by (design §8).
    pub fn originals(&self) -> Originals {
        let recording = self.recording();
        let mut tally = StreamSummary::default();
        let read = recording.events().try_for_each(|event| tally.read(event));
        let message = anthropic::fold(&recording);
        let (Ok(()), Ok(anthropic::Message { model, content, .. })) = (read, message) else {
            return Originals::new();
        };
        let original = Arc::new(Original { model, blocks: content });
        tally.take_refs().into_iter().map(|name| (name, Arc::clone(&original))).collect()
    }
}

impl Response {
    /// An error before the first byte, as JSON in one line.
    pub fn error(status: u16, kind: &str, message: &str) -> Self {
        let body =
            serde_json::json!({"type": "error", "error": {"type": kind, "message": message}});
        let body = super::ResponseBody::Error(body.to_string());
        Self { status, headers: Vec::new(), delay: 0, body, cut_after: None }
    }
}
