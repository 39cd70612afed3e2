//! The cells of the measurement: a load each, and the servers that get it.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::ensure;

use crate::{
    load::{self, Api, Kind, Load, Prompts, Server, Until},
    mock::Asked,
    process::{self, Folder, Process},
};

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// The mock, asked without a proxy.
    Direct,
    /// The proxy that does nothing.
    Floor,
    /// The mock on the core of the measured: an answer from memory.
    Memory,
    /// Reprise at the revision that is compared.
    Before,
    /// Reprise.
    Reprise,
}

/// What is measured of a load, a start or a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Measure {
    /// Time of the processor for a request, in milliseconds.
    Cpu,
    /// Time to the end of an answer, in milliseconds; the median.
    Whole,
    /// Time to the first text, in milliseconds; the median.
    First,
    /// The most memory, in megabytes.
    Memory,
    /// Time to the first answer, in milliseconds.
    Start,
    /// Memory a second after the first answer, in megabytes.
    Idle,
    /// Size of the program, in megabytes.
    Size,
}

/// A load and who gets it.
#[derive(Debug)]
struct Cell {
    name: &'static str,
    targets: &'static [Target],
    load: Load,
}

const ALL: &[Target] = &[Target::Direct, Target::Floor, Target::Before, Target::Reprise];
const PROXIES: &[Target] = &[Target::Floor, Target::Before, Target::Reprise];
const REPEATS: &[Target] = &[Target::Memory, Target::Before, Target::Reprise];

const BURST: Kind = Kind::Stream { deltas: 200, delay: Duration::ZERO };
const PACED: Kind = Kind::Stream { deltas: 100, delay: Duration::from_millis(10) };
const SLOW: Kind = Kind::Stream { deltas: 12, delay: Duration::from_millis(300) };
const SECONDS: Until = Until::Time(Duration::from_millis(2_500));

const fn cell(
    name: &'static str,
    targets: &'static [Target],
    kind: Kind,
    at_once: u32,
    until: Until,
    prompts: Prompts,
) -> Cell {
    Cell { name, targets, load: Load { kind, at_once, until, seed: 0, prompts } }
}

/// In the order in which they are measured.
const CELLS: &[Cell] = &[
    cell("small", PROXIES, Kind::Small, 32, SECONDS, Prompts::Fresh),
    cell("small-1", PROXIES, Kind::Small, 1, SECONDS, Prompts::Fresh),
    cell("burst", PROXIES, BURST, 32, SECONDS, Prompts::Fresh),
    cell("paced-20", ALL, PACED, 20, Until::Requests(60), Prompts::Fresh),
    cell("paced-200", ALL, PACED, 200, Until::Requests(400), Prompts::Fresh),
    cell("open-1000", PROXIES, SLOW, 1000, Until::Requests(1000), Prompts::Fresh),
    cell("hit", REPEATS, Kind::Small, 32, SECONDS, Prompts::Same),
    cell("hit-stream", REPEATS, BURST, 32, SECONDS, Prompts::Same),
];

/// The measurement of starts, which is not a load.
const START: &str = "start";

/// The names of all cells.
pub(crate) fn names() -> Vec<&'static str> {
    CELLS.iter().map(|cell| cell.name).chain([START]).collect()
}

/// All that was measured.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    values: BTreeMap<(&'static str, Measure, Target), Vec<f64>>,
    noise: Vec<f64>,
}

impl Figures {
    /// The median of the rounds; `None`: it was not measured.
    pub(crate) fn median(&self, cell: &str, measure: Measure, target: Target) -> Option<f64> {
        let cell = names().into_iter().find(|name| *name == cell)?;
        self.values.get(&(cell, measure, target)).map(|values| quantile(values, 0.5))
    }

    /// Cores that other programs used during each measurement.
    pub(crate) fn noise(&self) -> &[f64] {
        &self.noise
    }

    fn add(&mut self, cell: &'static str, measure: Measure, target: Target, value: f64) {
        self.values.entry((cell, measure, target)).or_default().push(value);
    }
}

/// The smallest value that is not below this share of them; 0 of none.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a place in a list"
)]
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let place = (values.len() as f64 * share).ceil() as usize;
    values.get(place.saturating_sub(1)).copied().unwrap_or_default()
}

/// The programs that are compared: this one, and that of another revision.
#[derive(Debug)]
pub(crate) struct Binaries {
    pub(crate) reprise: PathBuf,
    pub(crate) before: Option<PathBuf>,
}

impl Binaries {
    fn list(&self) -> impl Iterator<Item = (Target, &Path)> {
        let before = self.before.iter().map(|path| (Target::Before, path.as_path()));
        before.chain([(Target::Reprise, self.reprise.as_path())])
    }
}

/// What a measurement needs.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) binaries: Binaries,
    /// The mock, on the core of the clients.
    pub(crate) upstream: SocketAddr,
    pub(crate) asked: &'static Asked,
    pub(crate) folder: Folder,
    pub(crate) rounds: u32,
    /// The cells that are measured.
    pub(crate) only: Vec<String>,
}

