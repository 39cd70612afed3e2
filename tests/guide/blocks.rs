//! The examples of a page: its `console` blocks, taken apart into commands and their outputs.

/// A command of an example, and what the page shows of its output.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Example {
    /// Line of the page, from 1.
    pub(super) line: usize,
    /// All lines of the command, without the `$ `.
    pub(super) command: String,
    pub(super) output: Vec<String>,
}

/// All examples of a page, in their order.
pub(super) fn examples(page: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let (mut in_block, mut in_command) = (false, false);
    for (at, text) in page.lines().enumerate() {
        match (in_block, text) {
            (false, "```console") => in_block = true,
            (true, "```") => (in_block, in_command) = (false, false),
            (true, text) => match (text.strip_prefix("$ "), examples.last_mut()) {
                (Some(command), _) => {
                    let example =
                        Example { line: at + 1, command: command.to_owned(), output: Vec::new() };
                    examples.push(example);
                    in_command = command.ends_with('\\');
                }
                (None, Some(example)) if in_command => {
                    example.command += "\n";
                    example.command += text;
                    in_command = text.ends_with('\\');
                }
                (None, Some(example)) => example.output.push(text.to_owned()),
                (None, None) => panic!("line {}: a block that does not begin with $", at + 1),
            },
            (false, _) => {}
        }
    }
    for example in &mut examples {
        // Empty lines separate commands on the page.
        let last = example.output.iter().rposition(|line| !line.is_empty());
        example.output.truncate(last.map_or(0, |last| last + 1));
    }
    examples
}

/// Tells whether an output is what a page shows: a line `...` stands for any lines, `...` in a line for any text, and spaces at
/// the ends of lines do not count.
pub(super) fn agrees(shown: &[String], output: &[&str]) -> bool {
    match shown.split_first() {
        None => output.iter().all(|line| line.trim().is_empty()),
        Some((line, rest)) if line == "..." => {
            (0..=output.len()).any(|skipped| agrees(rest, &output[skipped..]))
        }
        Some((line, rest)) => output
            .split_first()
            .is_some_and(|(first, others)| line_agrees(line, first) && agrees(rest, others)),
    }
}

fn line_agrees(shown: &str, line: &str) -> bool {
    let (shown, mut left) = (shown.trim_end(), line.trim_end());
    let mut parts = shown.split("...").peekable();
    let Some(begin) = parts.next() else { return false };
    let Some(after) = left.strip_prefix(begin) else { return false };
    left = after;
    if parts.peek().is_none() {
        return left.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    true
}

#[test]
fn a_page_is_taken_apart() {
    let page = "text\n```console\n$ one \\\n  more\nout\n\n$ two\n```\n```sh\n$ not run\n```\n```console\n$ three\n```\n";
    let told: Vec<_> = examples(page)
        .into_iter()
        .map(|example| (example.line, example.command, example.output.concat()))
        .collect();
    let expected = [(3, "one \\\n  more", "out"), (7, "two", ""), (13, "three", "")];
    assert_eq!(told, expected.map(|(line, a, b)| (line, a.to_owned(), b.to_owned())));
}

#[test]
fn dots_stand_for_text_and_lines() {
    let agree = |shown: &str, output: &str| {
        let shown: Vec<String> = shown.lines().map(str::to_owned).collect();
        agrees(&shown, &output.lines().collect::<Vec<_>>())
    };
    assert!(agree("a\n...\nz", "a\nb\nc\nz\n\n") && agree("a\n...\nz", "a\nz"));
    assert!(agree("key=...; ttl=...", "key=1; ttl=2") && agree("...", ""));
    assert!(!agree("a\n...\nz", "a\nz\nb") && !agree("a", "a\nb") && !agree("", "b"));
    assert!(!agree("key=...; ttl=...x", "key=1; ttl=2") && !agree("a...a", "a"));
}
