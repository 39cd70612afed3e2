//! `reprise ledger`, and settings files and variables, without a server.

use super::*;

#[tokio::test]
async fn a_ledger_is_checked_backed_up_and_vacuumed() {
    let home = Home::new();
    home.check("help_ledger", home.told(&["ledger", "--help"]).split("\nGlobal").next().unwrap());
    let backup = home.path("backup.db");
    home.check("ledger_missing", &home.told(&["ledger", "check"]));
    assert!(home.told(&["ledger", "backup", &backup]).starts_with("exit code: 1"));
    let books = Books::open(&home.ledger()).await;
    books.write(&[paid("claude-opus-5-5"), hit("claude-opus-5-5", 1)]).await;
    books.close().await;
    // The length of paths differs, and so would the layout.
    let mut check = home.reprise(&["ledger", "check"]);
    home.check("ledger_check", &told(check.env_remove("COLUMNS")));
    home.check("ledger_backup", &home.told(&["ledger", "backup", &backup]));
    home.check("ledger_backup_again", &home.told(&["ledger", "backup", &backup]));
    home.check("ledger_vacuum", &home.told(&["ledger", "vacuum"]));
    let of = |file: &str| home.told(&["stats", "--database-url", &format!("sqlite://{file}")]);
    assert_eq!(of(&backup), home.told(&["stats"]));
    // A page in the middle.
    let mut damaged = fs::read(&backup).unwrap();
    let middle = damaged.len() / 2 / 4096 * 4096;
    damaged[middle..middle + 4096].fill(0xA5);
    let damaged = {
        let path = home.path("damaged.db");
        fs::write(&path, damaged).unwrap();
        format!("sqlite://{path}")
    };
    let told = home.told(&["ledger", "check", "--database-url", &damaged]);
    assert!(told.starts_with("exit code: 1") && told.contains("damaged"), "{told}");
    assert!(!told.contains("returned from database"), "{told}");
}

#[test]
fn a_settings_file_is_found_at_its_default_place_and_names_that_are_no_settings_are_told() {
    let home = Home::new();
    let config =
        |home: &Home| told(home.reprise(&["config", "--json"]).env("REPRISE_KEPT_BODIES", "90d"));
    assert!(config(&home).contains("\"nearest\": \"REPRISE_KEEP_BODIES\""));
    let text = told(home.reprise(&["config"]).env("REPRISE_KEPT_BODIES", "90d"));
    assert!(text.contains("no settings file"), "{text}");
    assert!(text.contains("has no effect; did you mean REPRISE_KEEP_BODIES?"), "{text}");
    fs::create_dir_all(home.path(".config/reprise")).unwrap();
    let file = home.write(".config/reprise/reprise.toml", "port = 4711\n");
    let text = home.told(&["config"]);
    assert!(text.contains(".config/reprise/reprise.toml") && text.contains("4711"), "{text}");
    let elsewhere = told(home.reprise(&["config"]).env("XDG_CONFIG_HOME", home.path("xdg")));
    assert!(!elsewhere.contains("4711"), "{elsewhere}");
    let doctor = told(home.reprise(&["doctor"]).env("REPRISE_API_KEYS", "k"));
    assert!(doctor.contains("REPRISE_API_KEYS is no setting and has no effect"), "{doctor}");
    assert!(doctor.contains("→ did you mean REPRISE_API_KEY?"), "{doctor}");
    fs::write(&file, "prot = 1\n").unwrap();
    let refused = home.told(&["config"]);
    assert!(refused.contains("no such setting: prot; did you mean port?"), "{refused}");
}
