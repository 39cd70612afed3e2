//! The words of refusals, and the remedies that they ask for.

use super::remedy::Remedy;

/// A treatment that the words of a refusal ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Treatment {
    /// A remedy for the request.
    Request(Remedy),
    /// A remedy for the tools that the refusal names.
    NamedTools(Remedy),
    /// The next weaker schema for the tools that the refusal names.
    NamedSchemas,
}

use Treatment::{NamedSchemas, NamedTools, Request};

/// Words of refusals that concern the model, and not one request.
const OF_THE_MODEL: &[&str] =
    &["not supported", "does not support", "is deprecated for", "extra inputs are not permitted"];

/// Grammars are compiled of the strict tools and the format together. The refusal mostly speaks of the tools.
const GRAMMAR: &[Treatment] = &[Request(Remedy::Strict), Request(Remedy::Format)];
const FORMAT: &[Treatment] = &[Request(Remedy::Format), Request(Remedy::Strict)];
const STRICT_TOOL: &[Treatment] = &[Request(Remedy::Strict), NamedSchemas];

/// Words in the refusals of the API (`reference/anthropic-api.md` §1), in lower case and with `#` for each digit, the more
/// specific before the more general.
const SYMPTOMS: &[(&[&str], &[Treatment])] = &[
    (&["fallbacks"], &[Request(Remedy::Fallbacks)]),
    (&["output_config.format"], FORMAT),
    (&["output_format"], FORMAT),
    (&["tools.#", "cache_control"], &[Request(Remedy::Breakpoints)]),
    (&["tools.#", ".description"], &[NamedTools(Remedy::ToolDescription)]),
    (&["tools.#", "strict"], STRICT_TOOL),
    (&["tools.#", "not supported"], STRICT_TOOL),
    (&["tools.#", "additionalproperties"], STRICT_TOOL),
    (&["tools.#", "too complex"], STRICT_TOOL),
    (&["tools.#", ".custom:"], STRICT_TOOL),
    (&["input_schema"], &[NamedSchemas]),
    (&["tools.#", "schema"], &[NamedSchemas]),
    (&["strict", "tools"], GRAMMAR),
    (&["grammar"], GRAMMAR),
    (&["too many", "optional"], GRAMMAR),
    (&["too many", "union"], GRAMMAR),
    (&["schema", "too complex"], GRAMMAR),
    (&["structured output"], FORMAT),
    (&["invalid schema"], FORMAT),
    (&["schema type", "not supported"], GRAMMAR),
    (&["for '", "' type"], GRAMMAR),
    (&["additionalproperties"], GRAMMAR),
    (&["cache_control"], &[Request(Remedy::Breakpoints)]),
    (&["block_binding"], &[Request(Remedy::BlockBinding)]),
    (&["thinking.type.enabled"], &[Request(Remedy::Adaptive)]),
    (&["thinking.type."], &[Request(Remedy::Thinking)]),
    (&["`signature`"], &[Request(Remedy::EarlierThinking)]),
    (&["`redacted_thinking`"], &[Request(Remedy::EarlierThinking)]),
    (&["expected", "thinking", "but found"], &[Request(Remedy::EarlierThinking)]),
    (&["messages.", ".content.", "thinking"], &[Request(Remedy::EarlierThinking)]),
    (&["thinking", "cannot be modified"], &[Request(Remedy::EarlierThinking)]),
    (&["prefill"], &[Request(Remedy::Prefill)]),
    (&["must end with a user message"], &[Request(Remedy::Prefill)]),
    (&["final position must not be an `assistant`"], &[Request(Remedy::Prefill)]),
    (&["tool_choice"], &[Request(Remedy::ToolChoice)]),
    (&["forces tool use"], &[Request(Remedy::ToolChoice)]),
    (&["role 'system'"], &[Request(Remedy::SystemMessages)]),
    (&["role \"system\""], &[Request(Remedy::SystemMessages)]),
    (&["role `system`"], &[Request(Remedy::SystemMessages)]),
    (&["messages", ".role", "system"], &[Request(Remedy::SystemMessages)]),
    (&["effort"], &[Request(Remedy::Effort)]),
    (&["output_config"], &[Request(Remedy::Effort), Request(Remedy::Format)]),
    (&["temperature"], &[Request(Remedy::Temperature)]),
    (&["top_p"], &[Request(Remedy::TopP)]),
    (&["top_k"], &[Request(Remedy::TopK)]),
    (&["thinking"], &[Request(Remedy::Thinking)]),
    (&["service_tier"], &[Request(Remedy::ServiceTier)]),
    (&["metadata"], &[Request(Remedy::Metadata)]),
];

