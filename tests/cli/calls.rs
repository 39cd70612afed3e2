//! `reprise calls export`: JSON and CSV, filters and files.

use super::*;

#[tokio::test]
async fn calls_are_exported_as_json_or_csv() {
    let home = Home::new();
    home.check("calls_missing", &home.told(&["calls", "export"]));
    let books = Books::open(&home.ledger()).await;
    books
        .write(&[
            paid("=HYPERLINK(\"http://x\",\"y\")")
                .tokens(12_000, 3_400)
                .cost(Cost::Exact(NanoDollars(145_000_001))),
            hit("claude, \"opus\"\n5 \u{1b}[2J", 145_000_000),
            paid("@sum").ended(Outcome::Stopped, 200).cost(Cost::AtLeast(NanoDollars(5))),
            paid("claude-experimental").ended(Outcome::Failed, 529).cost(Cost::Unpriced),
        ])
        .await;
    books.close().await;
    home.check("calls_jsonl", &home.told(&["calls", "export"]));
    let csv = home.told(&["calls", "export", "--format", "csv"]);
    home.check("calls_csv", &csv);
    let (_, table) = csv.split_once("== stdout\n").unwrap();
    let (table, _) = table.split_once("== stderr").unwrap();
    assert_eq!(table.matches("\r\n").count(), 5, "RFC 4180");
    let records: Vec<csv::StringRecord> = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(table.as_bytes())
        .records()
        .map(Result::unwrap)
        .collect();
    let model = records[0].iter().position(|name| name == "model").unwrap();
    let models: Vec<&str> = records.iter().map(|record| &record[model]).collect();
    assert_eq!(models[1..3], ["'=HYPERLINK(\"http://x\",\"y\")", "claude, \"opus\"\n5 \\u{1b}[2J"]);
    let only = ["calls", "export", "--outcome", "stopped", "--last", "3", "--since", "2026-10-20"];
    assert!(home.told(&only).contains("\"model\":\"@sum\""));
    home.check("calls_output", &home.told(&["calls", "export", "--output", "calls.jsonl"]));
    let written = fs::read_to_string(home.path("calls.jsonl")).unwrap();
    assert!(home.told(&["calls", "export"]).contains(&written));
    home.check("calls_output_again", &home.told(&["calls", "export", "--output", "calls.jsonl"]));
    assert_eq!(fs::read_to_string(home.path("calls.jsonl")).unwrap(), written);
    home.check("calls_outcome", &home.told(&["calls", "export", "--outcome", "good"]));
    home.check("calls_last", &home.told(&["calls", "export", "--last", "0"]));
    home.check("stats_by", &home.told(&["stats", "--by", "colour"]));
    home.check("stats_reprice_tags", &home.told(&["stats", "--by", "tag", "--reprice"]));
}
