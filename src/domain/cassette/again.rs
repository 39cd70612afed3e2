//! Fixtures against the translation of today.

use std::sync::Arc;

use super::{Asked, Cassette, Client, Response};
use crate::domain::{
    alias::Aliases,
    anthropic::{self, Native, Tally},
    catalog::Catalog,
    exchange::Door,
    translate::{self, Context, Occasion, Original, Originals},
};

impl Client {
    /// What the request goes upstream as, by the translation of today. `None` where it cannot be translated.
    pub fn asks(
        &self,
        catalog: &Catalog,
        aliases: &Aliases,
        originals: &Originals,
    ) -> Option<Asked> {
        match self.door {
            Door::Chat => {
                let occasion = match (&self.task, self.program.as_deref()) {
                    (Some(_), _) => Occasion::Task,
                    (None, Some("open-webui")) => Occasion::Chat,
                    (None, _) => Occasion::Plain,
                };
                let context = Context { catalog, aliases, occasion, originals };
                let (version, betas, chain) = translate::again(self.body.as_bytes(), &context)?;
                let betas = betas.into_iter().map(str::to_owned).collect();
                Asked::of(&chain, version.to_owned(), betas)
            }
            Door::Messages => {
                let native = Native::parse(self.body.as_bytes()).ok()?;
                Asked::of(
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
        originals: &Originals,
    ) -> Option<Asked> {
        let now = self.client.as_ref()?.asks(catalog, aliases, originals)?;
        match (&self.client, &self.upstream) {
            (Some(Client { door: Door::Messages, .. }), Some(then)) => {
                Some(Asked { version: then.version.clone(), betas: then.betas.clone(), ..now })
            }
            _ => Some(now),
        }
    }

    /// The answer under all the names that a later request may call it by (design §8).
    pub fn originals(&self) -> Originals {
        let recording = self.recording();
        let mut tally = Tally::default();
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
        let said = super::Said::Error(body.to_string());
        Self { status, headers: Vec::new(), delay: 0, said, cut_after: None }
    }
}
