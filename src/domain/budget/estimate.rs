//! Estimates of costs that are not known yet, or not at all.

use std::collections::HashMap;

use jiff::civil::Date;
use memchr::{memchr, memmem};

use crate::domain::{
    catalog::{Catalog, Terms, undated},
    chain::Chain,
    exchange::{NanoDollars, Tokens},
};

/// Bytes of JSON that a token has on the average.
const BYTES_PER_TOKEN: u64 = 4;
/// Tokens of a picture, as many as most have.
const PICTURE: u64 = 1_600;
/// Bytes of a PDF in base64 for one token, roughly.
const PDF_BYTES_PER_TOKEN: u64 = 64;
/// Shortest text of base64 that is taken for a file.
const SHORTEST_FILE: usize = 1024;

/// Output of a model that has not answered yet, in tokens: a long paragraph.
const FIRST_OUTPUT: u64 = 1_000;
/// Number of answers that the running mean of a model remembers.
const REMEMBERED: f64 = 64.0;
/// Limit of models with a mean of their own.
const MOST_MODELS: usize = 256;

/// Running means of what models answered, in tokens: without them an answer would have to be taken for as long as
/// `max_tokens` allows, which few answers are, and small budgets would refuse nearly all calls.
#[derive(Debug, Clone, Default)]
pub struct MeanOutputs(HashMap<String, Mean>);

#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    count: f64,
    tokens: f64,
}

impl MeanOutputs {
    /// Adds answers of a model that have as many tokens together.
    #[expect(clippy::cast_precision_loss, reason = "a mean")]
    pub fn add(&mut self, model: &str, answers: u64, tokens: u64) {
        let model = undated(model);
        if answers == 0 || (self.0.len() >= MOST_MODELS && !self.0.contains_key(model)) {
            return;
        }
        let mean = self.0.entry(model.to_owned()).or_default();
        let weight = (answers as f64).min(REMEMBERED);
        mean.count = (mean.count + weight).min(REMEMBERED);
        mean.tokens += (tokens as f64 / answers as f64 - mean.tokens) * weight / mean.count;
    }

    /// Tokens of the next answer of a model; `None`: it has not answered yet.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a mean of counts, rounded"
    )]
    fn next(&self, model: &str) -> Option<u64> {
        self.0.get(undated(model)).map(|mean| mean.tokens.round() as u64)
    }
}

/// The estimated cost of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// The likely cost, for which budgets must have room.
    pub likely: NanoDollars,
    /// The cost to reserve, as far as budgets have as much left: more than the likely one while nobody knows how long the
    /// model's answers are, so that the first answers do not overrun a budget together.
    pub reserve: NanoDollars,
}

impl Estimate {
    /// A cost that is known well.
    pub const fn of(cost: NanoDollars) -> Self {
        Self { likely: cost, reserve: cost }
    }
}

/// The estimated cost of a request: its prompt at the usual price, and an answer as long as the mean, but not longer than
/// `max_tokens`. `None`: the model has no price.
pub fn estimate(
    catalog: &Catalog,
    model: &str,
    prompt: u64,
    max_tokens: Option<u32>,
    outputs: &MeanOutputs,
    day: Date,
) -> Option<Estimate> {
    let most = u64::from(max_tokens.unwrap_or(catalog.rules(model).max_output));
    let mean = outputs.next(model);
    let cost = |output: u64| {
        let tokens = Tokens { input: prompt, output: output.min(most), ..Tokens::default() };
        catalog.cost_on(model, &tokens, Terms::default(), day).amount()
    };
    let likely = cost(mean.unwrap_or(FIRST_OUTPUT))?;
    Some(Estimate { likely, reserve: cost(mean.unwrap_or(most))? })
}

/// The estimated number of tokens of a prompt: by its size, files apart.
pub fn prompt_tokens(request: &Chain) -> u64 {
    let bodies = std::iter::once(&request.frame).chain(&request.nodes).map(|node| &node.body);
    bodies.map(|body| tokens_of(body)).fold(0, u64::saturating_add)
}

/// Tokens of a JSON text. The files in it stand in fields named `data`, as base64.
fn tokens_of(body: &[u8]) -> u64 {
    let (mut text, mut files) = (body.len(), 0);
    let mut rest = body;
    while let Some(at) = memmem::find(rest, br#""data":""#) {
        rest = &rest[at + br#""data":""#.len()..];
        let Some(length) = memchr(b'"', rest) else { break };
        if length >= SHORTEST_FILE {
            text -= length;
            // "%PDF-" in base64.
            let is_pdf = rest.starts_with(b"JVBERi");
            files += if is_pdf { length as u64 / PDF_BYTES_PER_TOKEN } else { PICTURE };
        }
        rest = &rest[length..];
    }
    (text as u64).div_ceil(BYTES_PER_TOKEN) + files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_follows_what_models_answer_and_a_snapshot_is_the_same_model() {
        let mut means = MeanOutputs::default();
        assert_eq!(means.next("m"), None);
        means.add("m-20260928", 1, 400);
        assert_eq!(means.next("m"), Some(400));
        means.add("m", 3, 0);
        assert_eq!(means.next("m-20260928"), Some(100));
        means.add("m", 1_000_000, 7_000_000);
        assert_eq!(means.next("m"), Some(7), "what was long ago is forgotten");
        means.add("m", 0, 5);
        assert_eq!(means.next("m"), Some(7));
    }

    #[test]
    fn a_prompt_is_estimated_by_its_size_and_a_file_by_its_kind() {
        let tokens = |message: String| {
            let chain = Chain::new(b"{}".to_vec(), [message.into_bytes()]);
            prompt_tokens(&chain)
        };
        assert_eq!(tokens("x".repeat(4_000)), 1_001);
        let file =
            |start: &str| format!(r#"{{"data":"{start}{}","type":"base64"}}"#, "A".repeat(640_000));
        assert!((PICTURE..PICTURE + 20).contains(&tokens(file("iVBO"))));
        assert!((10_000..10_020).contains(&tokens(file("JVBERi"))));
        let short = r#"{"data":"short"}{"data":"#.to_owned();
        assert_eq!(tokens(short.clone()), (short.len() as u64).div_ceil(4) + 1);
    }
}
