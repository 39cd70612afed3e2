//! Anthropic's Messages API on the wire (`reference/anthropic-api.md` §1–§4). Types without prefix: always used
//! qualified, `anthropic::Request`.

mod event;
mod fold;
mod request;
mod tally;

pub use event::{
    Block as BlockStart, Delta, Error, ErrorBody, Event, MessageDelta, MessageStart, ParseError,
    Stop, Usage, parse,
};
pub use fold::{Block, FoldError, Message, fold};
pub use request::{
    ContentBlock, ImageSource, Message as RequestMessage, Metadata, Request, Role, Tool,
    ToolChoice, Version,
};
pub use tally::{Tally, TallyError};
