//! Notes about changes, and errors, of a translation. They stand apart from the rules, so that all texts for people are
//! in one place.
//!
//! Neither repeats the client's texts, except names: notes and errors are logged, bodies are not.

use serde::Serialize;

/// Something was dropped or changed on the way to Anthropic. Never silent: logged, and kept with the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The path in the client's request, such as `messages[0].content`.
    pub field: String,
    /// The change.
    pub what: String,
}

/// Maximum number of notes of one translation.
const MOST_NOTES: usize = 100;

/// The notes of one translation, in the order in which they arose.
#[derive(Debug, Default)]
pub(super) struct Notes(Vec<Note>);

impl Notes {
    /// Adds a note.
    pub(super) fn add(&mut self, field: impl Into<String>, what: impl Into<String>) {
        if self.0.len() >= MOST_NOTES {
            self.0.truncate(MOST_NOTES);
            let what = "there are more notes than are kept".to_owned();
            return self.0.push(Note { field: String::new(), what });
        }
        self.0.push(Note { field: field.into(), what: what.into() });
    }

    /// Adds a note for the first place only: a long history has many.
    pub(super) fn once(&mut self, field: impl FnOnce() -> String, what: &str) {
        if !self.0.iter().any(|note| note.what == what) {
            self.add(field(), what);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes back the notes after the first `len`, about a change that was not made.
    pub(super) fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    pub(super) fn into_vec(self) -> Vec<Note> {
        self.0
    }
}

/// The reason why a request cannot be translated. The client has to change the request, so it is always a 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No model is named.
    #[error("`model` is empty: name a model, for example one of those that GET /v1/models lists")]
    NoModel,
    /// There are no messages, or none with anything in it.
    #[error("`messages` has nothing to answer: send at least one message that is not blank")]
    NothingToAnswer,
    /// A part of an object is missing.
    #[error("`{field}` is missing: add it")]
    Missing {
        /// The path to it.
        field: String,
    },
    /// A number outside its range.
    #[error("`{field}` must be {range}")]
    OutOfRange {
        /// The path to it.
        field: &'static str,
        /// The allowed values.
        range: &'static str,
    },
    /// Claude has nothing of the kind.
    #[error("`{field}`: {reason}")]
    Impossible {
        /// The path to it.
        field: String,
        /// The reason, and what to do instead.
        reason: &'static str,
    },
    /// An image that cannot be sent.
    #[error("`{field}` {fault}")]
    Image {
        /// The path to its URL.
        field: String,
        /// The reason.
        fault: MediaFault,
    },
    /// A file that cannot be sent.
    #[error("`{field}` {fault}")]
    File {
        /// The path to its bytes, or to what stands for them.
        field: String,
        /// The reason.
        fault: MediaFault,
    },
    /// A content part of an unknown type.
    #[error(
        "`{field}`: content parts of type `{kind}` are not supported; use `text`, `image_url` or `file`"
    )]
    UnknownPart {
        /// The path to its type.
        field: String,
        /// Its type.
        kind: String,
    },
    /// A name that Anthropic refuses.
    #[error("`{field}` is empty: name the tool")]
    ToolName {
        /// The path to the name.
        field: String,
    },
    /// Parameters that Anthropic refuses.
    #[error(
        "`{field}` must be a JSON schema whose `type` is `object`; leave it out if there are none"
    )]
    Schema {
        /// The path to the schema.
        field: String,
    },
    /// Two tools of one name.
    #[error("`{field}`: another tool is also named `{name}`, but differs; names must be unique")]
    DuplicateTool {
        /// The path to the second name.
        field: String,
        /// The name.
        name: String,
    },
    /// A tool that must be called does not exist.
    #[error("`tool_choice` names the tool `{name}`, which is not among `tools`")]
    UnknownTool {
        /// Its name.
        name: String,
    },
    /// A tool must be called, but there is none.
    #[error("`tool_choice` asks for a tool call, but `tools` is empty: send the tools as well")]
    ChoiceWithoutTools,
    /// The client has left.
    #[error("the client has left")]
    Cancelled,
    /// A choice that is none of OpenAI's.
    #[error("`tool_choice` must be `none`, `auto`, `required`, or an object that names a function")]
    UnknownChoice,
}