impl Bench {
    /// Measures all cells, round by round, every other round in the reverse order of targets. Runs within a `LocalSet`.
    pub(crate) async fn run(&self) -> anyhow::Result<Figures> {
        let mut figures = Figures::default();
        let mut processes = BTreeMap::new();
        let floor = self.floor().await?;
        processes.insert(Target::Floor, floor);
        processes.insert(Target::Memory, Process::role("mock", &[]).await?);
        for (target, binary) in self.binaries.list() {
            let folder = self.folder_of(target, "load")?;
            let process = Process::reprise(binary, &folder, self.upstream).await?;
            processes.insert(target, process);
            figures.add(START, Measure::Size, target, megabytes(binary)?);
        }
        let is_chosen = |name| self.only.is_empty() || self.only.iter().any(|only| only == name);
        let mut seed = 1 << 32;
        for round in 1..=self.rounds {
            for cell in CELLS.iter().filter(|cell| is_chosen(cell.name)) {
                for target in in_turn(cell.targets, round) {
                    let process = processes.get(&target);
                    if process.is_none() && target != Target::Direct {
                        continue;
                    }
                    seed += 1 << 32;
                    let load = Load { seed, ..cell.load };
                    self.measure(cell.name, target, process, load, &mut figures).await?;
                }
            }
            if is_chosen(START) {
                for target in in_turn(PROXIES, round) {
                    self.start(target, &mut figures).await?;
                }
            }
        }
        Ok(figures)
    }

    async fn measure(
        &self,
        cell: &'static str,
        target: Target,
        process: Option<&Process>,
        load: Load,
        figures: &mut Figures,
    ) -> anyhow::Result<()> {
        let direct = Server { address: self.upstream, api: Api::Messages };
        let server = process.map_or(direct, |process| process.server);
        // Each connection once, and what all of them ask for.
        let warm = Load { until: Until::Requests(load.at_once.into()), ..load };
        load::run(server, warm).await?;
        let load = match load.prompts {
            Prompts::Fresh => Load { seed: load.seed + (1 << 31), ..load },
            Prompts::Same | Prompts::Among(_) => load,
        };
        process.map_or(Ok(()), Process::forget_peak)?;
        let now = || anyhow::Ok((process.map_or(0.0, Process::cpu_ms), process::others_ms()?));
        let (asked, (cpu, others), begun) = (self.asked.count(), now()?, Instant::now());
        let times = load::run(server, load).await?;
        let (passed, after) = (begun.elapsed().as_secs_f64() * 1e3, now()?);
        let asked = usize::try_from(self.asked.count() - asked)?;
        let answers = times.whole.len();
        match (load.prompts, target) {
            (_, Target::Memory) => {}
            (Prompts::Fresh, _) => ensure!(asked == answers, "{asked} asked for {answers}"),
            (Prompts::Same | Prompts::Among(_), _) => {
                ensure!(asked == 0, "{asked} of {answers} repeats were asked");
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "of a number of answers")]
        let cpu = (after.0 - cpu) / answers as f64;
        let noise = (after.1 - others).max(0.0) / passed;
        let [whole, first] = [&times.whole, &times.first].map(|times| quantile(times, 0.5));
        figures.noise.push(noise);
        figures.add(cell, Measure::Whole, target, whole);
        if !times.first.is_empty() {
            figures.add(cell, Measure::First, target, first);
        }
        let mut memory = 0.0;
        if let Some(process) = process {
            memory = process.peak_rss()?;
            figures.add(cell, Measure::Cpu, target, cpu);
            figures.add(cell, Measure::Memory, target, memory);
        }
        eprintln!(
            "{cell:<11} {target:<8?} {answers:>6} answers  {cpu:>7.4} ms CPU  {whole:>8.2} ms  first text {first:>6.2} ms  {memory:>6.1} MB  noise {noise:.2}"
        );
        Ok(())
    }

    /// Starts a program with a ledger that is there already.
    async fn start(&self, target: Target, figures: &mut Figures) -> anyhow::Result<()> {
        let binary = self.binaries.list().find(|(of, _)| *of == target).map(|(_, binary)| binary);
        if binary.is_none() && target != Target::Floor {
            return Ok(());
        }
        let folder = self.folder_of(target, "start")?;
        let start = async || match binary {
            Some(binary) => Process::reprise(binary, &folder, self.upstream).await,
            None => self.floor().await,
        };
        if !process::ledger(&folder).exists() {
            start().await?.stop()?;
        }
        let (others, begun) = (process::others_ms()?, Instant::now());
        let process = start().await?;
        let (took, cpu) = (begun.elapsed().as_secs_f64() * 1e3, process.cpu_ms());
        let noise = (process::others_ms()? - others).max(0.0) / took;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let idle = process.rss()?;
        process.stop()?;
        figures.noise.push(noise);
        figures.add(START, Measure::Start, target, took);
        figures.add(START, Measure::Idle, target, idle);
        eprintln!(
            "{START:<11} {target:<8?} {took:>6.1} ms  {cpu:.0} ms CPU  idle {idle:.1} MB  noise {noise:.2}"
        );
        Ok(())
    }

    async fn floor(&self) -> anyhow::Result<Process> {
        Process::role("floor", &[self.upstream.to_string()]).await
    }

    fn folder_of(&self, target: Target, what: &str) -> anyhow::Result<PathBuf> {
        let folder = self.folder.0.join(format!("{target:?}-{what}"));
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}

/// The targets in the order of a round.
fn in_turn(targets: &[Target], round: u32) -> Vec<Target> {
    let mut targets = targets.to_vec();
    if round.is_multiple_of(2) {
        targets.reverse();
    }
    targets
}

/// Size of a file.
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(crate) fn megabytes(path: &Path) -> anyhow::Result<f64> {
    Ok(path.metadata()?.len() as f64 / 1e6)
}
