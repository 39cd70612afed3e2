//! The rounds of a test: as many as fit in its share of time, by chance from a seed, and counted.

use std::{
    env,
    fmt::Write as _,
    fs::File,
    hash::{BuildHasher, RandomState},
    io::Write as _,
    time::{Duration, Instant},
};

/// A test that goes round by round. Dropped in a panic, it prints its seed.
#[derive(Debug)]
pub(super) struct Rounds {
    name: &'static str,
    seed: u64,
    pub(super) chance: Chance,
    /// Rounds without a share of time.
    by_default: usize,
    until: Option<Instant>,
    pub(super) tally: Tally,
}

/// What happened in all rounds.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) rounds: usize,
    /// Answers whose end a client saw.
    pub(super) seen: usize,
    /// Exchanges that are lost, all of them accounted for.
    pub(super) lost: usize,
    /// Requests that upstream counted.
    pub(super) tries: usize,
    /// Times that the invariant was checked.
    pub(super) checks: usize,
    /// Figures of this test alone.
    pub(super) more: String,
}

impl Rounds {
    pub(super) fn new(name: &'static str, by_default: usize) -> Self {
        let number = |name: &str| env::var(name).ok().and_then(|text| text.parse().ok());
        let seed = number("REPRISE_TORTURE_SEED")
            .unwrap_or_else(|| RandomState::new().hash_one(name) >> 16);
        let share = number("REPRISE_TORTURE_SECONDS").map(Duration::from_secs);
        let until = share.map(|share| Instant::now() + share);
        Self { name, seed, chance: Chance(seed), by_default, until, tally: Tally::default() }
    }

    /// Begins another round, if there is time for one.
    pub(super) fn next(&mut self) -> bool {
        let rounds = self.tally.rounds;
        let goes_on = match self.until {
            None => rounds < self.by_default,
            Some(until) => rounds == 0 || Instant::now() < until,
        };
        self.tally.rounds += usize::from(goes_on);
        goes_on
    }
}

impl Drop for Rounds {
    fn drop(&mut self) {
        let Self { name, seed, tally, .. } = self;
        let Tally { rounds, seen, lost, tries, checks, more } = tally;
        if std::thread::panicking() {
            let mut line = String::new();
            let _ = writeln!(
                line,
                "{name}: round {rounds} failed; again with REPRISE_TORTURE_SEED={seed}"
            );
            let _ = std::io::stderr().write_all(line.as_bytes());
        } else if let Some(report) = env::var_os("REPRISE_TORTURE_REPORT") {
            let line = format!("{name}\t{rounds}\t{seen}\t{lost}\t{tries}\t{checks}\t{more}\n");
            let report = File::options().append(true).create(true).open(report);
            let written = report.and_then(|mut report| report.write_all(line.as_bytes()));
            written.expect("a line of the report");
        }
    }
}

/// Random numbers from a seed (`SplitMix64`).
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("it is below a usize")
    }

    /// True in one of so many cases.
    pub(super) fn one_in(&mut self, cases: usize) -> bool {
        self.below(cases) == 0
    }

    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Text that stands nowhere else.
    pub(super) fn word(&mut self) -> String {
        format!("{:016x}", self.next())
    }
}
