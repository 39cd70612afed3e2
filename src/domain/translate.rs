//! Translation between the dialects. Only this module and `prepare` see both.

mod alias;
mod caching;
mod cited;
mod completion;
mod error;
mod fence;
mod form;
mod format;
mod headers;
mod heal;
mod history;
mod media;
mod messages;
mod note;
mod parameters;
mod request;
mod schema;
mod search;
mod stream;
mod strict;
mod thinking;
mod tools;
mod usage;

pub use alias::route;
pub use completion::completion;
pub use error::error;
pub use form::Form;
pub use headers::headers_of;
pub use heal::{Healed, Remedy, heal};
pub use history::{refs, said};
pub use note::{Error, FileFault, ImageFault, Note};
pub use request::{Context, Occasion, Original, Originals, Translated, request};
pub use stream::{Chunks, WithUsage};
pub use usage::{Bill, finish_reason, usage};
