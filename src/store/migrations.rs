//! The migrations of both databases, embedded in the program. Each file is listed here; `sqlx::migrate!` would find them by
//! itself, but compiles SQLite and sqlx a second time, for the compiler.

use sqlx::{
    SqlSafeStr,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

use super::Error;

/// Files of migrations in their order: the name, which sqlx forms of a number and a description, and the text.
pub(super) struct Migrations(&'static [(&'static str, &'static str)]);

macro_rules! files {
    ($folder:literal: $($name:literal),+ $(,)?) => {
        Migrations(&[$(($name, include_str!(concat!("../../migrations/", $folder, "/", $name, ".sql")))),+])
    };
}

/// Migrations of a ledger in a file.
pub(super) const SQLITE: Migrations = files!("sqlite":
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
);

/// Migrations of a ledger in Postgres.
pub(super) const POSTGRES: Migrations = files!("postgres":
    "0001_ledger",
    "0002_replicas",
    "0003_copies",
);

impl Migrations {
    /// The migrations as sqlx runs them.
    pub(super) fn migrator(&self) -> Migrator {
        let migrations = self.0.iter().map(|&(name, sql)| {
            let (version, description) = parts(name);
            let (description, sql) = (description.replace('_', " "), sql.into_sql_str());
            Migration::new(version, description.into(), MigrationType::Simple, sql, false)
        });
        Migrator::with_migrations(migrations.collect())
    }

    /// The number of the newest one.
    pub(super) fn newest(&self) -> i64 {
        self.0.last().map_or(0, |(name, _)| parts(name).0)
    }

    /// Fails unless `found` is the newest migration that a ledger has; `None`: it has no tables.
    pub(super) fn check(&self, found: Option<i64>) -> Result<(), Error> {
        match (found, self.newest()) {
            (None, _) => Err(Error::NoTables),
            (Some(found), known) if found > known => Err(Error::Newer { found, known }),
            (Some(found), known) if found < known => Err(Error::Older { found, known }),
            (Some(_), _) => Ok(()),
        }
    }

    /// The error of a run.
    pub(super) fn error(&self, error: MigrateError) -> Error {
        match error {
            MigrateError::VersionMissing(found) => Error::Newer { found, known: self.newest() },
            other => Error::Migrate(other),
        }
    }
}

/// The number and the description in the name of a file.
fn parts(name: &str) -> (i64, &str) {
    let parts = name.split_once('_').and_then(|(number, rest)| Some((number.parse().ok()?, rest)));
    parts.expect("a test reads all names")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn all_files_are_listed() {
        for (folder, migrations) in [("sqlite", SQLITE), ("postgres", POSTGRES)] {
            let files = fs::read_dir(format!("migrations/{folder}")).unwrap();
            let name = |file: fs::DirEntry| file.file_name().into_string().unwrap();
            let mut found: Vec<String> = files.map(|file| name(file.unwrap())).collect();
            found.sort();
            let migrator = migrations.migrator();
            let listed = migrator.iter().map(|migration| {
                format!("{:04}_{}.sql", migration.version, migration.description.replace(' ', "_"))
            });
            assert_eq!(found, listed.collect::<Vec<_>>());
            let newest = migrator.iter().map(|migration| migration.version).max();
            assert_eq!(Some(migrations.newest()), newest);
        }
    }
}
