//! Reports for the page, as JSON. They are those of the commands, computed by the same functions, so that both tell the same
//! figures.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Query, State},
};
use http::Uri;
use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::guard::Viewer;
use crate::{
    answer,
    domain::{
        catalog::{Model, day_of},
        exchange::CallId,
        open_webui::HEADER_BOX,
    },
    report::{
        BudgetList, CallDetails, CallPage, Stats,
        stats::{GroupBy, Period, TimeSpec},
    },
    server::{App, error::Rejection},
    store::{self, CallFilter, Condition, Field},
};

/// Number of calls on a page, by default and at most.
const CALLS: u32 = 50;
const MOST_CALLS: u32 = 500;

/// Instructions for connecting a client, whether one has, and what the viewer may do.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent fact, as the page reads it"
)]
#[derive(Debug, Serialize)]
pub(super) struct Setup {
    /// True if there is a call in the ledger.
    has_calls: bool,
    /// The header box of Open WebUI's connection.
    headers: &'static str,
    /// True if clients must send a key.
    requires_key: bool,
    /// True if there is a key for Anthropic, so that clients need none of their own.
    has_upstream_key: bool,
    /// The time zone in which days begin.
    timezone: Option<String>,
    /// True if the viewer may delete what was said.
    may_delete: bool,
    /// The models with a price today, for costs with another model.
    priced_models: Vec<PricedModel>,
}

/// A model with a price.
#[derive(Debug, Serialize)]
struct PricedModel {
    id: String,
    name: String,
}

/// A period, in the words of `reprise stats`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Span {
    pub(super) since: Option<String>,
    pub(super) until: Option<String>,
}

/// The arguments of `GET /page/stats`, as those of `reprise stats`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StatsQuery {
    since: Option<String>,
    until: Option<String>,
    /// Dimensions, with commas between them.
    by: Option<String>,
}

/// The arguments of `GET /page/calls`. An empty text stands for a field that the client did not state.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CallsQuery {
    since: Option<String>,
    until: Option<String>,
    user: Option<String>,
    chat: Option<String>,
    /// A model, or all whose ids begin so: `claude-opus-*`.
    model: Option<String>,
    task: Option<String>,
    key: Option<String>,
    tag: Option<String>,
    outcome: Option<String>,
    /// A source of answers, or `upstream` for all that went there.
    answered_by: Option<String>,
    /// A kind of error; an empty text stands for any.
    error: Option<String>,
    /// `prompt_cache`: only calls that read or wrote it; `any`: also repeats and calls that joined another.
    saved_by: Option<String>,
    /// The number before which the page begins.
    before: Option<i64>,
    limit: Option<u32>,
}

/// `GET /page/setup`: how to connect a client.
pub(super) async fn setup(
    State(app): State<Arc<App>>,
    Viewer(role): Viewer,
) -> Result<Json<Setup>, Rejection> {
    let (auth, answers) = (app.auth(), &app.answers);
    let newest =
        answers.ledger().caught_up().await.newest_call().await.map_err(Rejection::Unreadable)?;
    let (catalog, today) = (answers.catalog(), day_of(answer::now()));
    let priced = |model: &&Model| catalog.price_on(&model.id, today).is_some();
    let models = catalog
        .models()
        .iter()
        .filter(priced)
        .map(|Model { id, name, .. }| PricedModel { id: id.clone(), name: name.clone() });
    Ok(Json(Setup {
        has_calls: newest > 0,
        headers: HEADER_BOX,
        requires_key: auth.requires_key(),
        has_upstream_key: auth.has_upstream_key(),
        timezone: answers.budgets().zone.iana_name().map(str::to_owned),
        may_delete: role.may_delete(),
        priced_models: models.collect(),
    }))
}

/// `GET /page/stats?since=…&until=…&by=…`: the report of `reprise stats --json`.
pub(super) async fn stats(
    State(app): State<Arc<App>>,
    _: Viewer,
    uri: Uri,
) -> Result<Json<Stats>, Rejection> {
    let StatsQuery { since, until, by } = arguments(&uri)?;
    let period = Span { since, until }.period(&app)?;
    let by = by.as_deref().unwrap_or(GroupBy::Model.as_str());
    let by = by.split(',').filter(|name| !name.is_empty()).map(|name| {
        let unknown = || Rejection::InvalidQuery(format!("no such field to group by: {name}"));
        GroupBy::named(name).ok_or_else(unknown)
    });
    let by = by.collect::<Result<Vec<_>, _>>()?;
    let catalog = app.answers.catalog();
    let Ok(_permit) = app.page.reports.acquire().await else { return Err(Rejection::Panicked) };
    // Sums that cannot be written make it only slower.
    let url = &app.page.ledger_url;
    if let Err(error) = store::roll_up(url, &catalog, store::WORTH_SUMMING_UP).await {
        tracing::debug!(%error, "cannot write roll-ups");
    }
    let stats = Stats::of(app.answers.ledger().caught_up().await, &catalog, &period, &by).await;
    stats.map(Json).map_err(Rejection::Unreadable)
}

