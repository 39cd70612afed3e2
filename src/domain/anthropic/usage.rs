//! The usage of an answer, as one event reports it (`reference/anthropic-api.md` §2).

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::domain::exchange::Tokens;

/// `usage`, as far as it is known at one moment. Any field can be missing or null.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Usage {
    pub input_tokens: Option<u64>,
    pub cache_creation_input_tokens: Option<u64>,
    pub cache_read_input_tokens: Option<u64>,
    pub cache_creation: Option<CacheCreation>,
    pub output_tokens: Option<u64>,
    pub output_tokens_details: Option<OutputTokensDetails>,
    pub server_tool_use: Option<ServerToolUse>,
    pub inference_geo: Option<String>,
    pub speed: Option<String>,
    pub service_tier: Option<String>,
    /// The attempts that the answer took, as they were written.
    pub iterations: Option<Value>,
}

/// Tokens written to the prompt cache, by lifetime.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CacheCreation {
    #[serde(deserialize_with = "or_default")]
    pub ephemeral_5m_input_tokens: u64,
    #[serde(deserialize_with = "or_default")]
    pub ephemeral_1h_input_tokens: u64,
}

/// Details of `output_tokens`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct OutputTokensDetails {
    #[serde(deserialize_with = "or_default")]
    pub thinking_tokens: u64,
}

/// Calls of tools that Anthropic runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ServerToolUse {
    pub web_search_requests: Option<u64>,
    pub code_execution_requests: Option<u64>,
}

impl Usage {
    /// Takes over the fields of a later event: they replace, and never add.
    pub fn update(&mut self, later: Self) {
        let Self {
            input_tokens,
            cache_creation_input_tokens,
            cache_read_input_tokens,
            cache_creation,
            output_tokens,
            output_tokens_details,
            server_tool_use,
            inference_geo,
            speed,
            service_tier,
            iterations,
        } = later;
        self.input_tokens = input_tokens.or(self.input_tokens);
        self.cache_creation_input_tokens =
            cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_read_input_tokens = cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.cache_creation = cache_creation.or(self.cache_creation);
        self.output_tokens = output_tokens.or(self.output_tokens);
        self.output_tokens_details = output_tokens_details.or(self.output_tokens_details);
        self.server_tool_use = server_tool_use.or(self.server_tool_use);
        self.inference_geo = inference_geo.or(self.inference_geo.take());
        self.speed = speed.or(self.speed.take());
        self.service_tier = service_tier.or(self.service_tier.take());
        self.iterations = iterations.or(self.iterations.take());
    }

    /// The counters of the ledger. Cache writes whose lifetime is not said count as five minutes.
    pub fn tokens(&self) -> Tokens {
        let written = self.cache_creation_input_tokens;
        let split = self.cache_creation.unwrap_or_default();
        let one_hour = split.ephemeral_1h_input_tokens;
        Tokens {
            input: self.input_tokens.unwrap_or(0),
            cache_write_5m: written
                .map_or(split.ephemeral_5m_input_tokens, |all| all.saturating_sub(one_hour)),
            cache_write_1h: one_hour,
            cache_read: self.cache_read_input_tokens.unwrap_or(0),
            output: self.output_tokens.unwrap_or(0),
            thinking: self.output_tokens_details.map_or(0, |details| details.thinking_tokens),
            searches: self.server_tool_use.and_then(|tools| tools.web_search_requests).unwrap_or(0),
        }
    }

    /// True if more is billed than the counters contain: attempts of other kinds, or code execution
    /// (`claude-models.json`, `_meta.rules.iterations` and `code_execution`).
    pub fn leaves_out(&self) -> bool {
        let attempts = self.iterations.as_ref().and_then(Value::as_array);
        let ran = self.server_tool_use.and_then(|tools| tools.code_execution_requests);
        attempts.into_iter().flatten().any(|attempt| attempt["type"] != "message")
            || ran.is_some_and(|times| times > 0)
    }
}

/// Null means what absence means: any field of a usage can be null (§2).
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_counters_leave_out_is_known() {
        for (expected, usage) in [
            (false, r#"{"iterations":null,"server_tool_use":null}"#),
            (
                false,
                r#"{"iterations":[{"type":"message"}],"server_tool_use":{"code_execution_requests":0}}"#,
            ),
            (true, r#"{"iterations":[{"type":"compaction"},{"type":"message"}]}"#),
            (true, r#"{"iterations":[{"type":"of_tomorrow"}]}"#),
            (true, r#"{"server_tool_use":{"code_execution_requests":1}}"#),
        ] {
            let mut all = Usage::default();
            all.update(serde_json::from_str(usage).unwrap());
            all.update(Usage::default());
            assert_eq!(all.leaves_out(), expected, "{usage}");
        }
    }
}
