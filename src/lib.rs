//! Reprise: a sidecar that lets Open WebUI and any OpenAI client use Claude, records every exchange in a ledger, and
//! answers repeats from it.
//!
//! # The one idea: the recording
//!
//! Upstream is always asked to stream. What comes back is kept as a [recording](domain::recording): the exact bytes,
//! with marks that say where each event ends and when it came. It is append-only: one writer, any number of readers,
//! who may come late. Everything else is a reading of it:
//!
//! ```text
//! upstream (live) ─┐                       ┌─▶ OpenAI chunks        (stream: true)
//! ledger (stored) ─┼─▶ recording ─▶ playback ─▶ OpenAI completion   (stream: false)
//! fixture (file)  ─┘       │            └─────▶ Anthropic's own bytes, or its message (the Messages API)
//!                          └─▶ ledger rows: usage, cost, outcome
//! ```
//!
//! So a hit and a miss run the same translator, clients that stream and those that don't share one recording, and a
//! better translator improves old recordings. Nothing is stored translated.
//!
//! # The map
//!
//! Strictly downward: `main` → [`cli`] → { [`server`], [`report`], [`transfer`] } → [`answer`] → { [`upstream`],
//! [`store`], [`fixture`] } → [`domain`]. [`config`] is read by `cli` and `server`.
//!
//! - [`cli`]: one file a command; arguments in, report out. `main` is the only printer.
//! - [`config`]: every setting, from flag, environment, file or default. The environment is read nowhere else.
//! - [`server`]: the HTTP server. Connections, authentication, callers, handlers; errors as HTTP responses.
//! - [`report`]: what was asked, what it cost and what was saved, from the ledger; what would become of a request.
//! - [`transfer`]: sessions out of the ledger as fixtures, and fixtures into it.
//! - [`answer`]: the way of a request: select a source, ask, record, seal, play back.
//! - [`upstream`]: Anthropic over HTTP, with retries before the first byte; or fixtures that are played.
//! - [`testing`]: a replay inside the process that tests.
//! - [`fixture`]: fixture files on disk.
//! - [`store`]: the ledger; all SQL. Sums for reports (`rollup`) and pruning stand beside the way of a request.
//! - [`domain`]: pure. Both wire dialects and the translation between them, recordings, cache keys, the catalog of
//!   models and dated prices, money, its sums and budgets, fixtures in memory. No IO, no clock, no randomness:
//!   everything enters as an argument.
//!
//! `tests/house.rs` holds the arrows and the absences.
//!
//! # One request, end to end
//!
//! 1. `server/accept.rs` takes the connection; `server/chat.rs` checks the key ([`server`]'s `auth`), reads who asks
//!    (`caller`) and the body, up to a limit, and hands both to [`answer::Answers::answer`].
//! 2. `answer/prepare.rs` has the request prepared by [`domain::prepare`], as explaining, importing and replaying do: its
//!    body is parsed ([`domain::openai`]); the answers that its history names are recalled from the ledger
//!    (`answer/recall.rs`); it is translated ([`domain::translate::request`]; whatever is dropped or changed is a note),
//!    made canonical for hashing, keeping and sending ([`domain::anthropic::CanonicalRequest`]), and keyed
//!    ([`domain::cache::key`]).
//! 3. A source is selected (`answer/select.rs`): the facts are gathered from the ledger ([`store::Ledger::find`]) and from
//!    the exchanges in flight (`answer/inflight.rs`), and [`domain::cache::decide`] gives the verdict, with its reason.
//!    The verdict is carried out under the in-flight lock: of many calls that want the same, one asks and the others
//!    join. A hit and a joined call reuse a recording (`answer/reuse.rs`); a budget may forbid to ask (`answer/budget.rs`).
//! 4. To ask, a pump is spawned (`answer/pump.rs`). It commits a row in `running`; an attempt (`answer/attempt.rs`) sends
//!    the exchange ([`upstream::Upstream::send`]) and appends each read of the response to a live recording
//!    (`answer/live.rs`), looking only at the few events that the ledger's row needs. A part that upstream refuses by name
//!    is left out ([`domain::translate::heal`]); an answer that pauses is continued in an exchange of its own.
//! 5. The client's response body is a reader of that recording ([`answer::playback`]): each time it is woken it
//!    translates everything unread ([`domain::translate::Chunks`]), in the form that its client wants
//!    ([`domain::translate::Form`]), and writes it in one piece.
//! 6. The event that ends the answer is held back until the exchange is sealed in the ledger (`answer/seal.rs`,
//!    [`store::Ledger::seal`]); then the reader gets it, writes the finish chunk, usage and `[DONE]`, and the body ends at
//!    once. So a client that got the end can rely on the ledger. The call, begun with the exchange, is finished with it:
//!    one row and one log line (`answer/call.rs`), for hits and joined calls as well.
//! 7. A client that leaves drops its reader; when the last one is gone the pump closes the connection to upstream and
//!    seals the exchange as stopped, at a cost of at least what is known.
//!
//! The Messages API (`server/messages.rs`, `POST /v1/messages`) goes the same way with nothing to translate: the request
//! is read as far as the ledger and the key need it ([`domain::anthropic::Native`]) and goes upstream as it was written;
//! the reader passes the recorded bytes on ([`answer::EventStream`]), or assembles the message that they make up
//! ([`domain::anthropic::assemble`]).
//!
//! A replay goes the same way, too: only [`upstream::Upstream`] is another, a stage of fixtures
//! ([`domain::cassette::Player`]) that has no client to open a connection with. Nothing of it is kept.
//!
//! # What is promised of faults
//!
//! The ledger's troubles never cost an answer: waits for its commits are bounded, rows stay queued. An upstream that
//! fails is passed on truthfully (but for what leaving out a refused parameter mends, which a note says), before the
//! first byte as HTTP, after it as an error in the stream, to all who read along. A stream without `message_stop` is an
//! error, never a silent end. No key is ever written, logged or echoed.
//!
//! # Words
//!
//! Terms that have a meaning of their own here; all others are those of HTTP, OpenAI and Anthropic.
//!
//! - *alias*: a model with settings of the operator's, which clients choose like a model ([`domain::alias`]).
//! - *bill, cost*: the money of an exchange: exact, a lower bound (`≥`), or unpriced ([`domain::exchange::Cost`]).
//! - *call*: one request of a client and the way it was answered; it points at an exchange.
//! - *caller*: the sender of a call as far as it is known: client key, user, chat, message, task.
//! - *cassette*: the content of a fixture file in memory ([`domain::cassette`]).
//! - *catalog*: the parameters and dated prices of each Claude model ([`domain::catalog`]).
//! - *collapsed*: said of a call that joined a running exchange instead of starting one.
//! - *cut*: said of a stream that ended without `message_stop`.
//! - *exchange*: one request that went upstream, retries included, with its recording.
//! - *fixture*: an exchange in a file, which a replay answers from ([`fixture`]).
//! - *in flight*: said of exchanges that run, and that other calls may join.
//! - *key*: the hash of everything in a request that can change its answer ([`domain::cache::CacheKey`]).
//! - *ledger*: the database with all exchanges and calls ([`store`]).
//! - *note*: a record of something that translation dropped or changed.
//! - *originals*: earlier answers as Claude gave them, which replace their lossy copies in a history.
//! - *playback*: the translation of a recording into the response that a client wants.
//! - *pump*: the task that copies an upstream response into a recording and seals the exchange.
//! - *recording*: the bytes of an upstream response with the end and the time of each event ([`domain::recording`]).
//! - *scope*: the callers among whom an answer is shared ([`domain::cache::Scope`]).
//! - *seal*: to commit an exchange and its call at their end, before the client gets the last bytes.
//! - *session*: the exchanges of one chat.
//! - *task*: a background call of Open WebUI, such as a title or tags.

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
