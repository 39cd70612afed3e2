//! The headers of a translated request, from its body alone: for ledgers that do not have them.

use serde_json::Value;

use super::{fallbacks::FALLBACK_BETA, thinking::BINDING_BETA};
use crate::domain::anthropic::{ApiHeaders, Version};

/// The headers that a request of this body was sent with.
pub fn headers_of(body: &Value) -> ApiHeaders {
    let samples = ["temperature", "top_p", "top_k"].iter().any(|name| body.get(name).is_some());
    let version = if samples { Version::V20230601 } else { Version::V20261021 };
    let betas =
        [("/thinking/block_binding", BINDING_BETA), ("/fallbacks", FALLBACK_BETA)].into_iter();
    let betas = betas.filter_map(|(field, beta)| body.pointer(field).map(|_| beta));
    ApiHeaders::new(version.as_str(), betas)
}
