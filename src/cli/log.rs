//! The log of a server, on standard error. It never blocks the server and never fails: a thread of its own writes it,
//! and lines that nobody reads fast enough are dropped and counted.
//!
//! Not `tracing-appender`, which at its end prints to standard output and so hangs where nobody reads that either.

use std::{
    fmt::{self, Write as _},
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

use anyhow::Context;
use tracing::field::{Field, Visit};
use tracing_subscriber::{
    EnvFilter,
    field::RecordFields,
    fmt::{FormatFields, MakeWriter, format::Writer},
};

use super::console::is_colored;
use crate::{
    config::{Config, LogFormat},
    report::escape::{escape, in_braces},
};

/// Most lines that wait to be written.
const QUEUE: usize = 4096;
/// Time between the first line of a batch and its writing.
const BATCH_TIME: Duration = Duration::from_millis(2);
/// Time that the last lines get to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The log, as the program's end needs it.
#[derive(Debug, Clone)]
pub(super) struct Log {
    queue: SyncSender<Item>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Item {
    Line(Vec<u8>),
    /// The sender is dropped when everything before it is written.
    Flush {
        done: SyncSender<()>,
    },
}

impl Log {
    /// Starts the log, for everything in this process, panics included.
    pub(super) fn start(config: &Config) -> anyhow::Result<Self> {
        let filter = EnvFilter::try_new(&config.log).with_context(|| {
            format!("--log: {:?} is not a filter such as `info` or `reprise=debug`", config.log)
        })?;
        let (queue, lines) = sync_channel(QUEUE);
        let log = Self { queue, dropped: Arc::default() };
        let logs = tracing_subscriber::fmt()
            .with_env_filter(filter)
            // It would print to standard error, which panics where that is closed.
            .log_internal_errors(false);
        match config.log_format {
            LogFormat::Text => logs
                .fmt_fields(EscapedFields)
                .with_ansi(is_colored(&io::stderr()))
                .with_writer(log.clone())
                .try_init(),
            LogFormat::Json => logs.json().flatten_event(true).with_writer(log.clone()).try_init(),
        }
        .map_err(anyhow::Error::from_boxed)?;
        let dropped = Arc::clone(&log.dropped);
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write(&lines, &dropped))?;
        std::panic::set_hook(Box::new(|panic| {
            let at = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(at, error = panic.payload_as_str(), "a bug in Reprise");
        }));
        Ok(log)
    }

    /// Waits, within a bound, until all lines so far are written.
    pub(super) fn flush(&self) {
        let (done, written) = sync_channel(0);
        if self.queue.try_send(Item::Flush { done }).is_ok() {
            let _ = written.recv_timeout(FLUSH_TIMEOUT);
        }
    }
}

/// Writes the lines until the process ends, those of some milliseconds at once: a thread that was woken for each line
/// would cost a busy server more than the line.
fn write(items: &Receiver<Item>, dropped: &AtomicU64) {
    while let Ok(first) = items.recv() {
        if matches!(first, Item::Line(_)) {
            std::thread::sleep(BATCH_TIME);
        }
        let (mut batch, mut lines, mut flushed) = (Vec::new(), 0, Vec::new());
        for item in std::iter::once(first).chain(items.try_iter()).take(QUEUE) {
            match item {
                Item::Line(line) => {
                    batch.extend_from_slice(&line);
                    lines += 1;
                }
                Item::Flush { done } => flushed.push(done),
            }
        }
        if io::stderr().write_all(&batch).is_err() {
            dropped.fetch_add(lines, Relaxed);
            continue;
        }
        let lines = dropped.swap(0, Relaxed);
        if lines > 0 {
            tracing::warn!(lines, "log lines were dropped, because nobody read them in time");
        }
    }
}

/// Takes one line.
impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Item::Line(line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Fields as `name=value`, with control characters escaped: no value can look like another line, or command a terminal.
#[derive(Debug)]
struct EscapedFields;

impl<'w> FormatFields<'w> for EscapedFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut line = Line { text: String::new(), result: Ok(()) };
        fields.record(&mut line);
        line.result?;
        writer.write_str(&line.text)
    }
}

struct Line {
    text: String,
    result: fmt::Result,
}

impl Line {
    fn field(&mut self, name: &str, value: fmt::Arguments<'_>) {
        if self.result.is_err() {
            return;
        }
        let separator = if self.text.is_empty() { "" } else { " " };
        self.text.push_str(separator);
        if name != "message" {
            self.text.push_str(name);
            self.text.push('=');
        }
        self.result = Escaping(&mut self.text).write_fmt(value);
    }
}

impl Visit for Line {
    fn record_error(&mut self, field: &Field, error: &(dyn std::error::Error + 'static)) {
        self.field(field.name(), format_args!("{error}"));
        let mut source = error.source();
        while let Some(cause) = source {
            self.result = self.result.and_then(|()| write!(Escaping(&mut self.text), ": {cause}"));
            source = cause.source();
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.field(field.name(), format_args!("{value:?}"));
    }
}

/// Appends text with the commands of a terminal escaped, line ends too.
struct Escaping<'a>(&'a mut String);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(self.0, text, &[], in_braces)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::TryRecvError;

    use super::*;

    fn logged(event: impl FnOnce()) -> String {
        let (queue, lines) = sync_channel(8);
        let log = Log { queue, dropped: Arc::default() };
        let logs = tracing_subscriber::fmt().fmt_fields(EscapedFields).with_ansi(false);
        tracing::subscriber::with_default(logs.with_writer(log).finish(), event);
        let Ok(Item::Line(line)) = lines.try_recv() else { panic!("no line") };
        assert!(matches!(lines.try_recv(), Err(TryRecvError::Disconnected)), "one line");
        String::from_utf8(line).expect("a text")
    }

    #[test]
    fn a_value_is_one_line_and_commands_no_terminal() {
        let hostile = "a\n2026 INFO forged\u{1b}[31m\u{7}\u{9b}\u{202e}\r\0";
        let cause = io::Error::other(hostile);
        let error = anyhow::Error::new(cause).context(hostile);
        let line = logged(|| {
            tracing::info!(
                shown = %hostile,
                debug = ?hostile,
                text = hostile,
                error = error.as_ref() as &dyn std::error::Error,
                "message {hostile}"
            );
        });
        assert_eq!(line.lines().count(), 1, "{line}");
        let (bidi, end) = ('\u{202e}', line.trim_end());
        assert!(!end.chars().any(|c| c.is_control() || c == bidi), "{line:?}");
        assert_eq!(line.matches("forged").count(), 6, "{line}");
        assert!(line.contains(" shown=a\\u{a}2026 INFO"), "{line}");
    }

    #[test]
    fn lines_that_find_no_place_are_counted() {
        let (queue, _lines) = sync_channel(1);
        let mut log = Log { queue, dropped: Arc::default() };
        for _ in 0..3 {
            log.write_all(b"line").unwrap();
        }
        assert_eq!(log.dropped.load(Relaxed), 2);
        log.flush();
    }
}
