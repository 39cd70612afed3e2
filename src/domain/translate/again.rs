//! A client's request as it goes upstream, from its bytes: for fixtures, which are translated again when they are read.

use super::request::{Context, request};
use crate::domain::{anthropic::Texts, chain::Chain, openai};

/// What a request is translated to, as the ledger keeps it: version, betas, texts. `None` if it cannot be translated.
pub fn again(
    body: &[u8],
    context: &Context<'_>,
) -> Option<(&'static str, Vec<&'static str>, Chain)> {
    let parsed = openai::Request::parse(body).ok()?;
    let translated = request(&parsed, context).ok()?;
    let chain = Texts::of(&translated.request).chain;
    Some((translated.version.as_str(), translated.betas, chain))
}
