//! Who asks, read from the headers of a request.

use http::{HeaderMap, header};

use super::{auth::Credentials, error::Rejection};
use crate::{
    answer::Asker,
    domain::cache::{Directives, bounded},
};

/// Reads who asks. The ids are those of the connection's header box (Open WebUI fills in `{{CHAT_ID}}` and the like,
/// `reference/open-webui.md` §3) and of its user-info setting; ids that it could not fill in arrive empty.
pub(super) fn asker(headers: &HeaderMap, credentials: Credentials) -> Result<Asker, Rejection> {
    let Credentials { holder, anthropic } = credentials;
    let key = anthropic.ok_or(Rejection::NoAnthropicKey)?;
    let agent = id(headers, &["user-agent"]);
    let user = id(headers, &["x-owui-user", "x-openwebui-user-id"]);
    let chat = id(headers, &["x-owui-chat", "x-openwebui-chat-id"]);
    let message = id(headers, &["x-owui-message"]);
    let named = headers.keys().any(|name| {
        let name = name.as_str();
        name.starts_with("x-owui-") || name.starts_with("x-openwebui-")
    });
    let open_webui = named || agent.as_deref().is_some_and(|agent| agent.contains("aiohttp/"));
    Ok(Asker {
        key,
        holder,
        client: if open_webui { Some("open-webui".to_owned()) } else { agent },
        open_webui,
        user,
        chat,
        message,
        user_message: id(headers, &["x-owui-user-message"]),
        task: id(headers, &["x-owui-task"]),
        directives: directives(headers),
    })
}

fn directives(headers: &HeaderMap) -> Directives {
    let values =
        headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    Directives::parse(&values.collect::<Vec<_>>().join(","))
}

/// The first of the headers that says something.
fn id(headers: &HeaderMap, names: &[&str]) -> Option<String> {
    let values = names.iter().filter_map(|name| headers.get(*name));
    // Ids need not be plain text: dropping one would put its user among those who state none.
    let texts = values.map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned());
    texts.map(|text| bounded(&text)).find(|text| !text.is_empty())
}
