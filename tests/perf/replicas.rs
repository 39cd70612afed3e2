//! Several processes with one ledger in Postgres, beside one process with a file.
//!
//! The processes share a core, and Postgres has the other one together with upstream and the clients.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration, time::Instant};

use anyhow::ensure;
use tokio::task::JoinSet;

use crate::{
    cells::quantile,
    load::{self, Kind, Load, Prompts, Server, Times, Until},
    mock::Asked,
    postgres::Postgres,
    process::{self, Folder, Process},
    report,
};

/// A place for the ledger, and the number of processes.
struct Setup {
    name: &'static str,
    /// `None`: a file.
    schema: Option<&'static str>,
    processes: u32,
}

const SETUPS: [Setup; 4] = [
    Setup { name: "a file, one process", schema: None, processes: 1 },
    Setup { name: "Postgres, one process", schema: Some("one"), processes: 1 },
    Setup { name: "Postgres, two processes", schema: Some("two"), processes: 2 },
    Setup { name: "Postgres, three processes", schema: Some("three"), processes: 3 },
];

const AT_ONCE: u32 = 32;
const LOADS: [(&str, Prompts); 2] = [("small answers", Prompts::Fresh), ("repeats", Prompts::Same)];

/// What is measured, and where.
#[derive(Debug)]
pub(crate) struct Replicas {
    pub(crate) binary: PathBuf,
    pub(crate) upstream: SocketAddr,
    pub(crate) asked: &'static Asked,
    pub(crate) folder: Folder,
    pub(crate) rounds: u32,
    pub(crate) postgres: Postgres,
}

/// The figures of one load in one setup.
#[derive(Debug, Clone, Copy)]
struct Figures {
    per_second: f64,
    /// Milliseconds of the processor for an answer.
    reprise: f64,
    postgres: f64,
    /// Milliseconds to the end of an answer.
    half: f64,
    most: f64,
}

impl Replicas {
    /// Measures, and returns the table and the cores that other programs used meanwhile. Runs within a `LocalSet`.
    pub(crate) async fn run(&self) -> anyhow::Result<(String, Vec<f64>)> {
        let mut figures: BTreeMap<(usize, usize), Vec<Figures>> = BTreeMap::new();
        let mut noise = Vec::new();
        let mut seed = 1 << 32;
        for round in 1..=self.rounds {
            let mut setups: Vec<usize> = (0..SETUPS.len()).collect();
            if round.is_multiple_of(2) {
                setups.reverse();
            }
            for setup in setups {
                let processes = self.start(&SETUPS[setup]).await?;
                for (at, (name, prompts)) in LOADS.iter().enumerate() {
                    seed += 1 << 32;
                    let (found, others) = self.measure(&processes, *prompts, seed).await?;
                    eprintln!("{name:<14} {:<26} {found:?} noise {others:.2}", SETUPS[setup].name);
                    figures.entry((at, setup)).or_default().push(found);
                    noise.push(others);
                }
                processes.into_iter().try_for_each(Process::stop)?;
            }
        }
        Ok((table(&figures), noise))
    }

    async fn start(&self, setup: &Setup) -> anyhow::Result<Vec<Process>> {
        let mut processes = Vec::new();
        for number in 0..setup.processes {
            let folder = self.folder.0.join(format!("{}-{number}", setup.schema.unwrap_or("file")));
            std::fs::create_dir_all(&folder)?;
            let ledger = match setup.schema {
                Some(schema) => self.postgres.ledger(schema),
                None => process::file(&folder),
            };
            let started = Process::replica(&self.binary, &folder, &ledger, self.upstream).await?;
            processes.push(started);
        }
        Ok(processes)
    }

    /// Measures a load that all processes have a share of.
    async fn measure(
        &self,
        processes: &[Process],
        prompts: Prompts,
        seed: u64,
    ) -> anyhow::Result<(Figures, f64)> {
        // Each connection once, and what all of them ask for.
        self.load(processes, prompts, seed, Until::Requests(AT_ONCE.into())).await?;
        let cpu = || processes.iter().map(Process::cpu_ms).sum::<f64>();
        let (reprise, postgres, others) = (cpu(), self.postgres.cpu_ms(), process::others_ms()?);
        let (asked, begun) = (self.asked.count(), Instant::now());
        let seed = if prompts == Prompts::Fresh { seed + (1 << 31) } else { seed };
        let until = Until::Time(Duration::from_millis(2_500));
        let times = self.load(processes, prompts, seed, until).await?;
        let passed = begun.elapsed().as_secs_f64();
        let (reprise, postgres) = (cpu() - reprise, self.postgres.cpu_ms() - postgres);
        let others = (process::others_ms()? - others - postgres).max(0.0) / passed / 1e3;
        let asked = usize::try_from(self.asked.count() - asked)?;
        let expected = if prompts == Prompts::Fresh { times.whole.len() } else { 0 };
        ensure!(asked == expected, "{asked} asked, {expected} expected");
        #[expect(clippy::cast_precision_loss, reason = "of a number of answers")]
        let answers = times.whole.len() as f64;
        let [half, most] = [0.5, 0.99].map(|share| quantile(&times.whole, share));
        let (reprise, postgres) = (reprise / answers, postgres / answers);
        Ok((Figures { per_second: answers / passed, reprise, postgres, half, most }, others))
    }

    async fn load(
        &self,
        processes: &[Process],
        prompts: Prompts,
        seed: u64,
        until: Until,
    ) -> anyhow::Result<Times> {
        let mut loads = JoinSet::new();
        let count = u32::try_from(processes.len())?;
        for (at, process) in (0..count).zip(processes) {
            let server: Server = process.server;
            let at_once = (AT_ONCE + at) / count;
            let seed = if prompts == Prompts::Fresh { seed + u64::from(at << 28) } else { seed };
            let load = Load { kind: Kind::Small, at_once, until, seed, prompts };
            loads.spawn_local(load::run(server, load));
        }
        let mut all = Times::default();
        while let Some(times) = loads.join_next().await {
            all.whole.extend(times??.whole);
        }
        Ok(all)
    }
}

/// The medians.
fn table(figures: &BTreeMap<(usize, usize), Vec<Figures>>) -> String {
    let heading =
        ["", "answers a second", "CPU ms of Reprise", "CPU ms of Postgres", "median ms", "p99 ms"];
    let mut lines = vec![heading.map(str::to_owned).to_vec()];
    for ((at, setup), rounds) in figures {
        let median =
            |of: fn(&Figures) -> f64| quantile(&rounds.iter().map(of).collect::<Vec<_>>(), 0.5);
        let postgres = SETUPS[*setup].schema.map(|_| median(|it| it.postgres));
        lines.push(vec![
            format!("{}: {}", LOADS[*at].0, SETUPS[*setup].name),
            format!("{:.0}", median(|it| it.per_second)),
            report::number(Some(median(|it| it.reprise))),
            report::number(postgres),
            report::number(Some(median(|it| it.half))),
            report::number(Some(median(|it| it.most))),
        ]);
    }
    report::aligned(&lines)
}
