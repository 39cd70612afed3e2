//! Aligned columns for short lists without headings or rules.

use std::fmt;

/// Writes lines with aligned columns. The last column has no limit.
pub fn columns<const N: usize>(f: &mut fmt::Formatter<'_>, lines: &[[String; N]]) -> fmt::Result {
    let width = |column: usize| {
        lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    for line in lines {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let cells = cells.collect::<Vec<_>>().join("  ");
        // A name of several lines would look like several lines of the list.
        writeln!(f, "{}", cells.trim_end().replace('\n', "\\n"))?;
    }
    Ok(())
}
