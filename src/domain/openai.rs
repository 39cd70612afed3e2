//! OpenAI chat completions on the wire (`reference/anthropic-api.md` §8). Types without prefix: always used
//! qualified, `openai::Request`.

mod delta;
mod message;
mod normalize;
mod parse;
mod parse_error;
mod raw;
mod request;
mod response;
mod scalar;
mod shallow;
mod text_or;
mod tool;

pub use delta::{
    AnnotationsDelta, CustomInputDelta, FunctionCallDelta, ReasoningDelta, ToolCallsDelta,
};
pub use message::{
    Content, CustomCall, File, FunctionCall, ImageUrl, Message, Part, Role, Source, ToolCall,
};
pub use parse_error::ParseError;
pub use raw::chain;
pub use request::{Change, Request, ResponseFormat, Stop, StreamOptions};
pub use response::{
    Annotation, Called, Choice, Completion, CompletionTokensDetails, Error, ErrorBody,
    FinishReason, PromptTokensDetails, REDACTED_FORMAT, ReasoningDetail, ResponseCustomCall,
    ResponseFunctionCall, ResponseMessage, ResponseToolCall, THINKING_FORMAT, UrlCitation, Usage,
};
pub use scalar::number_of;
pub use tool::{AllowedTools, CustomTool, Function, NamedTool, Tool, ToolChoice};
