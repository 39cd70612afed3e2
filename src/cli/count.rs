//! Numbers of things, as arguments.

use std::str::FromStr;

/// Parses the number of things that are wanted.
pub(super) fn count<T: FromStr + Default + PartialEq>(text: &str) -> Result<T, &'static str> {
    let wanted = text.parse().ok().filter(|count| *count != T::default());
    wanted.ok_or("expected a whole number, 1 or more")
}

/// Parses the same, where 0 stands for all.
pub(super) fn count_or_all(text: &str) -> Result<usize, &'static str> {
    match text.parse() {
        Ok(0) => Ok(usize::MAX),
        Ok(count) => Ok(count),
        Err(_) => Err("expected a whole number, or 0 for all"),
    }
}
