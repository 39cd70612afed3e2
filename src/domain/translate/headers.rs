//! The headers of a translated request, from its body alone: for ledgers that do not have them.

use serde_json::Value;

use super::thinking::BINDING_BETA;
use crate::domain::anthropic::{ApiHeaders, Version};

/// The headers that a request of this body was sent with.
pub fn headers_of(body: &Value) -> ApiHeaders {
    let samples = ["temperature", "top_p", "top_k"].iter().any(|name| body.get(name).is_some());
    let version = if samples { Version::V20230601 } else { Version::V20261021 };
    let binds = body.pointer("/thinking/block_binding").is_some();
    ApiHeaders::new(version.as_str(), binds.then_some(BINDING_BETA))
}
