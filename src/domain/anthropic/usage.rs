//! The usage of an answer, as one event reports it (`reference/anthropic-api.md` §2).

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::domain::{exchange::Tokens, price::Bill};

/// Largest count that is believed: a thousand contexts of a million tokens.
const MOST: u64 = 1_000_000_000;

/// `usage`, as far as it is known at one moment. Any field can be missing or null. A count that cannot be right counts
/// as missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
    /// True if a count could not be right, or became smaller.
    doubtful: bool,
}

/// Tokens written to the prompt cache, by lifetime.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheCreation {
    pub ephemeral_5m_input_tokens: u64,
    pub ephemeral_1h_input_tokens: u64,
}

/// Details of `output_tokens`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutputTokensDetails {
    pub thinking_tokens: u64,
}

/// Calls of tools that Anthropic runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServerToolUse {
    pub web_search_requests: Option<u64>,
    pub code_execution_requests: Option<u64>,
}

/// Whatever is no usage is an empty one, in doubt: the answer does not depend on it.
impl<'de> Deserialize<'de> for Usage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|written| Self::read(&written))
    }
}

/// Reads fields, and notes whether all of them can be right.
struct FieldReader {
    doubtful: bool,
}

impl FieldReader {
    /// A field of this object. `None`: it is missing, null or of another type.
    fn field<T>(
        &mut self,
        written: &Value,
        field: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let value = written.get(field).filter(|value| !value.is_null())?;
        let read = read(value);
        self.doubtful |= read.is_none();
        read
    }

    fn count(&mut self, written: &Value, field: &str) -> Option<u64> {
        self.field(written, field, |value| {
            // Some gateways write all numbers as floating-point ones.
            let whole = || value.to_string().strip_suffix(".0")?.parse().ok();
            value.as_u64().or_else(whole).filter(|count| *count <= MOST)
        })
    }

    fn text(&mut self, written: &Value, field: &str) -> Option<String> {
        self.field(written, field, |value| value.as_str().map(str::to_owned))
    }

    fn object<'a>(&mut self, written: &'a Value, field: &str) -> Option<&'a Value> {
        let value = written.get(field).filter(|value| !value.is_null())?;
        self.doubtful |= !value.is_object();
        value.is_object().then_some(value)
    }
}

impl Usage {
    fn read(written: &Value) -> Self {
        let mut reader = FieldReader { doubtful: !(written.is_object() || written.is_null()) };
        let created = reader.object(written, "cache_creation");
        let details = reader.object(written, "output_tokens_details");
        let tools = reader.object(written, "server_tool_use");
        let usage = Self {
            input_tokens: reader.count(written, "input_tokens"),
            cache_creation_input_tokens: reader.count(written, "cache_creation_input_tokens"),
            cache_read_input_tokens: reader.count(written, "cache_read_input_tokens"),
            cache_creation: created.map(|created| {
                let mut count = |field| reader.count(created, field).unwrap_or(0);
                CacheCreation {
                    ephemeral_5m_input_tokens: count("ephemeral_5m_input_tokens"),
                    ephemeral_1h_input_tokens: count("ephemeral_1h_input_tokens"),
                }
            }),
            output_tokens: reader.count(written, "output_tokens"),
            output_tokens_details: details.map(|details| OutputTokensDetails {
                thinking_tokens: reader.count(details, "thinking_tokens").unwrap_or(0),
            }),
            server_tool_use: tools.map(|tools| ServerToolUse {
                web_search_requests: reader.count(tools, "web_search_requests"),
                code_execution_requests: reader.count(tools, "code_execution_requests"),
            }),
            inference_geo: reader.text(written, "inference_geo"),
            speed: reader.text(written, "speed"),
            service_tier: reader.text(written, "service_tier"),
            iterations: written.get("iterations").filter(|list| !list.is_null()).cloned(),
            doubtful: false,
        };
        Self { doubtful: reader.doubtful, ..usage }
    }

