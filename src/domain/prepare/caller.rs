//! The caller of a request, as far as known: facts only, no secret.

use crate::domain::{
    cache::{CacheDirectives, IdentityProof, KeyHolder, UNVERIFIED},
    tags::Tags,
    user_name::UserName,
};

/// The client that makes a call, the user behind it, and the place of the call in a chat.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The holder of the client key that the call came under.
    pub holder: KeyHolder,
    /// The name of the client key.
    pub key_name: Option<String>,
    /// The client program.
    pub client: Option<String>,
    /// True for Open WebUI, which shows usage even where it does not ask for it.
    pub open_webui: bool,
    /// The user that the headers state.
    pub user: Option<String>,
    /// The name of that user, where it may be kept.
    pub user_name: Option<UserName>,
    /// The trust in the user's id.
    pub vouched: IdentityProof,
    /// True if the client has chats and says that the call belongs to none.
    pub outside_chats: bool,
    /// The chat.
    pub chat: Option<String>,
    /// True for a temporary chat, of which nothing is kept.
    pub temporary: bool,
    /// The message that is answered into.
    pub message: Option<String>,
    /// The user's message that is answered.
    pub user_message: Option<String>,
    /// Open WebUI's word for the background task; empty for a task that is to be recognised by its prompt.
    pub task: Option<String>,
    /// The labels that the headers give the call.
    pub tags: Tags,
    /// `Cache-Control` of the request.
    pub directives: CacheDirectives,
}

/// Largest length of an id, in bytes.
const LONGEST_ID: usize = 1024;

/// The reason why an id that a client states is refused. Ids are kept byte by byte, so that no two users share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// It is too long.
    #[error("is longer than {LONGEST_ID} bytes")]
    Long,
    /// It cannot be shown.
    #[error("has control characters")]
    Control,
    /// Its bytes are lost, or of an unknown character set.
    #[error("is not text in UTF-8")]
    NotText,
}

/// Checks an id of a user, a chat, a message or a task.
pub fn check_id(id: &str) -> Result<(), InvalidId> {
    if id.len() > LONGEST_ID {
        Err(InvalidId::Long)
    } else if id.contains(char::REPLACEMENT_CHARACTER) {
        Err(InvalidId::NotText)
    } else if id.contains(char::is_control) {
        Err(InvalidId::Control)
    } else {
        Ok(())
    }
}

/// A client's way to tell its chats apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chats {
    /// The call states its chat.
    Named,
    /// The client has chats, and the call does not state one.
    Nameless,
    /// The client has no chats.
    None,
}

impl Caller {
    /// Returns whether the answer goes into a message of a chat in Open WebUI, which a person sees: its id says so.
    pub const fn writes_message(&self) -> bool {
        self.open_webui && self.message.is_some()
    }

    /// A caller of whom only the client key is known.
    pub fn new(holder: KeyHolder) -> Self {
        Self {
            holder,
            key_name: None,
            client: None,
            open_webui: false,
            user: None,
            user_name: None,
            vouched: IdentityProof::Verified,
            outside_chats: false,
            chat: None,
            temporary: false,
            message: None,
            user_message: None,
            task: None,
            tags: Tags::default(),
            directives: CacheDirectives::default(),
        }
    }

    /// Checks that the caller does not forbid keeping the call.
    pub const fn is_kept(&self) -> bool {
        !self.directives.no_store && !self.temporary
    }

    /// The user in the books: a name that is only claimed has no share in those of the user.
    pub fn user_in_books(&self, user: Option<String>) -> Option<String> {
        match self.vouched {
            IdentityProof::Verified => user,
            IdentityProof::Unverified => user.map(|_| UNVERIFIED.to_owned()),
        }
    }

    pub(super) const fn chats(&self) -> Chats {
        match &self.chat {
            Some(_) => Chats::Named,
            None if self.open_webui && !self.outside_chats => Chats::Nameless,
            None => Chats::None,
        }
    }
}
