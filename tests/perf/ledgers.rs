//! One large ledger in a file and in Postgres: the time of a copy, and then of starts, repeats and reports in either.

use std::{net::SocketAddr, path::PathBuf, time::Instant};

use crate::{
    cells::{megabytes, quantile},
    load::{self, Api, Kind, Load, Prompts, Server, Until},
    postgres::Postgres,
    process::{self, Folder, Process},
    report,
};

const SCHEMA: &str = "grown";

/// Its calls come from four weeks, one after the other, so that the last day is a small part of them.
const SPREAD: &str = "\
    update exchange set opened_at = opened_at - (number - rowid) * 2419200000 / number, \
        ended_at = ended_at - (number - rowid) * 2419200000 / number \
        from (select max(rowid) as number from exchange) as last; \
    update call set at = at - (number - seq) * 2419200000 / number \
        from (select max(seq) as number from call) as last; \
    vacuum analyze";

/// Budgets that nothing exceeds.
const BUDGETS: &str = "[[budget]]\nlimit = 1e9\nper = \"month\"\n[[budget]]\nlimit = 1e9\nper = \"month\"\nuser = \"*\"\n";

/// Repeats that are timed, and the number of exchanges that they are repeats of.
const REPEATS: u64 = 3_000;
const AMONG: u64 = 30_000;

/// The commands that are timed, and what they are called in the table.
const COMMANDS: [(&str, &[&str]); 6] = [
    ("`stats`", &["stats"]),
    ("`stats --by model`", &["stats", "--by", "model"]),
    ("`stats --by user`", &["stats", "--by", "user"]),
    ("`stats --since 1d`", &["stats", "--since", "1d"]),
    ("`sessions list`", &["sessions", "list"]),
    ("`budgets`", &["budgets"]),
];

/// What is measured, and where.
#[derive(Debug)]
pub(crate) struct Ledgers {
    pub(crate) binary: PathBuf,
    pub(crate) upstream: SocketAddr,
    pub(crate) folder: Folder,
    pub(crate) rounds: u32,
    pub(crate) exchanges: u64,
    pub(crate) postgres: Postgres,
}

/// A line of the table: the figures in the file and in Postgres.
type Line = (String, [f64; 2]);

impl Ledgers {
    /// Measures, and returns what is to be read. Runs within a `LocalSet`.
    pub(crate) async fn run(&self) -> anyhow::Result<String> {
        let made = self.made().await?;
        let postgres = self.postgres.ledger(SCHEMA);
        let first = self.copy(&made, &postgres)?;
        let again = self.copy(&made, &postgres)?;
        self.postgres.run(SCHEMA, "checkpoint")?;
        for statement in SPREAD.split("; ") {
            self.postgres.run(SCHEMA, statement)?;
        }
        let file = process::file(&self.folder("file")?);
        let back = self.copy(&postgres, &file)?;
        let ledgers = [file, postgres];
        let mut lines = vec![("size: MB".to_owned(), self.sizes()?)];
        for (name, arguments) in
            COMMANDS.into_iter().filter(|(_, it)| it.len() == 1 || it[1] == "list")
        {
            lines.push((format!("{name}, the first time: ms"), self.once(&ledgers, arguments)?));
        }
        for (name, arguments) in COMMANDS {
            let took = self.medians(|at| self.command(&ledgers[at], arguments))?;
            lines.push((format!("{name}: ms"), took));
        }
        lines.extend(self.serve(&ledgers).await?);
        lines.insert(1, ("size with all indexes: MB".to_owned(), self.sizes()?));
        let figures = format!(
            "{} exchanges, copied from a file into Postgres and compared in {first:.0} s, once more without a change in \
             {again:.0} s,\nand back into a file in {back:.0} s.",
            self.exchanges
        );
        Ok(format!("{figures}\n\n{}", table(&lines)))
    }

    fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.folder.0.join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// A ledger in a file that the server has written. It takes long, so it is kept for the next time.
    async fn made(&self) -> anyhow::Result<String> {
        let kept = self.folder.0.with_file_name(format!("ledger-of-{}", self.exchanges));
        if !kept.exists() {
            let folder = self.folder("made")?;
            let process = Process::reprise(&self.binary, &folder, self.upstream).await?;
            load::run(Server { api: Api::OpenWebUi, ..process.server }, self.all()).await?;
            process.stop()?;
            std::fs::rename(&folder, &kept)?;
        }
        Ok(process::file(&kept))
    }

