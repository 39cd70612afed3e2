//! A client's request as it goes upstream, from its bytes: for fixtures, which are translated again when they are read.

use serde_json::Value;

use super::{alias::route, context::Context, request::request, thinking::BINDING_BETA};
use crate::domain::{
    anthropic::{CanonicalRequest, Version},
    openai,
};

/// What a request is translated to, as the ledger keeps it.
#[derive(Debug, Clone)]
pub struct Again {
    /// The `anthropic-version` header.
    pub version: &'static str,
    /// The values of the `anthropic-beta` header.
    pub betas: Vec<&'static str>,
    /// The texts.
    pub texts: CanonicalRequest,
    /// The end user, as the request names them.
    pub user: Option<String>,
}

/// Translates a request; `None` if that cannot be done. `task` is Open WebUI's word for it, where it is a background
/// call, and what those are asked of.
pub fn again(
    body: &[u8],
    task: Option<(&str, Option<&str>)>,
    context: &Context<'_>,
) -> Option<Again> {
    let mut parsed = openai::Request::parse(body).ok()?;
    if let Some((task, model)) = task {
        route(&mut parsed, task, model);
    }
    let translated = request(&parsed, context).ok()?;
    Some(Again {
        version: translated.version.as_str(),
        betas: translated.betas,
        texts: CanonicalRequest::of(&translated.request),
        user: parsed.end_user().map(|(_, user)| user.to_owned()),
    })
}

/// The version and the betas that a request of ours was sent with, from its body alone: the ledger does not keep them.
pub fn head_of(body: &Value) -> (Version, Vec<&'static str>) {
    let samples = ["temperature", "top_p", "top_k"].iter().any(|name| body.get(name).is_some());
    let version = if samples { Version::V20230601 } else { Version::V20261021 };
    let binds = body.pointer("/thinking/block_binding").is_some();
    (version, if binds { vec![BINDING_BETA] } else { Vec::new() })
}
