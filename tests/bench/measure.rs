//! A measure of work: the time of the processor that this process spends, not the time that passes, so that other
//! programs hardly count. That is what the common harnesses cannot do, and why this stands in their place.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Time of the processor for a sample. A sample repeats its work for as long.
const SAMPLE: Duration = Duration::from_millis(60);
const SAMPLES: usize = 7;

/// What a piece of work has much of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amount {
    pub(crate) count: usize,
    /// The name of one.
    pub(crate) unit: &'static str,
    /// Size of all, in bytes; 0 where it does not matter.
    pub(crate) bytes: usize,
}

/// Prints the heading of the lines that follow.
pub(crate) fn heading(title: &str) {
    println!("\n{title:<56} {:>11} {:>20} {:>12}  {:>9}", "once", "each", "MB", "slowest");
}

/// Measures a piece of work, unless its name lacks a word of the command line, and prints a line: the median of the
/// samples for all of it, for one of its parts and for a megabyte, and by how much the slowest sample was slower.
pub(crate) fn line(name: &str, amount: Amount, mut work: impl FnMut()) {
    line_of(name, amount, || (), |()| work());
}

/// The same for work on what is made before, whose time does not count.
pub(crate) fn line_of<T>(
    name: &str,
    amount: Amount,
    mut make: impl FnMut() -> T,
    mut work: impl FnMut(T),
) {
    let words: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if !words.iter().all(|word| name.contains(word)) {
        return;
    }
    let mut times: Vec<f64> = (0..=SAMPLES).map(|_| sample(&mut make, &mut work)).collect();
    // The first one filled caches.
    times.remove(0);
    times.sort_by(f64::total_cmp);
    let (median, most) = (times[SAMPLES / 2], times[SAMPLES - 1]);
    let Amount { count, unit, bytes } = amount;
    println!(
        "{name:<56} {:>11} {:>20} {:>12}  {:>+7.0} %",
        told(median),
        format!("{} / {unit}", told(median / as_float(count))),
        if bytes == 0 { String::new() } else { told(median / as_float(bytes) * 1e6) },
        (most / median - 1.0) * 100.0,
    );
}

/// The nanoseconds for one time.
fn sample<T>(make: &mut impl FnMut() -> T, work: &mut impl FnMut(T)) -> f64 {
    let (mut passed, mut times) = (Duration::ZERO, 0);
    while passed < SAMPLE {
        let material = make();
        let begun = spent();
        work(material);
        passed += spent().saturating_sub(begun);
        times += 1;
    }
    passed.as_secs_f64() * 1e9 / f64::from(times)
}

/// Time that the processor has spent on this process.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).expect("it is not negative")
}

fn told(nanoseconds: f64) -> String {
    match nanoseconds {
        time if time < 1e3 => format!("{time:.0} ns"),
        time if time < 1e6 => format!("{:.1} µs", time / 1e3),
        time => format!("{:.2} ms", time / 1e6),
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn as_float(count: usize) -> f64 {
    count.max(1) as f64
}
