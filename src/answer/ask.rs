//! What a client asks, in either dialect, and what the ledger and upstream need of it.

use std::sync::Arc;

use bytes::Bytes;

use super::Caller;
use crate::{
    domain::{
        anthropic::{self, CanonicalRequest, Native},
        cache,
        chain::Chain,
        exchange::Api,
        translate::{Note, Translated},
    },
    upstream,
};

/// A call's body, in the dialect of the door it came in by.
#[derive(Debug, Clone)]
pub enum Ask {
    /// OpenAI's chat completions.
    Chat(Bytes),
    /// Anthropic's own messages.
    Messages(Bytes, ApiHeaders),
}

/// Which version of the Messages API is spoken, and what else stands in the head of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ApiHeaders {
    /// `anthropic-version`, as the client sent it.
    pub version: String,
    /// `anthropic-beta`, as the client sent it; joined by commas, empty for none.
    pub betas: String,
    /// Other headers that are passed on, in the order of their names.
    pub others: Vec<(&'static str, String)>,
}

impl Ask {
    pub(super) const fn body(&self) -> &Bytes {
        match self {
            Self::Chat(body) | Self::Messages(body, _) => body,
        }
    }
}

impl ApiHeaders {
    /// The betas in an order that does not depend on the client.
    fn sorted_betas(&self) -> String {
        let mut betas: Vec<&str> =
            self.betas.split(',').map(str::trim).filter(|beta| !beta.is_empty()).collect();
        betas.sort_unstable();
        betas.dedup();
        betas.join(",")
    }

    /// What goes upstream with this head.
    pub(super) fn outgoing(self, body: Bytes, asker: &Caller) -> upstream::Request {
        let Self { version, betas, others } = self;
        let (key, scenario) = (asker.key.clone(), asker.scenario.clone());
        upstream::Request { body, version, betas, others, key, scenario }
    }

    /// All but the version, for the key: in an order that does not depend on the client.
    fn features(&self) -> String {
        let mut features = self.sorted_betas();
        for (name, value) in &self.others {
            // No header has a line feed in it.
            features.push('\n');
            features.extend([name, ": ", value]);
        }
        features
    }
}

/// What upstream is asked.
pub(super) enum UpstreamRequest {
    /// What a chat completion became.
    Chat { translated: Box<Translated>, texts: CanonicalRequest },
    /// What the client wrote itself.
    Messages { native: Box<Native>, spoken: ApiHeaders },
}

impl UpstreamRequest {
    pub(super) const fn door(&self) -> Api {
        match self {
            Self::Chat { .. } => Api::Chat,
            Self::Messages { .. } => Api::Messages,
        }
    }

    pub(super) fn model(&self) -> &str {
        match self {
            Self::Chat { translated, .. } => &translated.request.model,
            Self::Messages { native, .. } => &native.model,
        }
    }

    /// The request as we wrote it, where it is ours to change.
    pub(super) fn request(&self) -> Option<Arc<anthropic::Request>> {
        match self {
            Self::Chat { translated, .. } => Some(Arc::clone(&translated.request)),
            Self::Messages { .. } => None,
        }
    }

    pub(super) fn body(&self) -> Bytes {
        match self {
            Self::Chat { texts, .. } => texts.body().into(),
            Self::Messages { native, .. } => native.body.clone().into(),
        }
    }

    /// What stands in the head of the request.
    pub(super) fn spoken(&self) -> ApiHeaders {
        match self {
            Self::Chat { translated, .. } => ApiHeaders {
                version: translated.version.as_str().to_owned(),
                betas: translated.betas.join(","),
                others: Vec::new(),
            },
            Self::Messages { spoken, .. } => spoken.clone(),
        }
    }

    /// The same for the key: the version, and the rest in an order that does not depend on the client.
    pub(super) fn key_headers(&self) -> (String, String) {
        match self {
            Self::Chat { .. } => {
                let ApiHeaders { version, betas, others: _ } = self.spoken();
                (version, betas)
            }
            Self::Messages { spoken, .. } => (spoken.version.clone(), spoken.features()),
        }
    }

    pub(super) const fn chain(&self) -> &Chain {
        match self {
            Self::Chat { texts, .. } => &texts.chain,
            Self::Messages { native, .. } => &native.chain,
        }
    }

    /// Whether the answer may rest on more than what is asked.
    pub(super) fn reaches_out(&self) -> bool {
        match self {
            Self::Chat { translated, .. } => cache::reaches_out(&translated.request),
            Self::Messages { native, .. } => native.reaches_out,
        }
    }

    pub(super) fn notes(&self) -> &[Note] {
        match self {
            Self::Chat { translated, .. } => &translated.notes,
            Self::Messages { .. } => &[],
        }
    }
}