    /// True if a count could not be right: it counts as missing here, or contradicts another.
    pub fn is_doubtful(&self) -> bool {
        let thinking = self.output_tokens_details.map_or(0, |details| details.thinking_tokens);
        let CacheCreation { ephemeral_5m_input_tokens, ephemeral_1h_input_tokens } =
            self.cache_creation.unwrap_or_default();
        let written = ephemeral_5m_input_tokens.saturating_add(ephemeral_1h_input_tokens);
        self.doubtful
            || self.output_tokens.is_some_and(|output| thinking > output)
            || self.cache_creation_input_tokens.is_some_and(|all| written > all)
    }

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
            doubtful,
        } = later;
        let mut shrinks = false;
        let mut count = |earlier: &mut Option<u64>, later: Option<u64>| {
            shrinks |=
                matches!((&*earlier, later), (Some(earlier), Some(later)) if later < *earlier);
            *earlier = later.or(*earlier);
        };
        count(&mut self.input_tokens, input_tokens);
        count(&mut self.cache_creation_input_tokens, cache_creation_input_tokens);
        count(&mut self.cache_read_input_tokens, cache_read_input_tokens);
        count(&mut self.output_tokens, output_tokens);
        self.cache_creation = cache_creation.or(self.cache_creation);
        self.output_tokens_details = output_tokens_details.or(self.output_tokens_details);
        self.server_tool_use = server_tool_use.or(self.server_tool_use);
        self.inference_geo = inference_geo.or(self.inference_geo.take());
        self.speed = speed.or(self.speed.take());
        self.service_tier = service_tier.or(self.service_tier.take());
        self.iterations = iterations.or(self.iterations.take());
        // Another model that answers in the place of the first counts anew.
        self.doubtful |= doubtful || (shrinks && self.iterations.is_none());
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

    /// The model of the attempt that a fallback made, if there is one: it gave the answer.
    pub fn fallback_model(&self) -> Option<&str> {
        let iterations = self.iterations.as_ref()?.as_array()?;
        let last = iterations.iter().rev().find(|iteration| iteration["type"] == FALLBACK)?;
        last["model"].as_str()
    }

    /// The bill of an answer by `model` that ended for `stop_reason`; `part` gives that of tokens by a model. A lower bound
    /// where something is billed that is not counted.
    ///
    /// The counters have only the attempt that answered. Fallbacks and compaction make others, each billed for itself
    /// (`claude-models.json`, `_meta.rules.iterations`), except those that declined before they said anything.
    pub fn bill(
        &self,
        model: &str,
        stop_reason: Option<&str>,
        part: impl Fn(&str, &Tokens) -> Bill,
    ) -> Bill {
        let tokens = self.tokens();
        let listed = self.iterations.as_ref().and_then(Value::as_array);
        let listed: Vec<Option<Iteration>> =
            listed.into_iter().flatten().map(Iteration::read).collect();
        let is_counted = |iteration: &Option<Iteration>| {
            iteration.as_ref().is_some_and(|it| it.kind == MESSAGE && it.is_by(model))
        };
        let bill = if listed.iter().all(is_counted) {
            part(model, &tokens)
        } else if let Some(iterations) = listed.into_iter().collect::<Option<Vec<Iteration>>>() {
            let searches = Tokens { searches: tokens.searches, ..Tokens::default() };
            let searches = (tokens.searches > 0).then(|| part(model, &searches));
            let attempts = bill_of_each(&iterations, model, stop_reason, part);
            let mut bill = Bill::default();
            searches.into_iter().chain(attempts).for_each(|more| bill.add(more));
            bill
        } else {
            part(model, &tokens).at_least()
        };
        let ran_code = self.server_tool_use.and_then(|tools| tools.code_execution_requests);
        let ran_code = ran_code.is_some_and(|times| times > 0);
        if ran_code || self.is_doubtful() { bill.at_least() } else { bill }
    }
}

/// The bills of the attempts at an answer by `model`, without those that are not billed.
fn bill_of_each<'a>(
    iterations: &'a [Iteration],
    model: &'a str,
    stop_reason: Option<&str>,
    part: impl Fn(&str, &Tokens) -> Bill + 'a,
) -> impl Iterator<Item = Bill> + 'a {
    let has_others = iterations.iter().any(|iteration| !iteration.is_by(model));
    let declined = iterations.len() - usize::from(stop_reason != Some("refusal"));
    iterations.iter().enumerate().filter_map(move |(at, Iteration { kind, model: by, tokens })| {
        match by {
            _ if at < declined && tokens.output == 0 => None,
            // It may have been any of the models.
            None if has_others => Some(Bill::default().at_least()),
            by => {
                let bill = part(by.as_deref().unwrap_or(model), tokens);
                Some(if KINDS.contains(&&**kind) { bill } else { bill.at_least() })
            }
        }
    })
}

/// The type of an attempt by the model that was asked, or of a round of one.
const MESSAGE: &str = "message";
/// The type of an attempt by another model.
const FALLBACK: &str = "fallback_message";
/// The types of attempts whose bills are understood.
const KINDS: [&str; 4] = [MESSAGE, FALLBACK, "compaction", "advisor_message"];

