//! Anthropic's Messages API on the wire (`reference/anthropic-api.md` §1–§4). Types without prefix: always used
//! qualified, `anthropic::Request`.

mod assemble;
mod canonical;
mod error_kind;
mod event;
mod field;
mod fold;
mod headers;
mod merge;
mod native;
mod order;
mod received;
mod request;
mod summary;
mod unfold;
mod usage;

pub use assemble::assemble;
pub use canonical::CanonicalRequest;
pub use error_kind::{error_kinds, kind_of, status_of};
pub use event::{
    BlockStart, Citation, Delta, Error, ErrorBody, ErrorDetails, Event, MESSAGE_STOP, MessageDelta,
    MessageStart, ParseError, Stop, StopDetails, StreamError, is_whole_end, parse, read,
    whole_input,
};
pub use field::Field;
pub use fold::{Block, BlockKind, Message, fold, fold_begun};
pub use headers::ApiHeaders;
pub use merge::merge;
pub use native::{Native, NativeError};
pub use order::EventOrder;
pub use request::{
    BlockBinding, BlockPosition, Breakpoint, ClientTool, ContentBlock, Display, Effort, Format,
    Metadata, OutputConfig, PrefixMismatch, Request, RequestMessage, Role, Source, Thinking, Tool,
    ToolChoice, Ttl, UserLocation, Version, WebSearch, is_blank, is_blank_char,
};
pub use summary::{Seen, StreamSummary, Told};
pub use unfold::unfold;
pub use usage::Usage;
