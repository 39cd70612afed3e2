//! Reprise: a sidecar that lets Open WebUI and any OpenAI client use Claude. It records every exchange in a ledger and
//! answers repeated requests from it.
//!
//! # The recording
//!
//! Every request to upstream streams. The response is kept as a [recording](domain::recording): the exact bytes, with
//! the end and the time of each event. A recording is append-only and has one writer and any number of readers, who may
//! join late. Everything else is derived from it:
//!
//! ```text
//! upstream (live) ─┐                       ┌─▶ OpenAI chunks        (stream: true)
//! ledger (stored) ─┼─▶ recording ─▶ playback ─▶ OpenAI completion   (stream: false)
//! fixture (file)  ─┘       │            └─────▶ Anthropic's own bytes, or its message (the Messages API)
//!                          └─▶ ledger rows: usage, cost, outcome
//! ```
//!
//! So hits and misses run the same translator, streaming and other clients share one recording, and an improved
//! translator also improves old recordings. No translation is stored.
//!
//! # Modules
//!
//! Dependencies point downward only. `main`, `cli`, `server` and `testing` also use `config`; the page of the server uses
//! `report` and `transfer`.
//!
//! ```text
//! main ─▶ cli ─▶ server, report, transfer ─▶ answer ─▶ upstream, store, fixture ─▶ domain
//! ```
//!
//! - [`cli`]: the commands, one file each. `main` is the only printer.
//! - [`config`]: the settings, each declared once, from flag, environment, file or default.
//! - [`server`]: the HTTP server: connections, authentication, extractors, handlers, errors as HTTP responses; the page
//!   for operators (`server/page.rs`).
//! - [`report`]: reports on usage, costs and savings, sessions, budgets; explanations of requests and cache keys.
//! - [`transfer`]: export of sessions as fixtures, and import of fixtures into the ledger.
//! - [`answer`]: the way of a request: prepare, select a source, ask, record, seal, play back.
//! - [`upstream`]: Anthropic over HTTP, and the decision whether to retry; or a replay of fixtures.
//! - [`testing`]: a replay inside the process of a test.
//! - [`fixture`]: fixture files on disk.
//! - [`store`]: the ledger and all SQL. `rollup` (sums for reports) and `prune` are not on the way of a request.
//! - [`domain`]: the pure core: both wire dialects and the translation between them, preparation of requests,
//!   recordings, cache keys and decisions, the catalog of models and dated prices, money, budgets, fixtures in memory.
//!
//! # Invariants
//!
//! `tests/house.rs` checks them and gives the reason for each.
//!
//! - `domain` does no IO and has no clock, environment or randomness: these enter as arguments.
//! - No module depends on one above it, and no two files depend on each other.
//! - Only `store` contains SQL. Only `server`, `upstream` and `answer/failure.rs` name HTTP statuses.
//! - Within `domain`, only `translate` and `prepare` know both wire dialects.
//! - Only `config` reads the environment. There are no globals except constants.
//! - Tasks are spawned only on a `TaskTracker`, so that shutdown waits for them.
//!
//! # One request, end to end
//!
//! 1. `server/accept.rs` accepts the connection. The handler in `server/chat.rs` gets the caller (`server/caller.rs`,
//!    after `server/auth.rs` has checked the key) and the body up to its limit (`server/body.rs`) as extractors, and
//!    calls [`answer::Answers::answer`].
//! 2. `answer/prepare.rs` prepares the request in two pure steps ([`domain::prepare`]), which serving, explaining,
//!    importing and replaying share. [`domain::prepare::ParsedRequest::parse`] parses the body ([`domain::openai`], which
//!    puts the forms of other dialects into OpenAI's) and finds the scope. `answer/recall.rs` fetches the earlier
//!    answers that the request names.
//!    [`domain::prepare::ParsedRequest::prepare`] translates it ([`domain::translate::request`], with a note of
//!    everything that is dropped or changed), writes it in canonical form ([`domain::anthropic::CanonicalRequest`]) and
//!    computes its key ([`domain::cache::key`]).
//! 3. `answer/select.rs` selects the source of the answer. It collects facts from the ledger ([`store::Ledger::find_among`])
//!    and from the exchanges in flight (`answer/inflight.rs`); [`domain::cache::decide`] returns the verdict and its
//!    reason. The verdict is carried out under the in-flight lock: of many equal calls, one asks and the others join.
//!    Hits and joined calls reuse a recording (`answer/reuse.rs`); their calls are in the ledger's journal
//!    ([`store::Ledger::journal`]) before the client gets anything, and in the ledger soon after. Before upstream is
//!    asked, the budgets must have room for the estimated cost of the call, which is reserved until the call ends
//!    (`answer/budget.rs`).
//! 4. To ask, `answer/pump.rs` spawns the pump. The opening of the exchange (`answer/exchange.rs`) is a line of the
//!    journal before anything is sent, and a row of the ledger if it runs for more than two seconds. An
//!    attempt (`answer/attempt.rs`) sends the request ([`upstream::Upstream::send`]) and appends each read of the
//!    response to a live recording (`answer/live.rs`), parsing only the few events that the row needs. The beginning is
//!    held back until there is content (`answer/held.rs`): what fails before, by status, event or cut, is sent again
//!    ([`upstream::Upstream::retry_delay`]). A part of the request that upstream refuses by name is left out
//!    ([`domain::translate::heal`]); a paused answer is continued in another exchange.
//! 5. The body of the client's response reads the recording ([`answer::playback`]). Each time it is woken, it
//!    translates all unread events ([`domain::translate::Chunks`]) into the client's form ([`domain::translate::Form`])
//!    in one write.
//! 6. The event that ends the answer is held back until `answer/seal.rs` has sealed the exchange
//!    ([`store::Ledger::seal`]): it stands in the journal, and the writer commits it with others within 50 ms; a large
//!    one is committed at once. Then the reader gets it, writes the finish chunk, the usage and `[DONE]`, and ends the
//!    body. A client that got the end can therefore rely on the ledger. The call is finished with the exchange: one row
//!    and one log line (`answer/call.rs`), as for hits and joined calls. `answer/observe.rs` counts it for `/metrics`
//!    (`server/metrics.rs`) and hands its spans to the exporter of traces (`server/traces.rs`).
//! 7. A client that disconnects drops its reader. When the last reader is gone, the pump closes the connection to
//!    upstream and seals the exchange as stopped, with a lower bound of its cost. So it does when an operator, who may
//!    look at running answers, stops one (`answer/watch.rs`).
//!
//! The Messages API (`server/messages.rs`, `POST /v1/messages`) needs no translation. The request is parsed as far as
//! the ledger and the key require ([`domain::anthropic::Native`]) and sent as it was written. The response is the
//! recorded bytes ([`answer::EventStream`]), or the message that they make up ([`domain::anthropic::assemble`]).
//!
//! A replay differs only in its upstream: [`upstream::Replay`], which answers from a player of fixtures
//! ([`domain::cassette::Player`]) and has no HTTP client. It stores nothing. The exception is `--on-miss record`: what has
//! no fixture is asked upstream (`upstream/replay/record.rs`) and becomes one ([`fixture::RecordFolder`]).
//!
//! # Failures
//!
//! - A failure of the ledger never costs an answer: waits for commits are bounded, and rows stay queued.
//! - A failure of upstream is passed on as it is: before any content as an HTTP error, if retries do not help, and after
//!   it as an error in the stream, to all readers. The exception is a refused parameter that can be left out, which a
//!   note reports.
//! - A stream that ends before it has said why is an error, never a silent end. One that lacks only `message_stop` or its
//!   blank line is completed.
//! - No key is ever stored, logged or returned.
//!
//! # Glossary
//!
//! Terms with a meaning of their own here; all others are those of HTTP, OpenAI and Anthropic.
//!
//! - *alias*: a model with settings of the operator's, which clients choose like a model ([`domain::alias`]).
//! - *call*: one request of a client and its answer; it refers to the exchange that answers it ([`store::CallRecord`]).
//! - *caller*: the sender of a call as far as it is known: client key, user, chat, message
//!   ([`domain::prepare::Caller`]).
//! - *cassette*: the content of a fixture file in memory ([`domain::cassette`]).
//! - *catalog*: the parameters and dated prices of each Claude model ([`domain::catalog`]).
//! - *collapsed*: answered by joining an exchange in flight, instead of starting one.
//! - *cost*: the price of an exchange: exact, a lower bound (`≥`), or unpriced ([`domain::exchange::Cost`]).
//! - *cut*: ended before it has said why; said of a stream.
//! - *exchange*: one request that went upstream, retries included, with its recording.
//! - *fixture*: an exchange in a file, from which a replay answers ([`fixture`]).
//! - *in flight*: running, so that other calls may join; said of an exchange.
//! - *journal*: a file beside the ledger with openings, tries, calls and ended exchanges that a crash must not lose, until
//!   they are committed.
//! - *key*: the hash of everything in a request that can change its answer ([`domain::cache::CacheKey`]).
//! - *ledger*: the database of all exchanges and calls ([`store`]).
//! - *note*: a record of something that translation dropped or changed ([`domain::translate::Note`]).
//! - *originals*: earlier answers as Claude gave them, which replace their lossy copies in a chat's history.
//! - *playback*: the translation of a recording into the response that a client wants.
//! - *pump*: the task that copies an upstream response into a recording and seals the exchange.
//! - *refused*: answered by nobody, because Reprise itself said no; said of a call.
//! - *quirk*: a change that upstream needs in all requests with the same tool, tools, format or model
//!   ([`domain::translate::Quirk`]).
//! - *recording*: the bytes of an upstream response with the end and the time of each event ([`domain::recording`]).
//! - *scope*: the callers who share an answer ([`domain::cache::Scope`]).
//! - *seal*: to commit the end of an exchange and its call, before the client gets the last bytes.
//! - *session*: the exchanges of one chat.
//! - *tag*: a label that a client gives a call ([`domain::tags`]).
//! - *task*: a background call of Open WebUI, such as a title or tags ([`domain::task`]).
//! - *try*: one request to upstream; an exchange has several if one fails before any content ([`upstream::Tries`]).
//! - *upstream*: Anthropic's API, or the replay that takes its place ([`upstream`]).
//! - *verdict*: the decision on the source of an answer ([`domain::cache::Verdict`]).

pub mod answer;
pub mod cli;
pub mod config;
pub mod domain;
pub mod fixture;
pub mod report;
pub mod server;
pub mod store;
pub mod testing;
pub mod transfer;
pub mod upstream;
