//! The ledger, on the disk of the temporary folder (`TMPDIR`): exchanges written and found, and all of a repeat but HTTP.

use std::{hint::black_box, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use reprise::{
    answer::{Access, Answers, Settings, playback::ChunkStream},
    domain::{
        cache::CacheKey,
        exchange::{AnsweredBy, Cost, NanoDollars, Tokens, UnixMillis},
        prepare::ClientRequest,
        recording::Recording,
        translate::Chunks,
    },
    store::{Durable, Ledger, Opening, Options, Sealing},
    upstream::Upstream,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_stream::StreamExt as _;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    answers::{record, stream},
    measure::{Amount, heading, line, line_of},
    requests::{self, chat},
    rows,
};

const AT_ONCE: u32 = 32;
const DELTAS: usize = 200;
const NOW: UnixMillis = UnixMillis(1_790_812_800_000);

pub(crate) fn run() {
    let runtime = Runtime::new().unwrap();
    let folder = TempDir::new().unwrap();
    let settings = requests::Settings::new();
    let recording = Arc::new(record(stream(DELTAS).chunks(16 << 10)));
    let small = Arc::new(record(stream(1).chunks(16 << 10)));
    let mut writer = Writer { settings, last: 0 };

    heading("the ledger, of this process and all its threads");
    let ledger = runtime.block_on(open(folder.path(), 16 << 20));
    for (name, turns, recording) in [
        ("exchange written, small", 1, &small),
        ("exchange written, 200 deltas", 1, &recording),
        ("exchange written, small, turn 50 of a chat", 50, &small),
    ] {
        for at_once in [1, AT_ONCE] {
            let requests = usize::try_from(at_once).unwrap();
            let amount = Amount { count: requests, unit: "exchange", bytes: 0 };
            let make = || (0..at_once).map(|_| writer.next(turns, recording)).collect();
            line_of(&format!("{name}, {at_once} at once"), amount, make, |writes: Vec<Write>| {
                runtime.block_on(join_all(writes.into_iter().map(|write| write.run(&ledger))));
            });
        }
    }

    let write = writer.next(1, &recording);
    let (key, body) = (write.opening.key, write.body.clone());
    runtime.block_on(write.run(&ledger));
    let amount = Amount { count: 1, unit: "answer", bytes: recording.len() };
    line("answer found in memory", amount, || {
        black_box(found(&runtime, &ledger, &key));
    });
    line("repeat of 200 deltas, all but HTTP", amount, {
        let answers = answers(&ledger, &writer.settings);
        let runtime = &runtime;
        let body = &body;
        move || {
            black_box(runtime.block_on(repeat(&answers, body)));
        }
    });
    runtime.block_on(ledger.close(Duration::from_secs(10)));
    let ledger = runtime.block_on(open(folder.path(), 0));
    line("answer found in the file", amount, || {
        black_box(found(&runtime, &ledger, &key));
    });
    line("no answer found", amount, || {
        let nothing = runtime.block_on(ledger.find(&rows::key(0), rows::LATE)).unwrap();
        assert!(nothing.is_none());
    });
    runtime.block_on(ledger.close(Duration::from_secs(10)));
}

async fn open(folder: &Path, hot_bytes: usize) -> Ledger {
    let url = format!("sqlite://{}", folder.join("ledger.db").display());
    let options = Options { hot_bytes, wait: Duration::from_secs(30), ..Options::new(url) };
    Ledger::open(&options, rows::owner(1), NOW, &TaskTracker::new()).await.unwrap()
}

/// Makes exchanges, each with a request that was not there before.
struct Writer {
    settings: requests::Settings,
    last: u128,
}

/// An exchange to be written.
struct Write {
    body: Bytes,
    opening: Arc<Opening>,
    sealing: Sealing,
}

impl Writer {
    fn next(&mut self, turns: usize, recording: &Arc<Recording>) -> Write {
        self.last += 1;
        let n = self.last;
        let body = chat(turns, &format!("{n}"));
        let request = self.settings.prepare(&body);
        let mut call = rows::call(n, NOW, AnsweredBy::Miss, "claude-opus-5-5");
        (call.key, call.client_chain) = (request.key, request.client_chain.clone());
        let opening = Opening {
            scope: request.scope.to_string(),
            chain: Some(Arc::new(request.upstream.chain().clone())),
            ..rows::opening(n, call)
        };
        let tokens = Tokens { input: 25, output: 1000, ..Tokens::default() };
        let sealing = Sealing {
            stop_reason: Some("end_turn".to_owned()),
            servable: true,
            recording: Some(Arc::clone(recording)),
            ..rows::sealing(NOW, tokens, Cost::Exact(NanoDollars(1_000)))
        };
        let sealing = sealing.with_call_of(&opening);
        Write { body, opening: Arc::new(opening), sealing }
    }
}

impl Write {
    async fn run(self, ledger: &Ledger) {
        ledger.journal_opening(&self.opening).await;
        assert_eq!(ledger.seal(&self.opening, self.sealing).await, Durable::Committed);
    }
}

/// Size of the answer in the ledger.
fn found(runtime: &Runtime, ledger: &Ledger, key: &CacheKey) -> usize {
    let stored = runtime.block_on(ledger.find(key, rows::LATE)).unwrap();
    stored.expect("it was written").recording.recording().len()
}

fn answers(ledger: &Ledger, settings: &requests::Settings) -> Answers {
    let address = requests::UPSTREAM.parse().unwrap();
    let upstream = Upstream::at(&address, Duration::from_secs(1)).unwrap();
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let settings = Settings {
        cache: settings.policy.clone(),
        status_line: false,
        warn_above: None,
        task_model: None,
        aliases: Arc::default(),
    };
    let catalog = reprise::domain::catalog::Catalog::builtin();
    Answers::new(upstream, ledger.clone(), catalog, tasks, stop, settings)
}

/// Answers a request from the ledger. Returns the size of what the client gets.
async fn repeat(answers: &Answers, body: &Bytes) -> usize {
    let request = ClientRequest::Chat(body.clone());
    let access = Access { key: "".into(), scenario: None };
    let answer = answers.answer(request, requests::caller(), access).await.unwrap();
    assert_eq!(answer.answered_by, AnsweredBy::Hit);
    let chunks = Chunks::new("id".to_owned(), 0, answer.stream.unwrap(), answer.form);
    let mut chunks = ChunkStream::new(answer.reader, chunks, answer.answered_by);
    let mut size = 0;
    while let Some(chunk) = chunks.next().await {
        size += chunk.len();
    }
    size
}
