//! The parameters that are numbers and words: limits, sampling, stops, tiers, who asks (`reference/anthropic-api.md`
//! §1.1, §9.1).

use std::collections::HashSet;

use serde_json::Value;

use super::{
    note::{Error, Notes},
    thinking::{Limit, ThinkingPlan},
};
use crate::domain::{
    anthropic::{self, Metadata},
    catalog::Model,
    openai,
};

/// The limit that the client set, or the model's. A large one costs nothing, since the answer is always streamed.
pub(super) fn limit(
    request: &openai::Request,
    known: Option<&Model>,
    rules: &Model,
    notes: &mut Notes,
) -> Result<Limit, Error> {
    let (field, given) = match (request.max_completion_tokens, request.max_tokens) {
        (None, None) => return Ok(Limit::Model(rules.max_output)),
        (None, Some(given)) => ("max_tokens", given),
        (Some(given), other) => {
            if other.is_some() && other != Some(given) {
                notes.add("max_tokens", "is left out, because max_completion_tokens differs");
            }
            ("max_completion_tokens", given)
        }
    };
    // The programs that run models of their own take these for no limit.
    if [0.0, -1.0].contains(&given) {
        notes.add(field, "is left out, because it limits nothing");
        return Ok(Limit::Model(rules.max_output));
    }
    if given < 1.0 || given.fract() != 0.0 {
        return Err(Error::OutOfRange { field, range: "a whole number of at least 1" });
    }
    // A model that the catalog does not know may do more than is known of it.
    let most = known.map_or(u32::MAX, |model| model.max_output);
    if given > f64::from(most) {
        notes.add(field, format!("is lowered to {most}, the most that the model can do"));
        return Ok(Limit::Given(most));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "just checked")]
    Ok(Limit::Given(given as u32))
}

/// Sampling parameters, for models that sample.
pub(super) struct Sampling {
    pub(super) temperature: Option<f64>,
    pub(super) top_p: Option<f64>,
    pub(super) top_k: Option<u64>,
}

/// `temperature`, `top_p` and `top_k`, where the model takes them (§1.1 "Sampling parameters"). The defaults are left
/// out, so that saying them makes no difference, neither to the cache key nor to the version.
pub(super) fn sampling(
    request: &openai::Request,
    plan: &ThinkingPlan,
    rules: &Model,
    notes: &mut Notes,
) -> Result<Sampling, Error> {
    for (field, value, most, range) in [
        ("temperature", request.temperature, 2.0, "a number from 0 to 2"),
        ("top_p", request.top_p, 1.0, "a number from 0 to 1"),
    ] {
        if value.is_some_and(|value| !(0.0..=most).contains(&value)) {
            return Err(Error::OutOfRange { field, range });
        }
    }
    let mut temperature = request.temperature.filter(|value| value.total_cmp(&1.0).is_ne());
    let mut top_p = request.top_p.filter(|&value| value < 1.0);
    let mut top_k = top_k(request.extra.get("top_k"), notes)?;
    if !rules.sampling {
        for (field, given) in [
            ("temperature", temperature.take().is_some()),
            ("top_p", top_p.take().is_some()),
            ("top_k", top_k.take().is_some()),
        ] {
            if given {
                notes.add(field, "is left out, because this model does not take it");
            }
        }
    }
    if plan.is_on() {
        // §1.1: a model that thinks takes only a `top_p` near 1.
        let odd_top_p = top_p.is_some_and(|value| value < 0.95);
        for (field, given) in [
            ("temperature", temperature.take().is_some()),
            ("top_p", odd_top_p && top_p.take().is_some()),
            ("top_k", top_k.take().is_some()),
        ] {
            if given {
                notes.add(field, "is left out, because the model thinks");
            }
        }
    }
    if temperature.is_some_and(|value| value > 1.0) {
        notes.add("temperature", "is lowered to 1, the highest of Claude's, which is the default");
        temperature = None;
    }
    if temperature.is_some() && top_p.take().is_some() {
        notes.add("top_p", "is left out, because Claude takes only one of temperature and top_p");
    }
    // Minus zero would be another cache key.
    let positive = |value: f64| value.abs();
    Ok(Sampling { temperature: temperature.map(positive), top_p: top_p.map(positive), top_k })
}

