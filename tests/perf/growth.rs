//! How cost grows: with the turns of a chat, and with the exchanges in the ledger.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Instant,
};

use crate::{
    cells::{megabytes, quantile},
    load::{self, Kind, Load, Prompts, Question, Times, Until},
    mock::{self, SMALL},
    process::{self, Folder, Process},
};

/// Turns of the chat, and those that are measured together.
const TURNS: u64 = 500;
const GROUP: u64 = 50;
/// Turns for each picture, which keeps the chat below the hundred that Claude takes.
const PER_PICTURE: u64 = 6;
/// Size of a picture as base64.
const PICTURE: usize = 30_000;

/// Repeats that are timed.
const REPEATS: u64 = 3_000;

/// What is measured, and where.
#[derive(Debug)]
pub(crate) struct Growth {
    pub(crate) binary: PathBuf,
    pub(crate) upstream: SocketAddr,
    pub(crate) folder: Folder,
    /// Exchanges of the largest ledger.
    pub(crate) most: u64,
}

impl Growth {
    /// Measures and prints. Runs within a `LocalSet`.
    pub(crate) async fn run(&self) -> anyhow::Result<()> {
        self.chat().await?;
        self.ledger().await
    }

    async fn start(&self, folder: &Path) -> anyhow::Result<Process> {
        Process::reprise(&self.binary, folder, self.upstream).await
    }

    /// A chat with pictures: each turn sends all of it.
    async fn chat(&self) -> anyhow::Result<()> {
        println!(
            "A chat with a picture every {PER_PICTURE} turns, which is sent whole with each turn:\n"
        );
        println!(
            "| turns   | request MB | CPU ms a turn | CPU ms a MB | ledger kB a turn | memory MB |"
        );
        println!(
            "| ------- | ---------: | ------------: | ----------: | ---------------: | --------: |"
        );
        let folder = self.folder.0.join("chat");
        std::fs::create_dir_all(&folder)?;
        self.start(&folder).await?.stop()?;
        let mut size = megabytes(&process::ledger(&folder))?;
        let mut messages: Vec<String> = Vec::new();
        for from in (0..TURNS).step_by(usize::try_from(GROUP)?) {
            let process = self.start(&folder).await?;
            let mut connection = load::connect(process.server.address).await?;
            let (cpu, mut sent) = (process.cpu_ms(), 0);
            for n in from..from + GROUP {
                messages.push(question(n));
                let all = messages.join(",");
                sent += all.len();
                let answer = mock::mark(&load::id(n)) + SMALL;
                let (kind, mut times) = (Kind::Small, Times::default());
                let server = process.server;
                let question = Question { messages: &all, answer: &answer, number: n };
                load::exchange(&mut connection, server, kind, question, &mut times).await?;
                messages.push(format!(r#"{{"role":"assistant","content":"{answer}"}}"#));
            }
            let cpu = process.cpu_ms() - cpu;
            let memory = process.peak_rss()?;
            process.stop()?;
            let before = std::mem::replace(&mut size, megabytes(&process::ledger(&folder))?);
            let (turns, sent) = (as_float(GROUP), as_float(u64::try_from(sent)?) / 1e6);
            println!(
                "| {:>3}–{:<3} | {:>10.2} | {:>13.2} | {:>11.2} | {:>16.1} | {memory:>9.0} |",
                from + 1,
                from + GROUP,
                sent / turns,
                cpu / turns,
                cpu / sent,
                (size - before) * 1e3 / turns,
            );
        }
        Ok(())
    }

    /// A ledger that becomes larger. Its calls belong to no chat, so that each begins a session.
    async fn ledger(&self) -> anyhow::Result<()> {
        println!("\nA ledger that grows, of calls that belong to no chat:\n");
        println!(
            "| exchanges | file MB | CPU ms to write | repeat p50 ms | p99 ms | CPU ms | start ms | memory MB | stats ms | again | sessions ms |"
        );
        println!(
            "| --------: | ------: | --------------: | ------------: | -----: | -----: | -------: | --------: | -------: | ----: | ----------: |"
        );
        let folder = self.folder.0.join("ledger");
        std::fs::create_dir_all(&folder)?;
        let mut process = self.start(&folder).await?;
        let (mut count, seed) = (0, 1 << 40);
        for size in
            [1_000, 10_000, 100_000, 1_000_000].into_iter().filter(|size| *size <= self.most)
        {
            let more = size - count;
            let load = Load {
                kind: Kind::Small,
                at_once: 32,
                until: Until::Requests(more),
                seed: seed + count,
                prompts: Prompts::Fresh,
            };
            let cpu = process.cpu_ms();
            load::run(process.server, load).await?;
            let written = (process.cpu_ms() - cpu) / as_float(more);
            count = size;
            process.stop()?;
            let begun = Instant::now();
            process = self.start(&folder).await?;
            let start = ms(begun);
            let load = Load {
                at_once: 1,
                until: Until::Requests(REPEATS),
                seed,
                prompts: Prompts::Among(count),
                ..load
            };
            let cpu = process.cpu_ms();
            let times = load::run(process.server, load).await?;
            let cpu = (process.cpu_ms() - cpu) / as_float(REPEATS);
            let [half, most] = [0.5, 0.99].map(|share| quantile(&times.whole, share));
            let memory = process.peak_rss()?;
            let stats = self.command(&folder, &["stats"])?;
            let again = self.command(&folder, &["stats"])?;
            let sessions = self.command(&folder, &["sessions", "list"])?;
            let file = megabytes(&process::ledger(&folder))?;
            println!(
                "| {count:>9} | {file:>7.1} | {written:>15.3} | {half:>13.2} | {most:>6.2} | {cpu:>6.3} | {start:>8.0} | {memory:>9.0} | {stats:>8.0} | {again:>5.0} | {sessions:>11.0} |"
            );
        }
        process.stop()
    }

    /// Milliseconds that a command takes.
    fn command(&self, folder: &Path, arguments: &[&str]) -> anyhow::Result<f64> {
        process::timed(
            process::reprise(&self.binary, folder, &process::file(folder)).args(arguments),
        )
    }
}

/// A message of the user's.
fn question(n: u64) -> String {
    let text = format!("Question {n}. {}", load::mark(Kind::Small, n));
    if !n.is_multiple_of(PER_PICTURE) {
        return format!(r#"{{"role":"user","content":"{text}"}}"#);
    }
    // A GIF of 16 by 16 pixels, as far as its beginning says, and then noise.
    let mut state = n;
    let letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from_digit(u32::try_from(state >> 59).unwrap_or(0), 36).unwrap_or('-')
    };
    let noise: String = std::iter::repeat_with(letter).take(PICTURE).collect();
    let picture = format!("R0lGODlhEAAQAAAA{noise}");
    format!(
        r#"{{"role":"user","content":[{{"type":"text","text":"{text}"}},{{"type":"image_url","image_url":{{"url":"data:image/gif;base64,{picture}"}}}}]}}"#
    )
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn as_float(count: u64) -> f64 {
    count as f64
}
