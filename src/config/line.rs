//! Lines of the settings file, for errors.

/// Line of an error in TOML and its reason, without the text of the line.
pub(super) fn located(error: &toml::de::Error, text: &str) -> (usize, String) {
    let start = error.span().map_or(0, |span| span.start);
    (line_at(text, start), error.message().to_owned())
}

/// Line of an offset in a text.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    text.get(..offset).unwrap_or_default().matches('\n').count() + 1
}
