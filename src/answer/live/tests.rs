//! Joining, leaving and ending in every order, with loom: no wake-up is lost, every reader gets every segment once and in
//! order, and nobody reads a recording that is being cancelled.

use std::{
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use futures_util::FutureExt;
use loom::{future::block_on, thread};

use super::*;
use crate::{
    answer::mutex::explore,
    domain::{exchange::Micros, recording::Recorder},
};

/// Segments that the pump appends one by one, before the one that comes with the end.
const APPENDED: usize = 1;

/// Last step of a pump whose readers stay.
#[derive(Debug, Clone, Copy, PartialEq)]
enum LastStep {
    End,
    /// The task of the pump is dropped.
    Drop,
    /// Upstream is silent, until nobody waits for it any more.
    AwaitLeaving,
}

const LAST_STEPS: [LastStep; 3] = [LastStep::End, LastStep::Drop, LastStep::AwaitLeaving];

/// Behaviour of a client.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Client {
    /// Awaits the beginning and reads as it comes.
    Streams,
    /// Awaits the end.
    Whole,
    /// Reads once, from a task that does not wait, and then on from another.
    Moves,
    LeavesAtOnce,
    LeavesAfterFirst,
}

const CLIENTS: [Client; 5] =
    [Client::Streams, Client::Whole, Client::Moves, Client::LeavesAtOnce, Client::LeavesAfterFirst];

impl Client {
    const fn stays(self) -> bool {
        matches!(self, Self::Streams | Self::Whole | Self::Moves)
    }
}

fn segment(number: usize) -> Segment {
    let mut recorder = Recorder::default();
    recorder.push(format!("data: {number}\n\n").as_bytes());
    recorder.cut(Micros(0)).unwrap()
}

/// Runs a recording as the pump does, which looks for readers before each step.
fn pump(writer: RecordingWriter, last_step: LastStep) {
    for number in 0..APPENDED {
        if writer.cancelled().now_or_never().is_some() {
            return cancel(writer);
        }
        writer.append([segment(number)]);
    }
    match last_step {
        LastStep::End => {
            let totals = AnswerTotals::unknown(Outcome::Complete);
            writer.end(vec![segment(APPENDED)], End::Complete(totals));
        }
        LastStep::Drop => drop(writer),
        LastStep::AwaitLeaving => {
            block_on(writer.cancelled());
            cancel(writer);
        }
    }
}

/// Nobody reads, and nobody can begin to.
fn cancel(writer: RecordingWriter) {
    let subscription = writer.subscription();
    assert!(writer.readers() == 0 && subscription.join().is_none(), "abandoned, but read");
    let totals = AnswerTotals::unknown(Outcome::Stopped);
    writer.end(Vec::new(), End::Failed(Arc::new(Failure::ShuttingDown), totals));
    assert!(subscription.join().is_none(), "ended, but joined");
}

/// Number of each segment.
fn numbers<'a>(segments: impl IntoIterator<Item = &'a Arc<Segment>>) -> Vec<usize> {
    let number = |segment: &Arc<Segment>| {
        let text = str::from_utf8(segment.bytes()).unwrap();
        text.trim_start_matches("data: ").trim_end().parse().unwrap()
    };
    segments.into_iter().map(number).collect()
}

/// Checks all that a client got by the end.
fn check(read: &[usize], end: &End) {
    let whole = match end {
        End::Complete(_) => APPENDED + 1,
        End::Failed(_, totals) => {
            assert_eq!(totals.outcome, Outcome::Cut, "a reader of a cancelled recording");
            APPENDED
        }
    };
    assert!(read.iter().copied().eq(0..whole), "{read:?} of {whole}");
}