    /// All exchanges.
    fn all(&self) -> Load {
        let until = Until::Requests(self.exchanges);
        Load { kind: Kind::Small, at_once: 32, until, seed: 1 << 40, prompts: Prompts::Fresh }
    }

    /// Seconds that a copy takes.
    fn copy(&self, from: &str, to: &str) -> anyhow::Result<f64> {
        Ok(self.command(from, &["ledger", "copy", from, to])? / 1e3)
    }

    /// Megabytes of the file and of the tables in Postgres.
    fn sizes(&self) -> anyhow::Result<[f64; 2]> {
        let bytes = self.postgres.run(SCHEMA, "select pg_database_size(current_database())")?;
        Ok([megabytes(&process::ledger(&self.folder("file")?))?, bytes.parse::<f64>()? / 1e6])
    }

    /// Milliseconds that a command takes.
    fn command(&self, ledger: &str, arguments: &[&str]) -> anyhow::Result<f64> {
        let home = self.folder("home")?;
        std::fs::create_dir_all(home.join(".config/reprise"))?;
        std::fs::write(home.join(".config/reprise/reprise.toml"), BUDGETS)?;
        let mut command = process::reprise(&self.binary, &home, ledger);
        // The index of words takes as long as reading all texts.
        let took = process::timed(command.args(arguments).env("REPRISE_SEARCH", "off"))?;
        eprintln!("{took:>9.0} ms  {arguments:?}");
        Ok(took)
    }

    fn once(&self, ledgers: &[String; 2], arguments: &[&str]) -> anyhow::Result<[f64; 2]> {
        Ok([self.command(&ledgers[0], arguments)?, self.command(&ledgers[1], arguments)?])
    }

    /// The medians in the file and in Postgres, of which each has its turn in each round.
    fn medians(&self, measure: impl Fn(usize) -> anyhow::Result<f64>) -> anyhow::Result<[f64; 2]> {
        let mut found = [Vec::new(), Vec::new()];
        for _ in 0..self.rounds {
            for (at, found) in found.iter_mut().enumerate() {
                found.push(measure(at)?);
            }
        }
        Ok(found.map(|found| quantile(&found, 0.5)))
    }

    /// Starts, and repeats of which none is in memory.
    async fn serve(&self, ledgers: &[String; 2]) -> anyhow::Result<Vec<Line>> {
        const FIGURES: [&str; 4] = [
            "start to the first answer: ms",
            "repeats, one at a time, median: ms",
            "the same, p99: ms",
            "the same, CPU ms of Reprise",
        ];
        let mut found: [[Vec<f64>; 2]; 4] = Default::default();
        for round in 0..self.rounds {
            for (at, ledger) in ledgers.iter().enumerate() {
                let folder = self.folder("served")?;
                let begun = Instant::now();
                let process =
                    Process::replica(&self.binary, &folder, ledger, self.upstream).await?;
                found[0][at].push(begun.elapsed().as_secs_f64() * 1e3);
                let server = Server { api: Api::OpenWebUi, ..process.server };
                let until = Until::Requests(REPEATS);
                let all = self.all();
                let among = AMONG.min(self.exchanges / u64::from(self.rounds));
                // Other ones in each round.
                let seed = all.seed + u64::from(round) * among;
                let cpu = process.cpu_ms();
                let prompts = Prompts::Among(among);
                let load = Load { at_once: 1, until, seed, prompts, ..all };
                let times = load::run(server, load).await?;
                #[expect(clippy::cast_precision_loss, reason = "a small number")]
                let cpu = (process.cpu_ms() - cpu) / REPEATS as f64;
                let [half, most] = [0.5, 0.99].map(|share| quantile(&times.whole, share));
                eprintln!("{half:>9.2} ms, p99 {most:.2} ms, {cpu:.3} ms CPU  {ledger}");
                for (figure, value) in found[1..].iter_mut().zip([half, most, cpu]) {
                    figure[at].push(value);
                }
                process.stop()?;
            }
        }
        let medians = found.map(|both| both.map(|values| quantile(&values, 0.5)));
        Ok(FIGURES.map(str::to_owned).into_iter().zip(medians).collect())
    }
}

fn table(lines: &[Line]) -> String {
    let mut cells = vec![["", "file", "Postgres", "to the file"].map(str::to_owned).to_vec()];
    for (name, [file, postgres]) in lines {
        let ratio = format!("× {:.1}", postgres / file);
        cells.push(vec![
            name.clone(),
            report::number(Some(*file)),
            report::number(Some(*postgres)),
            ratio,
        ]);
    }
    report::aligned(&cells)
}
