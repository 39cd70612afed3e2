//! The request that goes upstream, in the parts that are hashed, kept and sent.

use std::sync::Arc;

use bytes::Bytes;

use crate::domain::{
    anthropic::{self, ApiHeaders, CanonicalRequest, Native},
    cache,
    chain::{Chain, Hash},
    exchange::Api,
    translate::{Note, Translated},
};

/// A request to the Messages API.
#[derive(Debug)]
pub enum UpstreamRequest {
    /// A translated chat completion.
    Chat {
        /// The request with its headers and notes.
        translated: Box<Translated>,
        /// The same request as texts.
        canonical: CanonicalRequest,
    },
    /// A native request, which goes as the client wrote it.
    Messages {
        /// The request.
        native: Box<Native>,
        /// The client's headers.
        headers: ApiHeaders,
    },
}

impl UpstreamRequest {
    /// The dialect of the client.
    pub const fn api(&self) -> Api {
        match self {
            Self::Chat { .. } => Api::Chat,
            Self::Messages { .. } => Api::Messages,
        }
    }

    /// The model.
    pub fn model(&self) -> &str {
        match self {
            Self::Chat { translated, .. } => &translated.request.model,
            Self::Messages { native, .. } => &native.model,
        }
    }

    /// The translated request; `None` for a native one, which is not ours to change.
    pub fn request(&self) -> Option<Arc<anthropic::Request>> {
        match self {
            Self::Chat { translated, .. } => Some(Arc::clone(&translated.request)),
            Self::Messages { .. } => None,
        }
    }

    /// The most tokens that the answer may have; `None`: unknown.
    pub fn max_tokens(&self) -> Option<u32> {
        match self {
            Self::Chat { translated, .. } => Some(translated.request.max_tokens),
            Self::Messages { native, .. } => native.max_tokens,
        }
    }

    /// The body, as JSON.
    pub fn body(&self) -> Bytes {
        match self {
            Self::Chat { canonical, .. } => canonical.body().into(),
            Self::Messages { native, .. } => native.body.clone().into(),
        }
    }

    /// The headers.
    pub const fn headers(&self) -> &ApiHeaders {
        match self {
            Self::Chat { translated, .. } => &translated.headers,
            Self::Messages { headers, .. } => headers,
        }
    }

    /// The texts that are kept.
    pub const fn chain(&self) -> &Chain {
        match self {
            Self::Chat { canonical, .. } => &canonical.chain,
            Self::Messages { native, .. } => &native.chain,
        }
    }

    /// The hash that is the same for all requests of the same meaning.
    pub const fn digest(&self) -> &Hash {
        match self {
            Self::Chat { canonical, .. } => &canonical.digest,
            Self::Messages { native, .. } => &native.digest,
        }
    }

    /// Checks whether the answer may rest on more than the request, such as the web.
    pub fn external_data(&self) -> bool {
        match self {
            Self::Chat { translated, .. } => cache::external_data(&translated.request),
            Self::Messages { native, .. } => native.external_data,
        }
    }

    /// Notes of what the translation dropped or changed.
    pub fn notes(&self) -> &[Note] {
        match self {
            Self::Chat { translated, .. } => &translated.notes,
            Self::Messages { .. } => &[],
        }
    }
}
