//! The table of the measurement, and the place for it in the documentation.

use std::{fs, path::Path};

use anyhow::Context as _;

use crate::cells::{
    Figures,
    Measure::{self, Cpu, First, Idle, Memory, Size, Start, Whole},
    Target,
};

/// How a figure stands to that of the floor.
#[derive(Debug, Clone, Copy)]
enum Against {
    /// As a multiple of the pass-through's.
    Times(Target),
    /// By so much more than the pass-through's.
    More,
    /// All figures are by so much more than without a proxy.
    OverDirect,
    /// Not at all.
    Nothing,
}

/// A line of the table.
struct Row(&'static str, &'static str, Measure, Against);

const ROWS: &[Row] = &[
    Row("small answers, 32 at once: CPU ms", "small", Cpu, Against::Times(Target::Floor)),
    Row("small answers, one at a time: ms (median)", "small-1", Whole, Against::More),
    Row("streams of 200 deltas, 32 at once: CPU ms", "burst", Cpu, Against::Times(Target::Floor)),
    Row(
        "100 deltas, one each 10 ms, 200 at once: CPU ms",
        "paced-200",
        Cpu,
        Against::Times(Target::Floor),
    ),
    Row(
        "the same, time to the first text: ms over direct",
        "paced-200",
        First,
        Against::OverDirect,
    ),
    Row(
        "20 at once, time to the first text: ms over direct",
        "paced-20",
        First,
        Against::OverDirect,
    ),
    Row("repeats, small, 32 at once: CPU ms", "hit", Cpu, Against::Times(Target::Memory)),
    Row(
        "repeats, 200 deltas, 32 at once: CPU ms",
        "hit-stream",
        Cpu,
        Against::Times(Target::Memory),
    ),
    Row("memory, idle: MB", "start", Idle, Against::Nothing),
    Row("memory, 200 streams: MB", "paced-200", Memory, Against::Nothing),
    Row("memory, 1,000 streams: MB", "open-1000", Memory, Against::Nothing),
    Row("start to the first answer: ms", "start", Start, Against::More),
    Row("binary: MB", "start", Size, Against::Nothing),
];

/// The table as Markdown. `before` is the name of the revision that is compared.
pub(crate) fn table(figures: &Figures, before: Option<&str>) -> String {
    let mut heading = vec!["", "floor"];
    heading.extend(before);
    heading.extend(["Reprise", "to the floor"]);
    heading.extend(before.map(|_| "change"));
    let mut lines = vec![heading.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    for Row(text, cell, measure, against) in ROWS {
        let value = |target| {
            let value = figures.median(cell, *measure, target)?;
            let is_over = matches!(against, Against::OverDirect);
            let direct = figures.median(cell, *measure, Target::Direct).filter(|_| is_over);
            Some(value - direct.unwrap_or_default())
        };
        let Some(ours) = value(Target::Reprise) else { continue };
        let beneath = if let Against::Times(target) = against { *target } else { Target::Floor };
        let (floor, old) = (value(beneath), value(Target::Before));
        let mut line = vec![(*text).to_owned(), number(floor)];
        line.extend(before.map(|_| number(old)));
        line.push(number(Some(ours)));
        line.push(floor.map_or_else(String::new, |floor| match against {
            Against::Times(_) => format!("× {:.1}", ours / floor),
            Against::More | Against::OverDirect => format!("{:+.2}", ours - floor),
            Against::Nothing => String::new(),
        }));
        let change = |old: f64| format!("{:+.0} %", (ours / old - 1.0) * 100.0);
        line.extend(before.map(|_| old.map_or_else(String::new, change)));
        lines.push(line);
    }
    aligned(&lines)
}

/// With three digits that count.
pub(crate) fn number(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value.abs() < 1.0 => format!("{value:.3}"),
        Some(value) if value.abs() < 10.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.1}"),
    }
}

/// A table of these cells, of which the first line is the heading.
pub(crate) fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
    let rule = |at| {
        if at == 0 { "-".repeat(width(at)) } else { format!("{}:", "-".repeat(width(at) - 1)) }
    };
    let rules: Vec<String> = (0..columns).map(rule).collect();
    let (heading, rest) = lines.split_at(1);
    let cell = |(at, cell): (usize, &String)| match (at, width(at)) {
        (0, width) => format!("| {cell:<width$} "),
        (_, width) => format!("| {cell:>width$} "),
    };
    let line = |cells: &Vec<String>| cells.iter().enumerate().map(cell).collect::<String>() + "|\n";
    heading.iter().chain([&rules]).chain(rest).map(line).collect()
}

/// Puts text between the markers of a page that have this name.
pub(crate) fn write(page: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let old = fs::read_to_string(page)?;
    let (before, rest) = old.split_once(&begin).with_context(|| format!("no marker {begin}"))?;
    let (_, after) = rest.split_once(&end).with_context(|| format!("no marker {end}"))?;
    Ok(fs::write(page, format!("{before}{begin}{text}{end}{after}"))?)
}