/// `top_k`, which Open WebUI sends among the unknown fields. 0 and -1 mean "off" in other engines.
fn top_k(given: Option<&Value>, notes: &mut Notes) -> Result<Option<u64>, Error> {
    let number = match given {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
        Some(value) => openai::number_of(value).filter(|number| number.fract() == 0.0),
    };
    match number {
        None => Err(Error::OutOfRange { field: "top_k", range: "a whole number" }),
        Some(off) if off < 1.0 => {
            notes.add("top_k", "is left out, because it limits nothing");
            Ok(None)
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        Some(number) => Ok(Some(number as u64)),
    }
}

/// Maximum number and length of the stop sequences that are looked for here.
const MOST_BLANK_STOPS: usize = 8;
const LONGEST_BLANK_STOP: usize = 64;

/// The stop sequences of a request, without duplicates.
#[derive(Debug, Default)]
pub(super) struct StopSequences {
    /// Those that Claude looks for.
    pub(super) sent: Vec<String>,
    /// Blank ones, which Anthropic refuses: they are looked for in the answer.
    pub(super) blank: Vec<String>,
}

/// Stop sequences. An empty one stops nothing.
pub(super) fn stop_sequences(given: Option<&openai::Stop>, notes: &mut Notes) -> StopSequences {
    let mut seen = HashSet::new();
    let mut stops = StopSequences::default();
    let field = || "stop".to_owned();
    for text in given.iter().flat_map(|stop| &stop.0).filter(|text| seen.insert(*text)) {
        if text.is_empty() {
            notes.once(field, "an empty stop sequence is left out");
        } else if !anthropic::is_blank(text) {
            stops.sent.push(text.clone());
        } else if stops.blank.len() < MOST_BLANK_STOPS && text.len() <= LONGEST_BLANK_STOP {
            let what = "a blank stop sequence is looked for in the answer, because Claude does not take it";
            notes.once(field, what);
            stops.blank.push(text.clone());
        } else {
            notes.once(field, "a long blank stop sequence, or one of many, is left out");
        }
    }
    stops
}

/// Anthropic's service tier; `None` for `auto`, the default on both sides.
pub(super) fn service_tier(given: Option<&str>, notes: &mut Notes) -> Option<&'static str> {
    match given {
        None | Some("auto") => None,
        Some("default") => Some("standard_only"),
        Some(_) => {
            notes.add("service_tier", "is left out, because Anthropic has no such tier");
            None
        }
    }
}

/// The end user, unless the id identifies a person (§1.1 `metadata`).
pub(super) fn metadata(request: &openai::Request, notes: &mut Notes) -> Option<Metadata> {
    let (field, user_id) = request.end_user()?;
    if field != "user" && request.user.as_deref().is_some_and(|user| user != user_id) {
        notes.add("user", "is left out, because safety_identifier differs");
    }
    let user_id = user_id.to_owned();
    if user_id.chars().count() > 256 {
        notes.add(field, "is left out, because it is longer than 256 characters");
        return None;
    }
    if is_email(&user_id) || is_phone(&user_id) {
        notes.add(field, "is left out, because it looks like an e-mail address or a phone number");
        return None;
    }
    Some(Metadata { user_id })
}

fn is_email(id: &str) -> bool {
    id.split_once('@').is_some_and(|(who, host)| !who.is_empty() && host.contains('.'))
}

fn is_phone(id: &str) -> bool {
    let digits = id.bytes().filter(u8::is_ascii_digit).count();
    (7..=15).contains(&digits)
        && id.bytes().all(|byte| byte.is_ascii_digit() || b"+-(). /".contains(&byte))
}
