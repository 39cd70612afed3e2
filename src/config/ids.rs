//! Which headers say who asks.

use std::str::FromStr;

use http::HeaderName;

use super::{Error, layers::Layers};

/// The headers that carry each id; the first that says something counts (`reference/open-webui.md` §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdHeaders {
    /// Open WebUI's word for a background call.
    pub task: Vec<HeaderName>,
    /// The chat.
    pub chat: Vec<HeaderName>,
    /// The message that is answered into.
    pub message: Vec<HeaderName>,
    /// The user's message that is answered.
    pub user_message: Vec<HeaderName>,
    /// The user.
    pub user: Vec<HeaderName>,
}

impl Default for IdHeaders {
    /// Those of the line for the connection's header box, and Open WebUI's own.
    fn default() -> Self {
        let named =
            |names: &[&'static str]| names.iter().copied().map(HeaderName::from_static).collect();
        Self {
            task: named(&["x-owui-task"]),
            chat: named(&["x-owui-chat", "x-openwebui-chat-id"]),
            message: named(&["x-owui-message", "x-openwebui-message-id"]),
            user_message: named(&["x-owui-user-message"]),
            user: named(&["x-owui-user", "x-openwebui-user-id"]),
        }
    }
}

pub(super) fn id_headers(layers: &Layers) -> Result<IdHeaders, Error> {
    let expected =
        "a list such as chat=X-Chat,user=X-User, of task, chat, message, user-message and user";
    Ok(layers.read_as("id_headers", expected, read)?.unwrap_or_default())
}

/// `chat=X-Chat,user=X-User`. A header that is named replaces those that carry the id by default.
fn read(list: &str) -> Option<IdHeaders> {
    let mut headers = IdHeaders::default();
    for entry in list.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (id, name) = entry.split_once('=')?;
        let names = match id.trim() {
            "task" => &mut headers.task,
            "chat" => &mut headers.chat,
            "message" => &mut headers.message,
            "user-message" | "user_message" => &mut headers.user_message,
            "user" => &mut headers.user,
            _ => return None,
        };
        *names = vec![HeaderName::from_str(name.trim()).ok()?];
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_is_named_replaces_the_default_ones() {
        let headers = read("chat=X-Chat, user-message = x-um").unwrap();
        assert_eq!(headers.chat, ["x-chat"]);
        assert_eq!(headers.user_message, ["x-um"]);
        assert_eq!(headers.user, IdHeaders::default().user);
        for wrong in ["chat", "chat=", "chat=a b", "room=x"] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
    }
}
