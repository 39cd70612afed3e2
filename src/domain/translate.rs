//! The one place that sees both dialects.

mod completion;
mod error;
mod media;
mod messages;
mod note;
mod request;
mod stream;
mod tools;
mod usage;

pub use completion::completion;
pub use error::error;
pub use note::{Error, ImageFault, Note};
pub use request::{Translated, request};
pub use stream::{Chunks, StreamError, WithUsage};
pub use usage::{Bill, finish_reason, usage};
