//! Equal calls at once, in every order, with loom: one asks, the others join it or find its answer, and a key is free
//! again whatever ends its exchange.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use futures_util::FutureExt;
use loom::{future::block_on, thread};

use super::*;
use crate::{
    answer::{
        live::{AnswerTotals, End},
        mutex::explore,
    },
    domain::exchange::Outcome,
};

/// End of the exchange of a call that asks.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Exchange {
    /// The answer is committed and complete.
    Completes,
    /// The client leaves while upstream is asked.
    IsLeft,
    /// The task of the pump is dropped.
    IsDropped,
}

/// The shared state of a process.
#[derive(Debug, Default)]
struct Process {
    inflight: Arc<Inflight>,
    /// `true` once an answer is committed.
    ledger: Mutex<bool>,
    asked: AtomicUsize,
    cancelled: AtomicUsize,
}

fn key() -> CoalesceKey {
    CoalesceKey { key: CacheKey::from_bytes([0; 32]), api: Api::Chat, message: None }
}

/// One call as `Answers::select` decides it, with the pump that runs if it asks.
fn call(process: &Process, exchange: Exchange) {
    let mut state = process.inflight.lock();
    match state.join(&key()) {
        Some((mut reader, _)) => {
            drop(state);
            let (_, end) = block_on(reader.ended());
            let outcome = match end {
                End::Complete(_) => Outcome::Complete,
                End::Failed(_, totals) => totals.outcome,
            };
            assert_ne!(outcome, Outcome::Stopped, "joined an exchange that is being cancelled");
            assert!(outcome == Outcome::Complete || exchange == Exchange::IsDropped);
        }
        None if **process.ledger.lock() => {}
        None => {
            let (reason, keep) = (Reason::Nothing, Keep::Answer);
            let ticket =
                state.begin(&process.inflight, Some(key()), reason, keep, Admitted::default());
            drop(state);
            process.asked.fetch_add(1, Relaxed);
            ask(process, ticket, exchange);
        }
    }
}

fn ask(process: &Process, ticket: Ticket, exchange: Exchange) {
    let Ticket { exchange: id, writer, reader, guard, .. } = ticket;
    // While it has a reader, all join it, whatever becomes of those that had the key before.
    let (_, joined) = process.inflight.lock().join(&key()).unwrap();
    assert_eq!(joined, id);
    match exchange {
        Exchange::IsDropped => return,
        Exchange::IsLeft => drop(reader),
        Exchange::Completes => {}
    }
    if writer.cancelled().now_or_never().is_some() {
        process.cancelled.fetch_add(1, Relaxed);
        let totals = AnswerTotals::unknown(Outcome::Stopped);
        writer.end(Vec::new(), End::Failed(Arc::new(crate::answer::Failure::ShuttingDown), totals));
    } else {
        **process.ledger.lock() = true;
        writer.end(Vec::new(), End::Complete(AnswerTotals::unknown(Outcome::Complete)));
    }
    drop(guard);
}

/// Equal calls, each on a thread of its own. Returns the process after them.
fn model(exchanges: &[Exchange]) -> Arc<Process> {
    let process = Arc::new(Process::default());
    let threads: Vec<_> = exchanges
        .iter()
        .map(|&exchange| {
            let process = Arc::clone(&process);
            thread::spawn(move || call(&process, exchange))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let state = process.inflight.lock();
    assert!(state.running.is_empty() && state.joinable.is_empty(), "a key is still taken");
    drop(state);
    process
}

#[test]
fn of_equal_calls_one_asks() {
    explore(2, || {
        let process = model(&[Exchange::Completes; 3]);
        assert_eq!(process.asked.load(Relaxed), 1);
    });
}

#[test]
fn whoever_finds_a_cancelled_exchange_asks_anew() {
    explore(2, || {
        let process = model(&[Exchange::IsLeft; 3]);
        let (asked, cancelled) = (process.asked.load(Relaxed), process.cancelled.load(Relaxed));
        assert_eq!(asked, cancelled + usize::from(**process.ledger.lock()));
    });
}

#[test]
fn a_key_is_free_again_if_its_task_is_dropped() {
    explore(2, || {
        model(&[Exchange::IsDropped; 3]);
    });
}

#[test]
fn of_two_columns_of_a_chat_one_is_the_first() {
    explore(2, || {
        let inflight = Arc::new(Inflight::default());
        let columns = ["left", "right"].map(|message| {
            let inflight = Arc::clone(&inflight);
            let key = CacheKey::from_bytes([0; 32]);
            thread::spawn(move || inflight.lock().claim(key, "chat", Some(message)))
        });
        let mut priors = columns.map(|column| column.join().unwrap());
        priors.sort_by_key(|prior| *prior != PriorAsk::Never);
        assert_eq!(priors, [PriorAsk::Never, PriorAsk::OtherMessage]);
        let mut state = inflight.lock();
        let third = state.claim(CacheKey::from_bytes([0; 32]), "chat", Some("left"));
        assert_eq!(third, PriorAsk::OtherMessage, "one of the two is another message");
    });
}
