//! The URL of a ledger in Postgres.

use std::{collections::BTreeMap, path::PathBuf, str::FromStr, time::Duration};

use sha2::{Digest, Sha256};
use sqlx::{ConnectOptions, postgres::PgConnectOptions};
use url::Url;

use super::Owner;
use crate::store::Error;

/// Limit of connections that read, unless the URL sets another.
const MAX_CONNECTIONS: u32 = 8;
/// Time to get a connection, unless the URL sets another.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time that a statement may take, unless the URL sets another.
const STATEMENT_TIMEOUT: Duration = Duration::from_mins(1);

/// Time that the server may need to come up, unless the URL sets another.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest name that Postgres keeps, in bytes.
const LONGEST_NAME: usize = 63;

/// A schema of Postgres that has a ledger, and how it is reached.
#[derive(Debug, Clone)]
pub(in crate::store) struct PgDatabase {
    pub(super) options: PgConnectOptions,
    pub(super) schema: String,
    pub(super) max_connections: u32,
    pub(super) connect_timeout: Duration,
    statement_timeout: Duration,
    /// Time that the server may need to come up.
    pub(in crate::store) start_timeout: Duration,
    /// The owner whose lock the connection that writes takes; `None`: this process is none.
    pub(super) owner: Option<Owner>,
    /// The folder of the journal; `None`: there is none.
    journal: Option<PathBuf>,
    name: String,
}

impl PgDatabase {
    /// Parses a URL: `postgres://user:password@host:port/database`, with the parameters of libpq that sqlx knows, and ours:
    /// `schema`, `max_connections`, `journal`, and in seconds `connect_timeout`, `statement_timeout`, `start_timeout`.
    pub(in crate::store) fn parse(url: &str) -> Result<Self, Error> {
        // The error of the parser may contain the password.
        let mut url = Url::parse(url).map_err(|_| Error::PostgresUrl)?;
        let (mut ours, mut theirs) = (BTreeMap::new(), Vec::new());
        for (name, value) in url.query_pairs() {
            match &*name {
                "schema" | "max_connections" | "connect_timeout" | "statement_timeout"
                | "start_timeout" | "journal" => {
                    ours.insert(name.into_owned(), value.into_owned());
                }
                _ => theirs.push((name.into_owned(), value.into_owned())),
            }
        }
        url.query_pairs_mut().clear().extend_pairs(theirs);
        let schema = ours.remove("schema").unwrap_or_else(|| "public".to_owned());
        if !is_name(&schema) {
            return Err(Error::Schema { schema });
        }
        let seconds = |name: &'static str, usual: Duration| match ours.get(name) {
            None => Ok(usual),
            Some(text) => {
                let seconds = text.parse::<f64>().ok().filter(|seconds| *seconds > 0.0);
                let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                time.ok_or(Error::UrlParameter { name })
            }
        };
        let connect_timeout = seconds("connect_timeout", CONNECT_TIMEOUT)?;
        let statement_timeout = seconds("statement_timeout", STATEMENT_TIMEOUT)?;
        let start_timeout = seconds("start_timeout", START_TIMEOUT)?;
        let max_connections = match ours.get("max_connections") {
            None => MAX_CONNECTIONS,
            Some(text) => text
                .parse::<u32>()
                .ok()
                .filter(|number| *number > 0)
                .ok_or(Error::UrlParameter { name: "max_connections" })?,
        };
        let options = PgConnectOptions::from_str(url.as_str())
            .map_err(|_| Error::PostgresUrl)?
            .application_name("reprise")
            .disable_statement_logging()
            .options([
                ("search_path", schema.clone()),
                ("statement_timeout", format!("{}ms", statement_timeout.as_millis())),
                ("idle_in_transaction_session_timeout", "300s".to_owned()),
                // It compiles queries that are estimated high and take a moment, for a second each.
                ("jit", "off".to_owned()),
            ]);
        let name = format!(
            "{}:{}/{}",
            options.get_host(),
            options.get_port(),
            options.get_database().unwrap_or_else(|| options.get_username())
        );
        let journal = ours.remove("journal").map(PathBuf::from);
        Ok(Self {
            options,
            schema,
            max_connections,
            connect_timeout,
            statement_timeout,
            start_timeout,
            owner: None,
            journal,
            name,
        })
    }

    /// Time that a transaction may take: after each that was not answered, twice as long, since its rows may be many.
    pub(in crate::store) fn patience(&self, unanswered: u32) -> Duration {
        let longest = self.statement_timeout.max(self.connect_timeout) * 2;
        (self.connect_timeout * 2).saturating_mul(1 << unanswered.min(16)).min(longest)
    }

    /// The first journal of this machine for the ledger; each process has one beside it.
    pub(in crate::store) fn journal(&self) -> Option<PathBuf> {
        let hash = Sha256::digest([&*self.name, &self.schema].join("\n"));
        let name = format!("postgres-{}.journal", hex::encode(&hash[..8]));
        self.journal.as_ref().map(|folder| folder.join(name))
    }

    /// The database without credentials, for people.
    pub(in crate::store) fn name(&self) -> String {
        format!("{} (schema {})", self.name, self.schema)
    }
}

/// Tells whether a name needs no quotes.
fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    name.len() <= LONGEST_NAME
        && name.bytes().next().is_some_and(is_letter)
        && name.bytes().all(|byte| is_letter(byte) || byte.is_ascii_digit())
        && !name.starts_with("pg_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_our_settings_beside_those_of_sqlx() {
        let url = "postgres://ann:secret@db.example:5433/books?sslmode=disable&schema=ledger_2&max_connections=3\
             &connect_timeout=1.5&journal=/var/lib/reprise";
        let database = PgDatabase::parse(url).unwrap();
        assert_eq!((&*database.schema, database.max_connections), ("ledger_2", 3));
        assert_eq!(database.connect_timeout, Duration::from_millis(1_500));
        assert_eq!(database.name(), "db.example:5433/books (schema ledger_2)");
        let journal = database.journal().unwrap();
        assert!(journal.starts_with("/var/lib/reprise"));
        let other = PgDatabase::parse(&url.replace("ledger_2", "ledger_3")).unwrap();
        assert_ne!(other.journal(), Some(journal));
        assert_eq!(PgDatabase::parse("postgres://h/d").unwrap().journal(), None);
    }

    #[test]
    fn a_wrong_url_is_refused_without_its_password() {
        let url = |parameters: &str| format!("postgres://ann:secret@h/d?{parameters}");
        for parameters in
            ["schema=a b", "schema=", "schema=pg_x", "connect_timeout=0", "max_connections=many"]
        {
            let error = PgDatabase::parse(&url(parameters)).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(PgDatabase::parse("postgres://ann:secret@h:port/d").is_err());
    }
}
