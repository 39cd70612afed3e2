//! Request headers that identify the caller.

use std::str::FromStr;

use http::HeaderName;

use super::parsers::Expected;

/// Request headers that carry each id; the first non-empty one counts (`reference/open-webui.md` §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdHeaders {
    /// Name of Open WebUI's background task.
    pub task: Vec<HeaderName>,
    /// Chat.
    pub chat: Vec<HeaderName>,
    /// Message that the answer becomes.
    pub message: Vec<HeaderName>,
    /// User's message that is answered.
    pub user_message: Vec<HeaderName>,
    /// User.
    pub user: Vec<HeaderName>,
    /// Name of the user.
    pub user_name: Vec<HeaderName>,
    /// Mail of the user.
    pub user_email: Vec<HeaderName>,
}

impl Default for IdHeaders {
    /// The headers of `HEADER_BOX`, and those that Open WebUI sends itself.
    fn default() -> Self {
        let named =
            |names: &[&'static str]| names.iter().copied().map(HeaderName::from_static).collect();
        Self {
            task: named(&["x-owui-task"]),
            chat: named(&["x-owui-chat", "x-openwebui-chat-id"]),
            message: named(&["x-owui-message", "x-openwebui-message-id"]),
            user_message: named(&["x-owui-user-message"]),
            user: named(&["x-owui-user", "x-openwebui-user-id"]),
            user_name: named(&["x-owui-user-name", "x-openwebui-user-name"]),
            user_email: named(&["x-owui-user-email", "x-openwebui-user-email"]),
        }
    }
}

/// `chat=X-Chat,user=X-User`. A header replaces the default ones of its id.
pub(super) fn id_headers(list: &str) -> Result<IdHeaders, Expected> {
    read(list).ok_or(Expected(
        "a list such as chat=X-Chat,user=X-User, of task, chat, message, user-message, user, user-name and user-email",
    ))
}

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
            "user-name" | "user_name" => &mut headers.user_name,
            "user-email" | "user_email" => &mut headers.user_email,
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