fn use_reader(mut reader: RecordingReader, client: Client) {
    let mut read = Vec::new();
    match client {
        Client::LeavesAtOnce => return,
        Client::Whole => {
            let (recording, end) = block_on(reader.ended());
            return check(&numbers(recording.segments(0)), &end);
        }
        Client::Streams => block_on(reader.ready()).unwrap(),
        Client::Moves => {
            let mut context = Context::from_waker(Waker::noop());
            let _ = reader.poll_read(&mut context, &mut read);
        }
        Client::LeavesAfterFirst => {}
    }
    loop {
        let before = read.len();
        let end = block_on(std::future::poll_fn(|context| {
            let mut new = Vec::new();
            let polled = reader.poll_read(context, &mut new);
            assert!(polled.is_ready() || new.is_empty(), "something to read, and still waiting");
            read.append(&mut new);
            polled
        }));
        match end {
            Some(end) => return check(&numbers(&read), &end),
            None => assert!(read.len() > before, "woken, but nothing to read"),
        }
        if client == Client::LeavesAfterFirst {
            return;
        }
    }
}

/// Counts the readers that left.
#[derive(Debug, Clone, Default)]
struct Departures(Arc<AtomicUsize>);

impl ReaderHook for Departures {
    fn on_begin(&mut self) {}

    fn on_leave(self: Box<Self>, _: Option<End>) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// A pump, its first reader, and clients that join if they can.
fn model(last_step: LastStep, first: Client, joining: &[Client]) {
    let (writer, reader) = start();
    let subscription = writer.subscription();
    let departures = Departures::default();
    let mut joined = Vec::new();
    for &client in joining {
        let (subscription, departures) = (subscription.clone(), departures.clone());
        joined.push(thread::spawn(move || {
            if let Some(reader) = subscription.join() {
                use_reader(reader.with_hook(departures), client);
                1
            } else {
                assert!(subscription.join().is_none(), "joined after all had left");
                0
            }
        }));
    }
    let first = thread::spawn(move || use_reader(reader, first));
    let pump = thread::spawn(move || pump(writer, last_step));
    first.join().unwrap();
    pump.join().unwrap();
    let joined: usize = joined.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(departures.0.load(Relaxed), joined);
    assert_eq!(subscription.readers(), 0);
    assert!(subscription.join().is_none());
}

#[test]
fn each_reader_gets_all_of_a_recording_and_its_end_whoever_joins_and_leaves() {
    for last_step in LAST_STEPS {
        for first in CLIENTS {
            for second in CLIENTS {
                let all_leave = !first.stays() && !second.stays();
                if last_step == LastStep::AwaitLeaving && !all_leave {
                    continue;
                }
                explore(1, move || model(last_step, first, &[second]));
            }
        }
    }
}

#[test]
fn of_two_that_join_neither_reads_what_is_cancelled() {
    for (last_step, second, third) in [
        (LastStep::End, Client::Streams, Client::LeavesAtOnce),
        (LastStep::Drop, Client::Whole, Client::LeavesAtOnce),
        (LastStep::AwaitLeaving, Client::LeavesAfterFirst, Client::LeavesAtOnce),
    ] {
        explore(1, move || model(last_step, Client::LeavesAtOnce, &[second, third]));
    }
}

#[test]
fn a_stop_reaches_the_writer_whenever_it_comes_and_nobody_joins_after_it() {
    explore(1, || {
        let (writer, reader) = start();
        let subscription = writer.subscription();
        let stopping = thread::spawn(move || {
            assert_eq!(subscription.stop(|_| false), Err(StopError::NotPermitted));
            assert_eq!(subscription.stop(|_| true), Ok(()));
            assert!(subscription.join().is_none());
        });
        assert_eq!(block_on(writer.cancelled()), Cancel::Stopped);
        stopping.join().unwrap();
        drop(reader);
        assert_eq!(block_on(writer.cancelled()), Cancel::Abandoned);
    });
}

#[test]
fn a_follower_gets_all_of_a_recording_and_is_no_reader() {
    explore(1, || {
        let (writer, reader) = start();
        let subscription = writer.subscription();
        let mut follower = subscription.follow();
        let following = thread::spawn(move || {
            let mut read = Vec::new();
            while let Some(mut new) = block_on(follower.next()) {
                assert!(!new.is_empty());
                read.append(&mut new);
            }
            numbers(&read)
        });
        let pump = thread::spawn(move || pump(writer, LastStep::End));
        assert_eq!(subscription.readers(), 1);
        pump.join().unwrap();
        assert!(following.join().unwrap().into_iter().eq(0..=APPENDED));
        drop(reader);
        assert_eq!(subscription.stop(|_| true), Err(StopError::NotRunning), "ended");
    });
}