/// The reason why an image or a file cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MediaFault {
    /// Nothing, or a blank text.
    #[error("is empty: send a base64 data URL or an https URL")]
    Empty,
    /// Neither bytes nor an id.
    #[error("has no file: send `file_data`, a base64 data URL")]
    Absent,
    /// A text that is not a URL.
    #[error("is not a URL: send a data: or https: URL")]
    NotAUrl,
    /// `ftp:`, `file:`, …
    #[error("has a scheme that is not supported: send a data: or https: URL")]
    Scheme,
    /// A `data:` URL in another encoding.
    #[error(
        "is not a base64 data URL: write it as data:image/png;base64,… with the type of the file"
    )]
    NotBase64,
    /// Base64 that cannot be decoded.
    #[error("is not valid base64: it may be cut off")]
    BadBase64,
    /// An id of another provider.
    #[error(
        "is not the id of a file at Anthropic, which begins with `file_`: send the bytes as `file_data`"
    )]
    Id,
    /// BMP, TIFF, SVG, HEIC, … in place of an image.
    #[error("is not a PNG, JPEG, GIF or WebP image: convert it to one of these")]
    NotAnImage,
    /// A word processor's file, an archive, …
    #[error(
        "is not a PDF, a UTF-8 text, or a PNG, JPEG, GIF or WebP image: convert it to one of these"
    )]
    Format,
    /// A text in place of an image.
    #[error(
        "does not fit the type of its part: use `image` for images and `document` for other files"
    )]
    OtherKind,
    /// A picture that cannot be shrunk.
    #[error(
        "is over Anthropic's limit of 5 MiB for a picture, and cannot be shrunk: send a smaller one"
    )]
    TooManyBytes,
    /// A picture that cannot be shrunk.
    #[error(
        "is over Anthropic's limit for a picture, 8000 pixels a side (2000 where there are more than 20 pictures), and cannot be shrunk: send a smaller one"
    )]
    TooManyPixels,
    /// An unknown type of source.
    #[error("is of a type that is not supported: use `base64`, `url`, `text` or `file`")]
    Source,
}

impl MediaFault {
    /// True for a picture over a limit.
    pub const fn is_excess(self) -> bool {
        matches!(self, Self::TooManyBytes | Self::TooManyPixels)
    }
}

impl Error {
    /// The path to the field at fault, in the client's request.
    pub fn param(&self) -> &str {
        match self {
            Self::NoModel => "model",
            Self::NothingToAnswer | Self::Cancelled => "messages",
            Self::OutOfRange { field, .. } => field,
            Self::Missing { field }
            | Self::Impossible { field, .. }
            | Self::Image { field, .. }
            | Self::File { field, .. }
            | Self::UnknownPart { field, .. }
            | Self::ToolName { field }
            | Self::Schema { field }
            | Self::DuplicateTool { field, .. } => field,
            Self::UnknownTool { .. } | Self::ChoiceWithoutTools | Self::UnknownChoice => {
                "tool_choice"
            }
        }
    }

    /// OpenAI's `code` for it (`reference/anthropic-api.md` §8.4).
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoModel | Self::NothingToAnswer | Self::Missing { .. } => {
                "missing_required_parameter"
            }
            Self::Impossible { .. } => "unsupported_parameter",
            Self::Image { .. } => "invalid_image_url",
            Self::OutOfRange { .. }
            | Self::File { .. }
            | Self::UnknownPart { .. }
            | Self::ToolName { .. }
            | Self::Schema { .. }
            | Self::DuplicateTool { .. }
            | Self::UnknownTool { .. }
            | Self::ChoiceWithoutTools
            | Self::Cancelled
            | Self::UnknownChoice => "invalid_value",
        }
    }
}
