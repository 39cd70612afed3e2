//! All that reads what comes from outside, held to its properties over the seeds of the fuzz targets, and over a bounded
//! number of changes to them, the same in each run. `tests/fuzz/run` goes on for as long as one likes.
//!
//! A target is a function of bytes in a file of its own in `fuzz/`. libFuzzer runs the same one (`fuzz/targets`).

mod edit;
mod fixture;
mod headers;
mod input;
mod prices;
mod request;
mod scrub;
mod sse;
mod stream;
mod text;

use std::{
    fs,
    path::{Path, PathBuf},
};

use proptest::{prelude::*, sample::Index, test_runner::TestRunner};

use crate::playback::{CREATED, ID, client};

/// Changed inputs for each target.
const CASES: u32 = 300;
/// Longest input.
const LONGEST: usize = 65_536;

/// Two tests for each target.
macro_rules! hold {
    ($($target:ident),*) => { $(
        mod $target {
            use std::panic::catch_unwind;

            use super::super::{$target::check, changed, seeds};

            #[test]
            fn for_its_seeds() {
                for (name, seed) in seeds(stringify!($target)) {
                    assert!(catch_unwind(|| check(&seed)).is_ok(), "the seed {name}");
                }
            }

            #[test]
            fn for_changed_seeds() {
                changed(stringify!($target), check);
            }
        }
    )* };
}

mod holds {
    hold!(fixture, headers, prices, request, scrub, sse, stream, text);
}

#[test]
fn the_fuzzer_builds_every_module_of_the_core() {
    let modules = |file: &str| {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file));
        let lines = text.expect("it is there").replace("    pub mod prices;\n", "");
        let modules = lines.lines().map(str::trim);
        let modules = modules.filter(|line| line.starts_with("pub mod ") && line.ends_with(';'));
        modules.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(modules("tests/fuzz/lib.rs"), modules("src/domain.rs"));
}

/// The seeds of a target by name: ours, and each input that once broke it.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds").join(target);
    let files = fs::read_dir(&folder).expect("each target has seeds");
    let mut files: Vec<_> = files.map(|file| file.expect("a seed").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    let read = |file: &PathBuf| {
        let seed = fs::read(file).expect("a seed");
        assert!(seed.len() <= LONGEST, "{} is too long", file.display());
        (file.display().to_string(), seed)
    };
    files.iter().map(read).collect()
}

/// A change of an input.
#[derive(Debug, Clone)]
enum Change {
    Set(Index, u8),
    First(usize, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, u8),
    Copy(Index, Index, u8),
    Append(Vec<u8>),
    Splice(Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let bytes = || prop::collection::vec(any::<u8>(), 1..12);
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        // The first bytes of most inputs choose.
        2 => (0_usize..4, any::<u8>()).prop_map(|(at, byte)| Change::First(at, byte)),
        1 => (any::<Index>(), bytes()).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, count)| Change::Remove(at, count)),
        2 => (any::<Index>(), any::<Index>(), any::<u8>()).prop_map(|(from, to, count)| Change::Copy(from, to, count)),
        4 => prop::collection::vec(any::<u8>(), 1..60).prop_map(|mut bytes| {
            bytes.insert(0, 0);
            Change::Append(bytes)
        }),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(other, at)| Change::Splice(other, at)),
    ]
}

fn apply(change: &Change, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let place = |at: &Index, input: &[u8]| at.index(input.len() + 1);
    match change {
        Change::Set(at, byte) => {
            let at = at.index(input.len().max(1));
            input.iter_mut().skip(at).take(1).for_each(|old| *old = *byte);
        }
        Change::First(at, byte) => {
            input.iter_mut().skip(*at).take(1).for_each(|old| *old = *byte);
        }
        Change::Insert(at, bytes) => {
            let at = place(at, input);
            input.splice(at..at, bytes.iter().copied());
        }
        Change::Remove(at, count) => {
            let at = place(at, input);
            let end = (at + usize::from(*count)).min(input.len());
            input.drain(at..end);
        }
        Change::Copy(from, to, count) => {
            let (from, to) = (place(from, input), place(to, input));
            let copied = input[from..(from + usize::from(*count)).min(input.len())].to_vec();
            input.splice(to..to, copied);
        }
        Change::Append(bytes) => input.extend(bytes),
        Change::Splice(other, at) => {
            let other = &seeds[other.index(seeds.len())];
            let at = place(at, input);
            input.truncate(at);
            input.extend(&other[at.min(other.len())..]);
        }
    }
    input.truncate(LONGEST);
}

/// Runs a target over changed seeds, and over bytes without sense.
fn changed(target: &str, check: fn(&[u8])) {
    let seeds: Vec<Vec<u8>> = seeds(target).into_iter().map(|(_, seed)| seed).collect();
    let config = ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    };
    let rng = proptest::test_runner::TestRng::deterministic_rng(config.rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let inputs = prop_oneof![
        9 => (any::<Index>(), prop::collection::vec(change(), 1..6)),
        1 => (any::<Index>(), Just(Vec::new())),
    ];
    let inputs = (inputs, prop::collection::vec(any::<u8>(), 0..200)).prop_map(
        |((seed, changes), bytes)| {
            let seed = &seeds[seed.index(seeds.len())];
            if changes.is_empty() {
                return bytes;
            }
            let mut input = seed.clone();
            for change in &changes {
                apply(change, &mut input, &seeds);
            }
            input
        },
    );
    runner
        .run(&inputs, |input| {
            check(&input);
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}
