//! The report of `reprise reload`.

use std::fmt;

use serde::Serialize;

/// The settings of a server after they were read again.
#[derive(Debug, Serialize)]
pub struct ReloadReport {
    /// Number of budgets.
    pub budgets: usize,
    /// Number of client keys with names.
    pub keys: usize,
    /// Number of aliases.
    pub aliases: usize,
    /// Names of settings that have changed and need a restart.
    pub needs_restart: Vec<String>,
}

impl fmt::Display for ReloadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { budgets, keys, aliases, needs_restart } = self;
        writeln!(
            f,
            "The settings are in force: budgets {budgets}, keys {keys}, aliases {aliases}."
        )?;
        if needs_restart.is_empty() {
            return Ok(());
        }
        writeln!(f, "Changed, but in force only after a restart: {}", needs_restart.join(", "))
    }
}
