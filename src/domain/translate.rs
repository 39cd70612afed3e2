//! Translation between the two dialects. Only this module and `prepare` know both.

mod alias;
mod annotations;
mod caching;
mod completion;
mod context;
mod error;
mod fence;
mod form;
mod format;
mod headers;
mod heal;
mod history;
mod instructions;
mod media;
mod messages;
mod note;
mod parameters;
mod request;
mod schema;
mod search;
mod stream;
mod thinking;
mod tools;
mod usage;

pub use alias::route;
pub use completion::completion;
pub use context::{Occasion, Original, Originals, TranslateContext};
pub use error::error;
pub use form::Form;
pub use headers::headers_of;
pub use heal::{Healed, Remedy, heal};
pub use history::{content_blocks, refs};
pub use note::{Error, MediaFault, Note};
pub use request::{Translated, request};
pub use stream::{Chunks, WithUsage};
pub use usage::{Bill, finish_reason, usage};
