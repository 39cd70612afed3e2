//! OpenAI chat completions on the wire (`reference/anthropic-api.md` §8). Types without prefix: always used
//! qualified, `openai::Request`.

mod parse;
mod raw;
mod request;
mod response;
mod text_or;

pub use parse::ParseError;
pub use raw::chain;
pub use request::{
    Content, Function, FunctionCall, ImageUrl, Message, Part, Request, ResponseFormat, Role, Stop,
    StreamOptions, Tool, ToolCall, ToolChoice,
};
pub use response::{
    Choice, Completion, CompletionTokensDetails, Error, ErrorBody, FinishReason,
    FunctionCall as AnswerFunction, Message as Answer, PromptTokensDetails,
    ToolCall as AnswerToolCall, Usage,
};
