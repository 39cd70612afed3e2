//! A number without a unit deletes nothing and expires nothing, whatever the setting and the way to set it.

use super::{Home, told};

/// Setting, value, what it is told to be, a value to write instead.
const UNCLEAR: [(&str, &str, &str, &str); 12] = [
    ("keep_bodies", "90", "would mean 90 seconds", "90d"),
    ("keep_bodies", "1.5", "is not a time such as", "36h"),
    ("keep_bodies", "1m", "minutes or months", "30d"),
    ("keep_totals", "365", "would mean 365 seconds", "365d"),
    ("keep_totals", "6m", "minutes or months", "180d"),
    ("max_size", "2", "would mean 2 bytes", "2GiB"),
    ("max_size", "2.5", "would mean 2.5 bytes", "2.5GiB"),
    ("cache_ttl", "30", "would mean 30 seconds", "30d"),
    ("task_ttl", "title=90", "would mean 90 seconds", "title=90d"),
    ("task_ttl", "query=off,tags=7", "would mean 7 seconds", "query=off,tags=7d"),
    ("web_ttl", "1", "would mean 1 seconds", "1d"),
    ("web_ttl", "007", "would mean 007 seconds", "7d"),
];

#[test]
fn no_setting_takes_a_number_without_a_unit() {
    for (name, value, meaning, instead) in UNCLEAR {
        let home = Home::new();
        let flag = format!("--{}", name.replace('_', "-"));
        let variable = format!("REPRISE_{}", name.to_uppercase());
        let quoted = home.write("quoted.toml", &format!("port = 0\n\n{name} = {value:?}\n"));
        let mut ways = vec![
            (flag.clone(), home.reprise(&["serve", &flag, value])),
            (variable.clone(), home.reprise(&["serve"])),
            (format!("{name} in {quoted}, line 3"), home.reprise(&["serve", "--config", &quoted])),
        ];
        ways[1].1.env(&variable, value);
        if value.parse::<u32>().is_ok_and(|number| number.to_string() == value) {
            let bare = home.write("bare.toml", &format!("{name} = {value}\n"));
            let place = format!("{name} in {bare}, line 1");
            ways.push((place, home.reprise(&["serve", "--config", &bare])));
        }
        for (place, mut command) in ways {
            let told = told(&mut command);
            assert!(told.starts_with("exit code: 1"), "{name} = {value}: {told}");
            for part in [&*place, meaning] {
                assert!(told.contains(part), "{part}: {told}");
            }
        }
        // The value that it advises is one that the setting takes.
        let mut config = home.reprise(&["config"]);
        let told = told(config.env(&variable, instead));
        assert!(told.starts_with("exit code: 0") && told.contains(instead), "{told}");
    }
}

#[test]
fn no_command_deletes_by_a_number_without_a_unit() {
    let home = Home::new();
    for (command, flag, value, meaning) in [
        ("prune", "--keep-bodies", "90", "90 has no unit and would mean 90 seconds: write 90d"),
        ("prune", "--keep-bodies", "1m", "write 1min for minutes, or 30d for months"),
        ("prune", "--keep-totals", "365", "365 has no unit and would mean 365 seconds: write 365d"),
        ("prune", "--keep-totals", "12m", "write 12min for minutes, or 360d for months"),
        ("prune", "--max-size", "2", "2 has no unit and would mean 2 bytes: write 2GiB"),
        ("cache clear", "--older-than", "7", "7 has no unit and would mean 7 seconds: write 7d"),
        ("cache clear", "--older-than", "1m", "write 1min for minutes, or 30d for months"),
    ] {
        let arguments: Vec<&str> = command.split(' ').chain([flag, value]).collect();
        let told = home.told(&arguments);
        assert!(told.starts_with("exit code: 2"), "{told}");
        assert!(told.contains(flag) && told.contains(meaning), "{told}");
    }
    // 0 is the same in every unit.
    for flag in ["--keep-bodies", "--keep-totals"] {
        let told = home.told(&["prune", flag, "0"]);
        assert!(told.contains("there is no ledger at"), "{told}");
    }
}
