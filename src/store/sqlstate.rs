//! What becomes of rows that Postgres did not take, by the code of its error (SQLSTATE).

/// The answer to an error of a transaction that writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// A row is at fault, and will be every time: without its bodies it may be taken.
    Refuse,
    /// The rows are too many for the time that a statement may take.
    Split,
    /// The database is at fault: the same rows are tried again, on another connection.
    Retry,
}

/// Remedies by code, or by the class that a code begins with. The longest entry decides; what has none is tried again, since
/// a row that waits can still be written, and one that is refused cannot.
const REMEDIES: [(&str, Remedy); 17] = [
    // Rows at fault.
    ("22", Remedy::Refuse), // wrong data
    ("23", Remedy::Refuse), // a broken constraint
    ("44", Remedy::Refuse), // a view's check
    ("54", Remedy::Refuse), // more than a row or a statement can hold
    // A statement was cancelled, usually by `statement_timeout`.
    ("57014", Remedy::Split),
    // The server or the way to it.
    ("08", Remedy::Retry),    // the connection
    ("25006", Remedy::Retry), // read-only: after a failover, the old server
    ("28", Remedy::Retry),    // the password is being changed
    ("3D", Remedy::Retry),    // the database is being restored
    ("40", Remedy::Retry),    // a deadlock, or an abort
    ("42", Remedy::Retry),    // the tables are being restored or migrated, or a right is missing
    ("53", Remedy::Retry),    // the disk or the memory is full, too many connections
    ("54001", Remedy::Retry), // the server's stack is too small
    ("55", Remedy::Retry),    // a lock was not free in time
    ("57", Remedy::Retry),    // the server shuts down, starts or has crashed
    ("58", Remedy::Retry),    // the server's disk failed
    ("XX", Remedy::Retry),    // the server's files are damaged
];

/// The remedy for an error with this code.
pub(super) fn remedy(code: &str) -> Remedy {
    let known = REMEDIES.iter().filter(|(prefix, _)| code.starts_with(prefix));
    known.max_by_key(|(prefix, _)| prefix.len()).map_or(Remedy::Retry, |(_, remedy)| *remedy)
}

/// Tells whether a server with this error does not take connections now.
pub(super) fn is_away(code: &str) -> bool {
    ["08", "53300", "57P"].iter().any(|prefix| code.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_row_that_can_never_be_taken_is_refused() {
        for (code, expected) in [
            ("22021", Remedy::Refuse), // a character that the encoding does not have
            ("22P05", Remedy::Refuse),
            ("23502", Remedy::Refuse),
            ("23503", Remedy::Refuse),
            ("23505", Remedy::Refuse),
            ("23514", Remedy::Refuse),
            ("54000", Remedy::Refuse),
            ("57014", Remedy::Split),
            ("08006", Remedy::Retry),
            ("25006", Remedy::Retry),
            ("28P01", Remedy::Retry),
            ("3D000", Remedy::Retry),
            ("40001", Remedy::Retry),
            ("40P01", Remedy::Retry),
            ("42P01", Remedy::Retry),
            ("42501", Remedy::Retry),
            ("53100", Remedy::Retry),
            ("53200", Remedy::Retry),
            ("53300", Remedy::Retry),
            ("54001", Remedy::Retry),
            ("55P03", Remedy::Retry),
            ("57P01", Remedy::Retry),
            ("57P02", Remedy::Retry),
            ("57P03", Remedy::Retry),
            ("58030", Remedy::Retry),
            ("XX001", Remedy::Retry),
            ("P0001", Remedy::Retry),
            ("", Remedy::Retry),
        ] {
            assert_eq!(remedy(code), expected, "{code}");
        }
    }

    #[test]
    fn a_server_that_starts_is_away_and_one_that_refuses_a_password_is_not() {
        for (code, expected) in
            [("57P03", true), ("57P01", true), ("53300", true), ("08006", true), ("28P01", false)]
        {
            assert_eq!(is_away(code), expected, "{code}");
        }
    }
}
