//! Anthropic's Messages API on the wire (`reference/anthropic-api.md` §1–§4). Types without prefix: always used
//! qualified, `anthropic::Request`.

mod request;

pub use request::{
    ContentBlock, ImageSource, Message as RequestMessage, Metadata, Request, Role, Tool,
    ToolChoice, Version,
};