/// Minimum number of tokens for an answer that is worth asking for.
const LEAST_ANSWER: u32 = 1024;

/// The message of a 400.
#[derive(Debug)]
pub(super) struct Refusal {
    /// In lower case.
    text: String,
    /// The text with `#` for each digit.
    shape: String,
}

impl Refusal {
    pub(super) fn new(message: &str) -> Self {
        let text = message.to_lowercase();
        let shape = text.replace(|c: char| c.is_ascii_digit(), "#");
        Self { text, shape }
    }

    fn has(&self, signs: &[&str]) -> bool {
        signs.iter().all(|sign| self.shape.contains(sign))
    }

    /// The treatments that the words ask for, the likeliest first.
    pub(super) fn treatments(&self) -> impl Iterator<Item = Treatment> {
        let named = SYMPTOMS.iter().filter(|(signs, _)| self.has(signs));
        let limit = self.limit().map(|limit| Request(Remedy::MaxTokens(limit)));
        limit.into_iter().chain(named.flat_map(|(_, treatments)| *treatments).copied())
    }

    /// True if the model will refuse the same again, whatever it is asked.
    pub(super) fn is_of_the_model(&self) -> bool {
        OF_THE_MODEL.iter().any(|sign| self.text.contains(sign))
    }

    /// True if the prompt and the answer together are too long.
    pub(super) fn is_of_the_context(&self) -> bool {
        self.text.contains("context limit")
    }

    /// The limit on the answer that the refusal states: `max_tokens: 200000 > 64000, which is the maximum allowed …`, or
    /// what `… exceed context limit: 190000 + 64000 > 200000, …` leaves.
    fn limit(&self) -> Option<u32> {
        let (_, after) = self.text.split_once("max_tokens")?;
        if self.is_of_the_context() {
            let [input, _, context] = numbers(after.split_once("context limit")?.1)?;
            let left = u32::try_from(context.checked_sub(input)?).ok()?;
            return (left >= LEAST_ANSWER).then_some(left);
        }
        let limit = if let Some((_, after)) = after.split_once("less than or equal to") {
            let [limit] = numbers(after)?;
            limit
        } else if after.contains("maximum allowed") {
            let [_, limit] = numbers(after)?;
            limit
        } else {
            return None;
        };
        u32::try_from(limit).ok().filter(|limit| *limit > 0)
    }

    /// Positions of the tools that are named, as in `tools.3.custom.input_schema`.
    pub(super) fn named_tools(&self) -> Vec<usize> {
        let named = self.text.match_indices("tools.").filter_map(|(at, sign)| {
            let after = &self.text[at + sign.len()..];
            let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
            after[..digits].parse().ok()
        });
        let mut named: Vec<usize> = named.collect();
        named.sort_unstable();
        named.dedup();
        named
    }
}

/// The first numbers in a text.
fn numbers<const N: usize>(text: &str) -> Option<[u64; N]> {
    let digits = text.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
    let numbers: Vec<u64> = digits.take(N).map_while(|digits| digits.parse().ok()).collect();
    numbers.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_from_the_words() {
        let limit = |message: &str| Refusal::new(message).limit();
        let model = "max_tokens: 200000 > 64000, which is the maximum allowed number of output tokens for claude-haiku-4-5-20251001";
        assert_eq!(limit(model), Some(64_000));
        assert!(!Refusal::new(model).is_of_the_context());
        let context = |input: u32| {
            format!(
                "input length and `max_tokens` exceed context limit: {input} + 64000 > 200000, decrease input length or `max_tokens` and try again"
            )
        };
        assert_eq!(limit(&context(178_959)), Some(21_041));
        assert!(Refusal::new(&context(1)).is_of_the_context());
        assert_eq!(limit(&context(199_000)), None, "there is no room for an answer");
        assert_eq!(limit(&context(200_001)), None);
        assert_eq!(limit("max_tokens: Input should be less than or equal to 8192"), Some(8192));
        for other in [
            "`max_tokens` must be greater than `thinking.budget_tokens`.",
            "max_tokens: 5 > 0, which is the maximum allowed number of output tokens for m",
            "max_tokens: 99999999999999999999 > 9, which is the maximum allowed",
            "max_tokens: Field required",
        ] {
            assert_eq!(limit(other), None, "{other}");
        }
    }

    #[test]
    fn tools_are_named_by_their_position() {
        let named = |message: &str| Refusal::new(message).named_tools();
        assert_eq!(named("tools.12.custom.input_schema: x; tools.3: y; tools.12: z"), [3, 12]);
        assert_eq!(named("tools: too many; tools.x; tools.99999999999999999999999"), [0; 0]);
    }
}
