//! OpenAI chat completions on the wire (`reference/anthropic-api.md` §8). Types without prefix: always used
//! qualified, `openai::Request`.

mod delta;
mod parse;
mod raw;
mod request;
mod response;
mod text_or;

pub use delta::{
    AnnotationsDelta, CustomInputDelta, FunctionCallDelta, ReasoningDelta, ToolCallsDelta,
};
pub use parse::ParseError;
pub use raw::chain;
pub use request::{
    AllowedTools, Content, CustomCall, CustomTool, File, Function, FunctionCall, ImageUrl, Message,
    NamedTool, Part, Request, ResponseFormat, Role, Source, Stop, StreamOptions, Tool, ToolCall,
    ToolChoice,
};
pub use response::{
    Annotation, Called, Choice, Completion, CompletionTokensDetails, CustomCall as AnswerCustom,
    Error, ErrorBody, FinishReason, FunctionCall as AnswerFunction, Message as Answer,
    PromptTokensDetails, REDACTED_FORMAT, ReasoningDetail, THINKING_FORMAT,
    ToolCall as AnswerToolCall, UrlCitation, Usage,
};
