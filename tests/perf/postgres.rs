//! The Postgres that `tests/postgres/server` has started.

use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::process;

#[derive(Debug)]
pub(crate) struct Postgres {
    address: String,
    pid: u32,
}

impl Postgres {
    /// The one whose address and process stand in the environment.
    pub(crate) fn of_environment() -> anyhow::Result<Self> {
        let value = |name| std::env::var(name).with_context(|| format!("no {name}"));
        let address = value("REPRISE_TEST_POSTGRES")?;
        Ok(Self { address, pid: value("REPRISE_TEST_POSTGRES_PID")?.parse()? })
    }

    /// The URL of a ledger in a schema.
    pub(crate) fn ledger(&self, schema: &str) -> String {
        format!("{}?schema={schema}", self.address)
    }

    /// Time of the processor that it has used, in milliseconds.
    pub(crate) fn cpu_ms(&self) -> f64 {
        process::tree_cpu_ms(self.pid)
    }

    /// Runs statements in a schema; returns the values that come.
    pub(crate) fn run(&self, schema: &str, sql: &str) -> anyhow::Result<String> {
        let output = Command::new("psql")
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
            .args(["--set", "ON_ERROR_STOP=1", "--dbname", &self.address, "--command", sql])
            .env("PGOPTIONS", format!("-c search_path={schema}"))
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }
}
