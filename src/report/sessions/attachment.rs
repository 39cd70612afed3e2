//! A picture or document of a turn, without its bytes.

use serde::Serialize;

use crate::domain::{
    cassette::{Attachment, AttachmentContent},
    chain::Hash,
};

/// A picture or document of a turn. [`crate::report::attachment`] reads its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttachmentReport {
    /// `image`, `document`, `audio`, or the word of the request for another kind.
    pub kind: String,
    /// The name of the file.
    pub name: Option<String>,
    /// The name of its content; `None`: the request does not have the bytes.
    pub hash: Option<Hash>,
    /// The media type, by the first bytes, else as the request declares it.
    pub media_type: Option<String>,
    /// Number of bytes.
    pub bytes: Option<usize>,
    /// Where it is instead: a URL, or the id of a file at Anthropic.
    pub elsewhere: Option<String>,
}

impl AttachmentReport {
    pub(super) fn of(attachment: &Attachment) -> Self {
        let (media_type, bytes, elsewhere) = match &attachment.content {
            AttachmentContent::Bytes { media_type, bytes } => {
                (Some(media_type.clone()), Some(bytes.len()), None)
            }
            AttachmentContent::Elsewhere(place) => (None, None, Some(place.clone())),
        };
        let (kind, name) = (attachment.kind.clone(), attachment.name.clone());
        Self { kind, name, hash: attachment.hash(), media_type, bytes, elsewhere }
    }
}
