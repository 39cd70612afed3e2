//! Lines in columns, for short lists that are no table.

use std::fmt;

/// Writes each line with its columns under those of the others. The last may be as long as it likes.
pub fn columns<const N: usize>(f: &mut fmt::Formatter<'_>, lines: &[[String; N]]) -> fmt::Result {
    let width = |column: usize| {
        lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    for line in lines {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let told = cells.collect::<Vec<_>>().join("  ");
        writeln!(f, "{}", told.trim_end())?;
    }
    Ok(())
}
