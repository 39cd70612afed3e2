//! Metrics of calls: counted once, when a call ends, and encoded by `/metrics`. They begin with the process; the ledger has
//! the sums of all time.
//!
//! Every label has a limited number of values: a client chooses models and tasks, and upstream kinds of errors. None names a
//! user, a chat or a key.

use std::{
    collections::HashSet,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::RwLock;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, TypedMetric, counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use crate::{
    domain::{
        catalog::{Catalog, day_of},
        exchange::{AnsweredBy, Cost, NanoDollars, Outcome, Tokens},
        task,
    },
    store::CallRecord,
};

/// Limit of models that the catalog does not have, of kinds of errors, and of reasons of refusals.
const MOST_NAMES: usize = 32;
/// The label of what is beyond a limit.
const OTHER: &str = "other";
/// The label of a call that is no background task.
const NO_TASK: &str = "none";

/// Upper bounds of the buckets of the time to the first token, in seconds: an answer of the ledger takes a millisecond, one
/// that thinks first takes a minute.
const FIRST_TOKEN: [f64; 14] =
    [0.001, 0.0025, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0];
/// The same of the time to the last byte.
const DURATION: [f64; 14] =
    [0.001, 0.0025, 0.01, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 90.0, 180.0, 600.0];

/// Metrics of the calls of this process.
#[derive(Debug)]
pub(super) struct CallMetrics {
    calls: Family<CallLabels, Counter>,
    failed: Family<KindLabels, Counter>,
    refused: Family<ReasonLabels, Counter>,
    upstream_requests: Counter,
    tokens: Family<TokenLabels, Counter>,
    thinking: Family<PaidLabels, Counter>,
    searches: Family<PaidLabels, Counter>,
    cost: Family<PaidLabels, Dollars>,
    inexact: Family<InexactLabels, Counter>,
    saved: Family<SavedLabels, Dollars>,
    cache_surcharge: Family<PaidLabels, Dollars>,
    first_token: Family<TimeLabels, Histogram, fn() -> Histogram>,
    duration: Family<TimeLabels, Histogram, fn() -> Histogram>,
    /// Models that the catalog does not have.
    models: Names,
    kinds: Names,
    reasons: Names,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    api: &'static str,
    answered_by: &'static str,
    outcome: &'static str,
    task: &'static str,
    model: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PaidLabels {
    model: Arc<str>,
    task: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    kind: &'static str,
    model: Arc<str>,
    task: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SavedLabels {
    by: &'static str,
    model: Arc<str>,
    task: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InexactLabels {
    cost: &'static str,
    model: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TimeLabels {
    answered_by: &'static str,
    model: Arc<str>,
}

impl Default for CallMetrics {
    fn default() -> Self {
        Self {
            calls: Family::default(),
            failed: Family::default(),
            refused: Family::default(),
            upstream_requests: Counter::default(),
            tokens: Family::default(),
            thinking: Family::default(),
            searches: Family::default(),
            cost: Family::default(),
            inexact: Family::default(),
            saved: Family::default(),
            cache_surcharge: Family::default(),
            first_token: Family::new_with_constructor(|| Histogram::new(FIRST_TOKEN)),
            duration: Family::new_with_constructor(|| Histogram::new(DURATION)),
            models: Names::default(),
            kinds: Names::default(),
            reasons: Names::default(),
        }
    }
}

impl CallMetrics {
    /// Adds the metrics to a registry, which shows what is counted from then on, too.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "calls",
            "Calls that ended, by how they were answered",
            self.calls.clone(),
        );
        registry.register(
            "failed_calls",
            "Calls that ended with an error, by its kind",
            self.failed.clone(),
        );
        registry.register(
            "refused_requests",
            "Requests that Reprise itself refused, by reason; they are not among the calls",
            self.refused.clone(),
        );
        registry.register(
            "upstream_requests",
            "Requests that upstream was sent for calls, retries included",
            self.upstream_requests.clone(),
        );
        registry.register(
            "tokens",
            "Tokens of calls that went upstream, by kind; the prompt is the sum of all kinds but output",
            self.tokens.clone(),
        );
        registry.register(
            "thinking_tokens",
            "Tokens of thinking, which are among those of the output",
            self.thinking.clone(),
        );
        registry.register("web_searches", "Web searches that were billed", self.searches.clone());
        registry.register(
            "cost_dollars",
            "Known cost of calls in US dollars; a lower bound where calls have no exact cost",
            self.cost.clone(),
        );
        registry.register(
            "calls_without_exact_cost",
            "Calls whose cost is a lower bound (at_least) or not known (unpriced)",
            self.inexact.clone(),
        );
        registry.register(
            "saved_dollars",
            "Savings in US dollars, by answers from the ledger (ledger), by joining a running exchange (collapsed), and by \
             reads from the prompt cache of Anthropic, without the surcharge of writes (prompt_cache)",
            self.saved.clone(),
        );
        registry.register(
            "prompt_cache_surcharge_dollars",
            "Surcharge in US dollars for writes to the prompt cache of Anthropic, compared with plain input",
            self.cache_surcharge.clone(),
        );
        registry.register(
            "time_to_first_token_seconds",
            "Time from the request of a call to the first bytes of its answer",
            self.first_token.clone(),
        );
        registry.register(
            "call_duration_seconds",
            "Time from the request of a call to the last bytes of its answer",
            self.duration.clone(),
        );
    }

    /// Counts a call that has ended.
    pub(super) fn count(&self, call: &CallRecord, catalog: &Catalog) {
        let model = self.model(call, catalog);
        let task = match call.task.as_deref() {
            None => NO_TASK,
            Some(named) => task::named(named).unwrap_or(OTHER),
        };
        let answered_by = call.answered_by.into_str();
        let labels = CallLabels {
            api: call.api.into_str(),
            answered_by,
            outcome: call.outcome.into_str(),
            task,
            model: Arc::clone(&model),
        };
        self.calls.get_or_create(&labels).inc();
        if let Some(kind) = &call.error_kind {
            let kind = self.kinds.get_or_insert(kind);
            self.failed.get_or_create(&KindLabels { kind }).inc();
        }
        self.upstream_requests.inc_by(u64::from(call.tries));
        let times = TimeLabels { answered_by, model: Arc::clone(&model) };
        for (family, time) in [(&self.first_token, call.ttft), (&self.duration, call.total)] {
            if let Some(time) = time {
                family.get_or_create(&times).observe(time.seconds());
            }
        }
        let paid = PaidLabels { model, task };
        match call.answered_by {
            AnsweredBy::Hit => self.save("ledger", &paid, call.saved),
            AnsweredBy::Collapsed => self.save("collapsed", &paid, call.saved),
            by if by.asks() => self.pay(call, &paid, catalog),
            _ => {}
        }
    }

    /// Counts a request that Reprise refused for `reason`.
    pub(super) fn count_refusal(&self, reason: &str) {
        let reason = self.reasons.get_or_insert(reason);
        self.refused.get_or_create(&ReasonLabels { reason }).inc();
    }

    fn save(&self, by: &'static str, paid: &PaidLabels, saved: Cost) {
        let PaidLabels { model, task } = paid;
        let labels = SavedLabels { by, model: Arc::clone(model), task };
        self.saved.get_or_create(&labels).add(saved.amount().unwrap_or_default());
    }

    fn pay(&self, call: &CallRecord, paid: &PaidLabels, catalog: &Catalog) {
        let CallRecord { tokens, cost, .. } = call;
        let Tokens {
            input,
            cache_write_5m,
            cache_write_1h,
            cache_read,
            output,
            thinking,
            searches,
        } = *tokens;
        for (kind, count) in [
            ("input", input),
            ("cache_write_5m", cache_write_5m),
            ("cache_write_1h", cache_write_1h),
            ("cache_read", cache_read),
            ("output", output),
        ] {
            if count > 0 {
                let labels = TokenLabels { kind, model: Arc::clone(&paid.model), task: paid.task };
                self.tokens.get_or_create(&labels).inc_by(count);
            }
        }
        for (family, count) in [(&self.thinking, thinking), (&self.searches, searches)] {
            if count > 0 {
                family.get_or_create(paid).inc_by(count);
            }
        }
        self.cost.get_or_create(paid).add(cost.amount().unwrap_or_default());
        let inexact = match cost {
            Cost::Exact(_) => None,
            Cost::AtLeast(_) => Some("at_least"),
            Cost::Unpriced => Some("unpriced"),
        };
        if let Some(cost) = inexact {
            let labels = InexactLabels { cost, model: Arc::clone(&paid.model) };
            self.inexact.get_or_create(&labels).inc();
        }
        let priced_as = call.pricing.priced_as.as_deref().unwrap_or(&call.model);
        let saving = |tokens| catalog.cache_saving_on(priced_as, tokens, day_of(call.at));
        // The same prompt with plain input instead of what was written.
        let written = cache_write_5m.saturating_add(cache_write_1h);
        let unwritten = Tokens {
            input: input.saturating_add(written),
            cache_write_5m: 0,
            cache_write_1h: 0,
            ..*tokens
        };
        if written.saturating_add(cache_read) > 0
            && let (Some(net), Some(reads)) = (saving(tokens), saving(&unwritten))
        {
            self.save("prompt_cache", paid, Cost::Exact(reads));
            let surcharge = NanoDollars(reads.0.saturating_sub(net.0));
            self.cache_surcharge.get_or_create(paid).add(surcharge);
        }
    }

    /// The label of the model of a call. A name that only a client knows is none.
    fn model(&self, call: &CallRecord, catalog: &Catalog) -> Arc<str> {
        match catalog.get(&call.model) {
            Some(model) => Arc::from(&*model.id),
            None if call.outcome == Outcome::Complete => self.models.get_or_insert(&call.model),
            None => self.models.get(&call.model),
        }
    }
}

/// Names that are labels, up to a limit.
#[derive(Debug, Default)]
struct Names(RwLock<HashSet<Arc<str>>>);

impl Names {
    /// The label of a name, which is [`OTHER`] unless it is known.
    fn get(&self, name: &str) -> Arc<str> {
        self.0.read().get(name).map_or_else(|| Arc::from(OTHER), Arc::clone)
    }

    /// The label of a name, which becomes known if there is room.
    fn get_or_insert(&self, name: &str) -> Arc<str> {
        if !self.0.read().contains(name) {
            let mut names = self.0.write();
            if names.len() < MOST_NAMES {
                names.insert(Arc::from(name));
            }
        }
        self.get(name)
    }
}

/// A sum of money: added up in nano-dollars, and encoded in dollars.
#[derive(Debug, Default)]
struct Dollars(AtomicU64);

impl Dollars {
    /// Adds an amount; a counter takes no negative one.
    fn add(&self, amount: NanoDollars) {
        self.0.fetch_add(u64::try_from(amount.0).unwrap_or_default(), Relaxed);
    }
}

impl TypedMetric for Dollars {
    const TYPE: MetricType = MetricType::Counter;
}

impl EncodeMetric for Dollars {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let nanos = i64::try_from(self.0.load(Relaxed)).unwrap_or(i64::MAX);
        encoder.encode_counter::<NoLabelSet, _, f64>(&NanoDollars(nanos).dollars(), None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_limit_are_one_label() {
        let names = Names::default();
        let labels: HashSet<_> = (0..1_000).map(|n| names.get_or_insert(&n.to_string())).collect();
        assert_eq!(labels.len(), MOST_NAMES + 1);
        assert_eq!(&*names.get_or_insert("0"), "0", "a known one stays");
        assert_eq!((&*names.get("999"), &*names.get("never")), (OTHER, OTHER));
    }

    #[test]
    fn money_is_added_up_without_rounding() {
        let dollars = Dollars::default();
        for _ in 0..1_000 {
            dollars.add(NanoDollars(1));
        }
        dollars.add(NanoDollars(-5));
        assert_eq!(dollars.0.load(Relaxed), 1_000);
    }
}
