//! `GET /metrics`: the metrics of this process, for Prometheus.
//!
//! Calls and the ledger count by themselves ([`Answers::register_metrics`]); here is what is read at the time of a scrape: what
//! is in flight, the writer's queue, the budgets. The format is that of `OpenMetrics`, or for whoever does not accept that
//! the older text format of Prometheus.

use std::{fmt, sync::Arc};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, header};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, EncodeMetric, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use super::{App, auth::OperatorAuth};
use crate::{
    answer::{self, Answers},
    domain::budget::BudgetLevel,
};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics of a server.
#[derive(Debug)]
pub(super) struct Metrics(Registry);

impl Metrics {
    pub(super) fn of(answers: &Answers) -> Self {
        let mut registry = Registry::with_prefix("reprise");
        answers.register_metrics(&mut registry);
        registry.register_collector(Box::new(Current(answers.clone())));
        Self(registry)
    }
}

/// `GET /metrics`.
pub(super) async fn metrics(
    State(app): State<Arc<App>>,
    _: OperatorAuth,
    headers: HeaderMap,
) -> Response {
    let mut encoded = String::with_capacity(64 << 10);
    text::encode(&mut encoded, &app.metrics.0).expect("a string takes any text");
    let accepted = headers.get_all(header::ACCEPT).iter();
    let accepts_open_metrics = |accepted: &[u8]| {
        String::from_utf8_lossy(accepted).contains("application/openmetrics-text")
    };
    let (kind, body) = if accepted.map(HeaderValue::as_bytes).any(accepts_open_metrics) {
        (OPEN_METRICS, encoded)
    } else {
        (PLAIN_TEXT, plain_text(&encoded))
    };
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}

/// Rewrites `OpenMetrics` as the older text format of Prometheus, in which the name of a counter has its suffix everywhere.
fn plain_text(open_metrics: &str) -> String {
    let mut plain = String::with_capacity(open_metrics.len() + 1024);
    let mut help = "";
    for line in open_metrics.lines() {
        if let Some(after) = line.strip_prefix("# HELP ") {
            help = after;
        } else if let Some(metric) = line.strip_prefix("# TYPE ") {
            let (name, kind) = metric.split_once(' ').unwrap_or((metric, ""));
            let suffix = if kind == "counter" { "_total" } else { "" };
            let help = help.strip_prefix(name).unwrap_or_default();
            plain.extend([
                "# HELP ",
                name,
                suffix,
                help,
                "\n# TYPE ",
                name,
                suffix,
                " ",
                kind,
                "\n",
            ]);
        } else if !line.starts_with('#') {
            plain.extend([line, "\n"]);
        }
    }
    plain
}

/// Values that are read at the time of a scrape.
#[derive(Debug)]
struct Current(Answers);

#[derive(Debug, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

/// A budget: its position in the settings file, and what it limits. Users are not named.
#[derive(Debug, Clone, EncodeLabelSet)]
struct BudgetLabels {
    budget: usize,
    whose: &'static str,
    per: String,
    model: String,
}

impl Collector for Current {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self(answers) = self;
        let version = BuildLabels { version: env!("CARGO_PKG_VERSION") };
        labelled(&mut encoder, "build_info", "The running version.", [(version, 1)])?;
        let load = answers.load();
        let help = "Exchanges with upstream that are running.";
        gauge(&mut encoder, "exchanges_in_flight", help, load.exchanges)?;
        let help = "Calls that wait for running exchanges or read them.";
        gauge(&mut encoder, "calls_in_flight", help, load.calls)?;
        if let Some(reachable) = answers.upstream().reachable() {
            let help = "1 if the last request to upstream got any response, else 0.";
            gauge(&mut encoder, "upstream_reachable", help, usize::from(reachable))?;
        }
        let state = answers.ledger().state();
        let help = "1 if the ledger can be written, else 0.";
        gauge(&mut encoder, "ledger_writable", help, usize::from(state.writable))?;
        let help = "Rows in the queue of the writer of the ledger.";
        gauge(&mut encoder, "ledger_queue_rows", help, state.queued)?;
        let help = "Size in memory of the rows in the queue.";
        gauge(&mut encoder, "ledger_queue_bytes", help, state.queued_bytes)?;
        let help = "Size of the write-ahead log of the ledger.";
        gauge(&mut encoder, "ledger_wal_bytes", help, state.wal_bytes)?;
        for (name, help, count) in [
            (
                "ledger_late_answers",
                "Answers that did not wait for their commit any longer.",
                state.late,
            ),
            ("ledger_lost_rows", "Rows that will never be written.", state.lost),
            (
                "ledger_dropped_bodies",
                "Rows whose bodies were dropped because the queue was full or the ledger refused them.",
                state.bodies_dropped,
            ),
        ] {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(count).encode(metric)?;
        }
        budgets(&mut encoder, &answers.budget_levels(answer::now()))
    }
}

fn gauge<N: EncodeGaugeValue>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: N,
) -> fmt::Result {
    let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(value).encode(metric)
}

/// Encodes a gauge for each set of labels; nothing if there is none.
fn labelled<L: EncodeLabelSet, N: EncodeGaugeValue>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (L, N)>,
) -> fmt::Result {
    let mut values = values.into_iter().peekable();
    if values.peek().is_none() {
        return Ok(());
    }
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn budgets(encoder: &mut DescriptorEncoder<'_>, levels: &[BudgetLevel]) -> fmt::Result {
    let labels: Vec<BudgetLabels> = levels.iter().enumerate().map(labels).collect();
    let mut tell = |name, help, amount: fn(&BudgetLevel) -> f64| {
        let values = labels.iter().cloned().zip(levels.iter().map(amount));
        labelled(encoder, name, help, values)
    };
    tell("budget_limit_dollars", "Limit of a budget.", |level| level.budget.limit.dollars())?;
    tell(
        "budget_left_dollars",
        "Part of a budget that is not spent in the current period; of a budget for each user, that of the user with the \
         least left.",
        |level| level.left.dollars(),
    )?;
    tell(
        "budget_reserved_dollars",
        "Estimated cost of the calls that are running; of a budget for each user, the highest of a user.",
        |level| level.reserved.dollars(),
    )
}

fn labels((at, level): (usize, &BudgetLevel)) -> BudgetLabels {
    let budget = &level.budget;
    BudgetLabels {
        budget: at + 1,
        whose: budget.owner.word(),
        per: budget.per.to_string(),
        model: budget.model.clone().unwrap_or_else(|| "all".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_format_has_the_suffix_of_counters_everywhere() {
        let open_metrics = "# HELP a_calls Calls.\n# TYPE a_calls counter\na_calls_total{b=\"# c\"} 1\n\
             # HELP a_size Size.\n# TYPE a_size gauge\n# UNIT a_size bytes\na_size 2\n# EOF\n";
        let plain = "# HELP a_calls_total Calls.\n# TYPE a_calls_total counter\na_calls_total{b=\"# c\"} 1\n\
             # HELP a_size Size.\n# TYPE a_size gauge\na_size 2\n";
        assert_eq!(plain_text(open_metrics), plain);
    }
}