/// `GET /page/budgets`: the report of `reprise budgets --json`.
pub(super) async fn budgets(
    State(app): State<Arc<App>>,
    _: Viewer,
) -> Result<Json<BudgetList>, Rejection> {
    let (answers, now) = (&app.answers, answer::now());
    let (reader, catalog) = (answers.ledger().caught_up().await, answers.catalog());
    let Ok(_permit) = app.page.reports.acquire().await else { return Err(Rejection::Panicked) };
    let list = BudgetList::read(reader, answers.budgets(), &catalog, now).await;
    list.map(Json).map_err(Rejection::Unreadable)
}

/// `GET /page/calls`: calls with the fields of `reprise calls export`, the newest first.
pub(super) async fn calls(
    State(app): State<Arc<App>>,
    _: Viewer,
    uri: Uri,
) -> Result<Json<CallPage>, Rejection> {
    let query: CallsQuery = arguments(&uri)?;
    let (before, most) = (query.before, query.limit.unwrap_or(CALLS).clamp(1, MOST_CALLS));
    let filter = query.filter(&app)?;
    let page = CallPage::of(app.answers.ledger().caught_up().await, &filter, before, most).await;
    page.map(Json).map_err(Rejection::Unreadable)
}

/// `GET /page/calls/{id}`: the report of `reprise calls show --json`.
pub(super) async fn call(
    State(app): State<Arc<App>>,
    _: Viewer,
    Path(id): Path<String>,
) -> Result<Json<CallDetails>, Rejection> {
    let none = || Rejection::NoSuchCall(id.clone());
    let known: CallId = id.parse().map_err(|_| none())?;
    let reader = app.answers.ledger().caught_up().await;
    let details = CallDetails::of_call(reader, &app.answers.catalog(), known).await;
    details.map_err(Rejection::Unreadable)?.map(Json).ok_or_else(none)
}

/// The arguments in the query of an address.
pub(super) fn arguments<T: DeserializeOwned>(uri: &Uri) -> Result<T, Rejection> {
    let parsed = Query::try_from_uri(uri);
    parsed.map(|Query(query)| query).map_err(|error| Rejection::InvalidQuery(error.to_string()))
}

impl Span {
    /// The period, whose days begin in the time zone of the settings.
    pub(super) fn period(&self, app: &App) -> Result<Period, Rejection> {
        let invalid = |error: &dyn std::fmt::Display| Rejection::InvalidQuery(error.to_string());
        let now = Timestamp::from_millisecond(answer::now().0).map_err(|error| invalid(&error))?;
        let now = Zoned::new(now, app.answers.budgets().zone);
        let time = |text: &Option<String>| {
            let text = text.as_deref().filter(|text| !text.is_empty());
            text.map(str::parse::<TimeSpec>).transpose().map_err(|error| invalid(&error))
        };
        let (since, until) = (time(&self.since)?, time(&self.until)?);
        Period::new(since.as_ref(), until.as_ref(), &now).map_err(|error| invalid(&error))
    }
}

impl CallsQuery {
    fn filter(self, app: &App) -> Result<CallFilter, Rejection> {
        let Self { since, until, user, chat, model, task, key, tag, .. } = self;
        let Period { span, .. } = Span { since, until }.period(app)?;
        let mut conditions = Vec::new();
        let mut stated = |value: Option<String>, field| match value.as_deref() {
            Some("") => {
                conditions.push(Condition::Without(field));
                None
            }
            _ => value,
        };
        let (user, chat) = (stated(user, Field::User), stated(chat, Field::Chat));
        let (task, key) = (stated(task, Field::Task), stated(key, Field::Key));
        let beginning = model.as_deref().and_then(|model| model.strip_suffix('*'));
        conditions.extend(beginning.map(|beginning| Condition::ModelFrom(beginning.to_owned())));
        let model = if beginning.is_some() { None } else { model };
        conditions.extend(key.map(Condition::Key));
        conditions.extend(self.error.map(|kind| match kind.as_str() {
            "" => Condition::Failed,
            _ => Condition::FailedWith(kind),
        }));
        conditions.extend(match self.saved_by.as_deref() {
            Some("prompt_cache") => Some(Condition::PromptCache),
            Some("any") => Some(Condition::Saving),
            Some(other) => return Err(no_such(other)),
            None => None,
        });
        let answered_by = match self.answered_by.as_deref() {
            Some("upstream") => {
                conditions.push(Condition::Asked);
                None
            }
            named => named.map(known).transpose()?,
        };
        let outcome = self.outcome.as_deref().map(known).transpose()?;
        // What is asked for by name is shown, also where reports do not count it.
        if answered_by.is_none() && outcome.is_none() {
            conditions.push(Condition::Counted);
        }
        let tags = tag.into_iter().collect();
        Ok(CallFilter { span, user, chat, model, task, outcome, answered_by, tags, conditions })
    }
}

/// The value with this name.
fn known<T: std::str::FromStr>(name: &str) -> Result<T, Rejection> {
    name.parse().map_err(|_| no_such(name))
}

fn no_such(value: &str) -> Rejection {
    Rejection::InvalidQuery(format!("no such value: {value}"))
}
