//! The migrations of both databases, embedded in the program. Each file is listed here; `sqlx::migrate!` would find them by
//! itself, but compiles SQLite and sqlx a second time, for the compiler.

use sqlx::{
    SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
};

/// The names and the text of files.
macro_rules! files {
    ($folder:literal: $($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../migrations/", $folder, "/", $name, ".sql")))),+]
    };
}

/// Migrations of a ledger in a file.
pub(super) fn sqlite() -> Migrator {
    migrator(&files!("sqlite":
        "0001_ledger",
        "0002_running_continues",
        "0003_call_key",
        "0004_reports",
        "0005_exchange_head",
        "0006_call_seq",
        "0007_tries",
        "0008_messages_and_holders",
        "0009_prices",
        "0010_client_keys",
        "0011_tags",
        "0012_user_names",
        "0013_sessions",
        "0014_copies",
    ))
}

/// Migrations of a ledger in Postgres.
pub(super) fn postgres() -> Migrator {
    migrator(&files!("postgres": "0001_ledger", "0002_replicas", "0003_copies"))
}

/// The migrations of files, which are named as sqlx names them: by number and description.
fn migrator(files: &[(&'static str, &'static str)]) -> Migrator {
    let migration = |(name, sql): &(&'static str, &'static str)| {
        let (number, description) = name.split_once('_')?;
        let (version, description) = (number.parse().ok()?, description.replace('_', " "));
        let sql = sql.into_sql_str();
        Some(Migration::new(version, description.into(), MigrationType::Simple, sql, false))
    };
    let migrations: Option<Vec<_>> = files.iter().map(migration).collect();
    Migrator::with_migrations(migrations.expect("a test reads all names"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn all_files_are_listed() {
        for (folder, migrator) in [("sqlite", sqlite()), ("postgres", postgres())] {
            let files = fs::read_dir(format!("migrations/{folder}")).unwrap();
            let name = |file: fs::DirEntry| file.file_name().into_string().unwrap();
            let mut found: Vec<String> = files.map(|file| name(file.unwrap())).collect();
            found.sort();
            let listed = migrator.iter().map(|migration| {
                format!("{:04}_{}.sql", migration.version, migration.description.replace(' ', "_"))
            });
            assert_eq!(found, listed.collect::<Vec<_>>());
        }
    }
}
