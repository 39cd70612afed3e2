//! A fixture as the rows that the ledger would have of it.
//!
//! Its ids are made of its content, so that what was imported once is known. It cost nothing to import it.

use std::sync::Arc;

use uuid::Builder;

use crate::{
    domain::{
        alias::Aliases,
        anthropic::{Native, StreamSummary},
        cache::{self, CacheKey, KeyHolder, Scope},
        cassette::{Cassette, ClientRequest},
        catalog::Catalog,
        chain::{Chain, Hash},
        exchange::{AnsweredBy, Api, CallId, Cost, ExchangeId, NanoDollars, Outcome, UnixMillis},
        openai,
        translate::{self, Context, Originals},
    },
    fixture::Fixture,
    store::{CallEnd, CallFacts, Opening, Sealing},
};

/// What goes into the ledger.
#[derive(Debug)]
pub struct Imported {
    /// What the exchange begins with.
    pub opening: Opening,
    /// How it ends.
    pub sealing: Sealing,
}

/// Where it is put, and by what it is understood.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Whose repeats it answers.
    pub holder: &'a KeyHolder,
    /// Whose answer it is: the address of upstream.
    pub upstream: &'a str,
    /// What each model accepts.
    pub catalog: &'a Catalog,
    /// What the operator named.
    pub aliases: &'a Aliases,
    /// The answers that its history may name.
    pub originals: &'a Originals,
    /// How old a fixture is that has no day.
    pub now: UnixMillis,
}

/// A request as it goes upstream now.
struct Asked {
    key: CacheKey,
    scope: Scope,
    chain: Chain,
}

impl Imported {
    /// The rows of the fixture number `number`. `None` where there is no client's request, or no whole answer.
    pub fn of(fixture: &Fixture, number: usize, place: &Place<'_>) -> Option<Self> {
        let Place { holder, upstream: _, catalog, aliases, originals, now } = *place;
        let cassette = fixture.cassette.as_ref()?;
        let client = cassette.client.as_ref()?;
        let context = Context { catalog, aliases, occasion: client.occasion(), originals };
        let Asked { key, scope, chain } = asked(client, cassette, place, &context)?;
        let recording = cassette.recording();
        let mut tally = StreamSummary::default();
        recording.events().try_for_each(|event| tally.read(event)).ok()?;
        if !tally.ended() {
            return None;
        }
        let recorded = moment(cassette, number);
        let at = recorded.unwrap_or(now);
        let whole = Hash::of("fixture", &[cassette.render().text.as_bytes()]);
        let id = |what: &str| {
            let hash = Hash::of(what, &[holder.as_str().as_bytes(), whole.as_bytes()]);
            let random = hash.as_bytes().first_chunk().copied().unwrap_or_default();
            let millis = recorded.and_then(|at| u64::try_from(at.0).ok()).unwrap_or(0);
            Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
        };
        let model = cassette.model();
        let facts = CallFacts {
            id: CallId::new(id("call")),
            at,
            answered_by: AnsweredBy::Replay,
            door: client.api,
            stream: true,
            user: None,
            chat: Some(fixture.scenario.clone()).filter(|scenario| !scenario.is_empty()),
            message: None,
            user_message: None,
            task: client.task.clone(),
            client: client.program.clone(),
            notes: None,
            client_chain: openai::chain(client.body.as_bytes()).map(Arc::new),
        };
        let free = Cost::Exact(NanoDollars(0));
        let tokens = tally.tokens();
        let status = Some(cassette.response.status);
        let opening = Opening {
            exchange: ExchangeId::new(id("exchange")),
            key,
            scope: scope.to_string(),
            model: model.clone(),
            opened_at: at,
            continues: None,
            breakpoints: None,
            head: cassette
                .upstream
                .as_ref()
                .map(|asked| (asked.version.clone(), asked.betas.join(","))),
            chain: Some(Arc::new(chain)),
            collapse: None,
            call: facts,
        };
        let sealing = Sealing {
            outcome: Outcome::Complete,
            stop_reason: tally.stop_reason().map(str::to_owned),
            error_kind: None,
            error: None,
            status,
            upstream_request: None,
            model_served: tally.model().map(str::to_owned),
            ended_at: at,
            ttft: None,
            total: None,
            tokens,
            cost: free,
            priced_on: None,
            servable: tally.is_servable(),
            refs: tally.take_refs(),
            recording: Some(Arc::new(recording)),
            call: Some(CallEnd {
                status,
                ttft: None,
                total: None,
                tokens,
                cost: free,
                notes: None,
            }),
        };
        Some(Self { opening, sealing })
    }
}

fn asked(
    client: &ClientRequest,
    cassette: &Cassette,
    place: &Place<'_>,
    context: &Context<'_>,
) -> Option<Asked> {
    let Place { holder, upstream, .. } = *place;
    let scope = |user: Option<String>| match user {
        Some(user) => Scope::User(holder.clone(), cache::bounded(&user)),
        None => Scope::Client(holder.clone()),
    };
    match client.api {
        Api::Chat => {
            let translate::Again { version, betas, texts, user } =
                translate::again(client.body.as_bytes(), None, context)?;
            let scope = scope(user);
            let key = cache::key(&scope, upstream, version, &betas.join(","), &texts.digest);
            Some(Asked { key, scope, chain: texts.chain })
        }
        Api::Messages => {
            let native = Native::parse(client.body.as_bytes()).ok()?;
            let scope = scope(native.user);
            let asked = cassette.upstream.as_ref()?;
            let key = cache::key(
                &scope,
                upstream,
                &asked.version,
                &asked.betas.join(","),
                &native.digest,
            );
            Some(Asked { key, scope, chain: native.chain })
        }
    }
}

/// The day of the recording, and so many milliseconds for its place among others.
fn moment(cassette: &Cassette, number: usize) -> Option<UnixMillis> {
    let day: jiff::civil::Date = cassette.recorded.as_deref()?.parse().ok()?;
    let midnight = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond();
    Some(UnixMillis(midnight.saturating_add(i64::try_from(number).ok()?)))
}
