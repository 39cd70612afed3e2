//! Errors of settings.

use std::{net::IpAddr, path::PathBuf};

use super::parsers::Unclear;
use crate::domain::alias;

/// Reasons why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value that is not accepted.
    #[error("{source_name}: {value:?} is not {expected}")]
    Invalid {
        /// Flag, variable or field of the file that it came from.
        source_name: String,
        /// The value.
        value: String,
        /// The values that are accepted.
        expected: String,
    },
    /// A number that deletes or expires something, and whose unit is not clear, under the name of its source.
    #[error("{0}: {1}")]
    Unclear(String, Unclear),
    /// The file cannot be read.
    #[error("cannot read the settings file {}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// The file is not TOML. The line is named but not shown: it may hold a key.
    #[error("the settings file {} is not TOML: line {line}: {why}", path.display())]
    Toml {
        /// Path of the file.
        path: PathBuf,
        /// Line of the error.
        line: usize,
        /// Reason.
        why: String,
    },
    /// A list of the file that cannot be read.
    #[error("the {list} in the settings file {}: line {line}: {why}", path.display())]
    List {
        /// Content of the list.
        list: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// Line of the error.
        line: usize,
        /// Reason.
        why: String,
    },
    /// Aliases that are ambiguous or invalid.
    #[error("the aliases in the settings file {}", path.display())]
    Aliases {
        /// Path of the file.
        path: PathBuf,
        /// Cause.
        source: alias::Error,
    },
    /// A rule for scrubbing that cannot be read. The line is named but not shown.
    #[error("[[scrub]] in the settings file {}: line {line}: {why}", path.display())]
    Scrub {
        /// Path of the file.
        path: PathBuf,
        /// Line of the error.
        line: usize,
        /// Reason.
        why: String,
    },
    /// A secret that is not accepted, and not shown.
    #[error("{source_name} is not {expected}")]
    Secret {
        /// Flag, variable or field of the file that it came from.
        source_name: String,
        /// The values that are accepted.
        expected: String,
    },
    /// An address of upstream that has more in it than an address.
    #[error(
        "{source_name}: give the bare address, such as https://api.anthropic.com: anything else in it would be shown"
    )]
    Address {
        /// Flag, variable or field of the file that it came from.
        source_name: String,
    },
    /// A name in the file that is no setting.
    #[error(
        "{}: no such setting: {name}{} (they are named as the flags of `reprise serve`, with underscores for hyphens)",
        path.display(), nearest.as_ref().map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default()
    )]
    Unknown {
        /// Path of the file.
        path: PathBuf,
        /// The name.
        name: String,
        /// The setting that is probably meant.
        nearest: Option<String>,
    },
    /// An address that other machines can reach, without a key.
    #[error(
        "{host} can be reached from other machines: set a key that clients must send (--api-key or REPRISE_API_KEY), or \
         give --no-auth if anyone may spend your money"
    )]
    Unprotected {
        /// Address to listen on.
        host: IpAddr,
    },
    /// The default address of the ledger is not known.
    #[error(
        "neither HOME nor XDG_DATA_HOME is set: give the address of the ledger as --database-url or REPRISE_DATABASE_URL"
    )]
    Homeless,
}
