//! OpenAI chat completions on the wire (`reference/anthropic-api.md` §8). Types without prefix: always used
//! qualified, `openai::Request`.
