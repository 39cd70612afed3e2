//! Prices at the command line: what an import changes, and what the documentation shows of it.

use reprise::domain::exchange::Cost;

use super::{
    Home,
    books::{Books, paid},
    told,
};

#[test]
fn the_documentation_shows_a_price_that_can_be_imported() {
    let home = Home::new();
    let page = include_str!("../../.github/docs/costs.md");
    let blocks: Vec<&str> = page
        .split("```toml\n")
        .skip(1)
        .filter_map(|block| block.split("```").next())
        .filter(|block| block.contains("[[price]]"))
        .collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let file = home.write("own.toml", block);
        let told = home.told(&["prices", "import", &file]);
        let news = format!("Imported {} price", block.matches("[[price]]").count());
        assert!(told.contains(&news) && !told.contains("Left out"), "{told}");
    }
    for command in ["prices", "prices reset", "prices history", "stats --reprice"] {
        assert!(page.contains(&format!("`reprise {command}`")), "{command}");
        let told = home.told(&command.split(' ').collect::<Vec<_>>());
        assert!(told.starts_with("exit code: 0"), "{command}: {told}");
    }
    home.check("prices_history_none", &home.told(&["prices", "history"]));
}

#[tokio::test]
async fn an_import_changes_the_costs_of_past_calls_and_says_so() {
    let home = Home::new();
    let books = Books::open(&home.ledger()).await;
    let unknown = || paid("claude-of-tomorrow").tokens(3_000, 100).cost(Cost::Unpriced);
    books.write(&[unknown(), unknown(), paid("claude-opus-5-5").cost(Cost::Unpriced)]).await;
    books.close().await;
    let rest = "since = \"2026-10-01\"\ninput = 3\noutput = 15\ncache_write_5m = 3.75\n\
        cache_write_1h = 6\ncache_read = 0.3\n";
    let text = format!("[[price]]\nmodel = \"claude-of-tomorrow\"\n{rest}");
    let file = home.write("own.toml", &text);
    let import = |file: &str| told(home.reprise(&["prices", "import", file]).env("USER", "ann"));
    home.check("prices_import_late", &import(&file));
    home.check("prices_late_stats", &home.told(&["stats"]));
    home.write("own.toml", &text.replace("= 3\n", "= 6\n"));
    home.check("prices_import_corrected", &import(&file));
    let history =
        told(home.reprise(&["prices", "history"]).env("USER", "bob").env_remove("COLUMNS"));
    let dated = |line: &str| {
        let at = line.find(" UTC").filter(|&at| at >= 16);
        at.map_or_else(
            || line.to_owned(),
            |at| format!("{}[WHEN]{}", &line[..at - 16], &line[at..]),
        )
    };
    let history = history.lines().map(dated).collect::<Vec<_>>().join("\n");
    home.check("prices_history", &history);
    home.check("prices_reprice", &home.told(&["stats", "--reprice"]));
    let what_if = |model| home.told(&["stats", "--what-if", model]);
    home.check("prices_what_if", &what_if("anthropic/claude-haiku-5.5"));
    home.check("prices_what_if_unknown", &what_if("claude-hiaku-5-5"));
}