/// One of `usage.iterations`.
#[derive(Debug)]
struct Iteration {
    kind: String,
    model: Option<String>,
    tokens: Tokens,
}

impl Iteration {
    /// `None` if it cannot be read or does not say what it used.
    fn read(written: &Value) -> Option<Self> {
        let usage = Usage::read(written);
        if usage.is_doubtful() {
            return None;
        }
        usage.input_tokens.and(usage.output_tokens)?;
        let text = |field: &str| written[field].as_str().map(str::to_owned);
        Some(Self { kind: text("type")?, model: text("model"), tokens: usage.tokens() })
    }

    fn is_by(&self, model: &str) -> bool {
        self.model.as_deref().is_none_or(|by| by == model)
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
    use crate::domain::{
        catalog::Terms,
        exchange::{Cost, NanoDollars},
    };

    /// The cost of a bill at these prices.
    fn cost(usage: &Usage, stop_reason: &str) -> Cost {
        let part = |model: &str, tokens: &Tokens| Bill::of(model, *tokens, Terms::default());
        let bill = usage.bill("cheap", Some(stop_reason), part);
        let costs = bill.parts.iter().map(|part| price(&part.model, &part.tokens));
        let cost = costs.reduce(Cost::plus).unwrap_or(Cost::Exact(NanoDollars(0)));
        if bill.is_bound { cost.at_least() } else { cost }
    }

    /// A dollar for each token of `dear`, a tenth of it for those of others; `unknown` has no price.
    fn price(model: &str, tokens: &Tokens) -> Cost {
        let each = match model {
            "unknown" => return Cost::Unpriced,
            "dear" => 10,
            _ => 1,
        };
        let count = tokens.prompt() + tokens.output + 100 * tokens.searches;
        Cost::Exact(NanoDollars(i64::try_from(count * each).unwrap()))
    }

    #[test]
    fn each_attempt_is_billed_for_itself() {
        let exact = |amount| Cost::Exact(NanoDollars(amount));
        let at_least = |amount| Cost::AtLeast(NanoDollars(amount));
        let (dear, cheap) = (r#""model":"dear""#, r#""model":"cheap""#);
        let message = |model: &str, input: u32, output: u32| {
            format!(
                r#"{{"type":"message",{model},"input_tokens":{input},"output_tokens":{output}}}"#
            )
        };
        let fallback = |model: &str, input: u32, output: u32| {
            message(model, input, output).replace("message", "fallback_message")
        };
        let other = |kind: &str| message(cheap, 5, 5).replace("message", kind);
        let all = |iterations: &[String]| format!(r#""iterations":[{}]"#, iterations.join(","));
        for (expected, more) in [
            (exact(30), r#""iterations":null,"server_tool_use":null"#.to_owned()),
            (exact(30), r#""iterations":[]"#.to_owned()),
            (exact(30), all(&[message(cheap, 10, 10), message(cheap, 5, 5)])),
            (at_least(30), r#""server_tool_use":{"code_execution_requests":1}"#.to_owned()),
            (exact(130), r#""server_tool_use":{"web_search_requests":1}"#.to_owned()),
            // Declined before anything was said, and after.
            (exact(30), all(&[message(dear, 10, 0), fallback(cheap, 10, 20)])),
            (exact(140), all(&[message(dear, 10, 1), fallback(cheap, 10, 20)])),
            (
                exact(230),
                format!(
                    r#"{},"server_tool_use":{{"web_search_requests":2}}"#,
                    all(&[fallback(cheap, 10, 20)])
                ),
            ),
            // One after the other declined; the rounds of the last.
            (
                exact(11 + 30),
                all(&[
                    message(dear, 9, 0),
                    message(r#""model":"third""#, 10, 1),
                    fallback(cheap, 10, 20),
                ]),
            ),
            (
                exact(6 + 30),
                all(&[message(dear, 9, 0), message(cheap, 5, 1), fallback(cheap, 10, 20)]),
            ),
            (exact(30), all(&[fallback(cheap, 10, 20)])),
            (exact(10 + 30), all(&[other("compaction"), message(cheap, 10, 20)])),
            (exact(10 + 30), all(&[other("advisor_message"), message(cheap, 10, 20)])),
            (at_least(10 + 30), all(&[other("of_tomorrow"), message(cheap, 10, 20)])),
            (at_least(30), all(&[message(r#""model":"unknown""#, 10, 1), fallback(cheap, 10, 20)])),
            (
                Cost::Unpriced,
                all(&[message(dear, 10, 0), fallback(r#""model":"unknown""#, 10, 20)]),
            ),
            (at_least(110), all(&[message(dear, 10, 1), fallback(r#""model":null"#, 10, 20)])),
            (at_least(30), r#""iterations":[{"type":"compaction"},{"type":"message"}]"#.to_owned()),
            (at_least(30), r#""iterations":[5]"#.to_owned()),
        ] {
            let mut usage = Usage::default();
            let written = format!(r#"{{"input_tokens":10,"output_tokens":20,{more}}}"#);
            usage.update(serde_json::from_str(&written).unwrap());
            usage.update(Usage::default());
            let cost = cost(&usage, "end_turn");
            assert_eq!(cost, expected, "{written}");
        }
    }

    #[test]
    fn a_refusal_after_refusals_costs_what_was_said() {
        let written = r#"{"input_tokens":10,"output_tokens":0,"iterations":[
            {"type":"message","model":"dear","input_tokens":10,"output_tokens":3},
            {"type":"fallback_message","model":"cheap","input_tokens":10,"output_tokens":0}]}"#;
        let usage: Usage = serde_json::from_str(written).unwrap();
        let cost = cost(&usage, "refusal");
        assert_eq!(cost, Cost::Exact(NanoDollars(130)));
        assert_eq!(usage.fallback_model(), Some("cheap"));
    }

    #[test]
    fn a_count_that_cannot_be_right_is_left_out_and_makes_the_cost_a_lower_bound() {
        let believed = r#"{"input_tokens":10,"output_tokens":20,"cache_creation_input_tokens":6,
            "cache_creation":{"ephemeral_5m_input_tokens":4,"ephemeral_1h_input_tokens":2},
            "output_tokens_details":{"thinking_tokens":20}}"#;
        let floats = r#"{"input_tokens":10.0,"output_tokens":20.0}"#;
        for (exact, events) in [
            (true, vec![believed]),
            (true, vec![floats, "null", r#"{"output_tokens":null}"#]),
            (true, vec![r#"{"output_tokens":1}"#, believed, r#"{"output_tokens":21}"#]),
            (false, vec![believed, r#"{"output_tokens":19}"#]),
            (false, vec![believed, r#"{"input_tokens":9}"#]),
            (false, vec![believed, r#"{"output_tokens":-1}"#]),
            (false, vec![believed, r#"{"output_tokens":20.5}"#]),
            (false, vec![believed, r#"{"output_tokens":1e30}"#]),
            (false, vec![believed, r#"{"output_tokens":9007199254740993}"#]),
            (false, vec![believed, r#"{"output_tokens":18446744073709551615}"#]),
            (false, vec![believed, r#"{"output_tokens":99999999999999999999999}"#]),
            (false, vec![believed, r#"{"cache_read_input_tokens":1000000001}"#]),
            (false, vec![believed, r#"{"input_tokens":"10"}"#]),
            (false, vec![believed, r#"{"input_tokens":[]}"#]),
            (false, vec![believed, r#"{"cache_creation":5}"#]),
            (false, vec![believed, r#"{"cache_creation":{"ephemeral_1h_input_tokens":-1}}"#]),
            (
                false,
                vec![
                    believed,
                    r#"{"cache_creation_input_tokens":6,"cache_creation":{"ephemeral_1h_input_tokens":7}}"#,
                ],
            ),
            (false, vec![believed, r#"{"output_tokens_details":{"thinking_tokens":21}}"#]),
            (false, vec![believed, r#"{"server_tool_use":{"web_search_requests":-3}}"#]),
            (false, vec![believed, r#"{"speed":7}"#]),
            (false, vec![believed, "[]"]),
            (false, vec![believed, "7"]),
        ] {
            let mut usage = Usage::default();
            for event in &events {
                usage.update(serde_json::from_str(event).unwrap());
            }
            let cost = cost(&usage, "end_turn");
            assert_eq!(usage.is_doubtful(), !exact, "{events:?}");
            assert_eq!(matches!(cost, Cost::Exact(_)), exact, "{events:?}");
            let Tokens { input, output, cache_read, searches, .. } = usage.tokens();
            assert!((9..=10).contains(&input) && (19..=21).contains(&output), "{events:?}");
            assert_eq!((cache_read, searches), (0, 0), "{events:?}");
        }
    }
}
