use proptest::prelude::*;

use super::*;

const ID: &str = "01a2268a-98d0-75cc-bff4-d3f6ac75e335";

fn shown(table: &Table, width: Option<usize>) -> String {
    width.map_or_else(|| table.to_string(), |width| format!("{table:width$}"))
}

fn widest(text: &str) -> usize {
    text.lines().map(UnicodeWidthStr::width).max().unwrap_or(0)
}

fn sessions(title: &str, cost: &str) -> Table {
    let mut table = Table::new([
        Column::name("session"),
        Column::number("calls").expendable(2),
        Column::number("cost").expendable(1),
        Column::text("title"),
    ]);
    table.row([ID, "12", cost, title]);
    table.row(["chat", "1", "$0.0001", "Short"]);
    table.total(["total", "13", cost, ""]);
    table
}

#[test]
fn columns_give_way_in_their_order() {
    let table = sessions("Weather in Berlin and in Paris", "$1,234.5678");
    let shown = [100, 80, 66, 56, 50].map(|width| format!("{width}\n{table:width$}"));
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn a_pipe_gets_everything() {
    let title = "word ".repeat(60);
    let text = shown(&sessions(title.trim_end(), "$1"), None);
    assert!(text.contains(title.trim_end()), "{text}");
}

#[test]
fn sentences_wrap_between_words_below_each_other() {
    let mut table = Table::new([Column::name(""), Column::prose("")]);
    table.row(["ledger", "the file /var/lib/reprise/reprise.db is damaged, and can be recovered"]);
    insta::assert_snapshot!(format!("{table:44}"));
}

#[test]
fn text_of_clients_is_one_line_that_commands_nothing() {
    let text = shown(&sessions("a\u{1b}[31m\nb\u{202e}", "$1"), Some(100));
    assert!(text.contains("a\\u{1b}[31m\\nb\\u{202e}"), "{text}");
}

#[test]
fn a_bar_is_as_long_as_its_value() {
    let bars = [0.0, 0.001, 0.25, 0.5].map(|value| bar(value, 0.5, 8));
    assert_eq!(bars, ["", "▏", "████", "████████"]);
}

#[test]
fn texts_are_shortened_by_their_width() {
    assert_eq!(elided("量子糾纏", 8), "量子糾纏");
    assert_eq!(elided("量子糾纏", 7), "量子糾…");
    assert_eq!(elided("量子糾纏", 6), "量子…");
    assert_eq!(elided("one two", 5), "one…");
    assert_eq!(elided("abc", 1), "…");
    assert_eq!(wrapped("a  b c", 4), ["a  b", "c"]);
    assert_eq!(wrapped("    code here", 8), ["    code", "here"]);
}

/// Text of clients: long, wide, combined, with control characters.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-z]{1,30}",
        Just("量子糾纏".to_owned()),
        Just("👩‍👩‍👧‍👦🌧️❤️".to_owned()),
        Just("e\u{301}\u{200b}".to_owned()),
        Just("مرحبا".to_owned()),
        Just("\u{1b}[2J\n\t".to_owned()),
        Just(" ".to_owned()),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn money() -> impl Strategy<Value = String> {
    let digits = any::<i64>().prop_map(|nanos| {
        let bound = if nanos % 2 == 0 { "≥ " } else { "" };
        format!("{bound}{} +?", crate::domain::exchange::NanoDollars(nanos))
    });
    prop_oneof![Just("$0.0000".to_owned()), digits]
}

proptest! {
    #[test]
    fn tables_fit_and_keep_ids_and_numbers_whole(
        width in 40_usize..=200,
        rows in proptest::collection::vec((text(), money(), any::<u64>(), text()), 1..6),
        kinds in (any::<bool>(), any::<bool>()),
    ) {
        let last = if kinds.0 { Column::prose("note") } else { Column::text("title") };
        let mut table = Table::new([
            Column::name("session"),
            Column::name("user").expendable(2),
            Column::number("cost"),
            Column::number("calls").expendable(1),
            last,
        ]);
        for (user, cost, calls, title) in &rows {
            table.row([ID, user, cost, &calls.to_string(), title]);
        }
        if kinds.1 {
            table.total(["total", "", "$1", "1", ""]);
            table.bars(rows.iter().map(|_| 0.5));
        }
        let text = shown(&table, Some(width));
        prop_assert_eq!(text.matches(ID).count(), rows.len(), "{}", text);
        for (_, cost, calls, _) in &rows {
            prop_assert!(text.contains(cost.as_str()), "{} in\n{}", cost, text);
            let left_out = |line: &str| line.contains("no room") && line.contains("calls");
            let is_shown = !text.lines().any(left_out);
            prop_assert!(!is_shown || text.contains(&calls.to_string()), "{} in\n{}", calls, text);
        }
        let words = rows.iter().flat_map(|(.., title)| title.split(' '));
        let is_long = words.map(one_line).any(|word| word.width() > width * 2 / 3);
        // A word of a sentence that is longer than the room stays whole.
        prop_assert!(widest(&text) <= width || kinds.0 && is_long, "{}\n{}", width, text);
        prop_assert!(text.lines().all(|line| !line.ends_with(' ')));
        let commands = text.contains(['\u{1b}', '\t']);
        prop_assert!(!commands, "{}", text);
    }
}
