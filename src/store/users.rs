//! Names of users: written when a call states one that this process has not written yet, read by reports.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::{
    Error, Reader,
    connection::Connection,
    query::{QueryBuilder, query_as, query_scalar},
    row::from_row,
};
use crate::domain::{
    exchange::UnixMillis,
    user_name::{UserName, UserNames},
};

/// Maximum number of names that are remembered as written. Of more users, some are written again and again.
const MOST_KNOWN: usize = 10_000;

/// The names that this process has written, by user.
#[derive(Debug, Default)]
pub(super) struct KnownNames(Mutex<HashMap<String, UserName>>);

impl KnownNames {
    /// Notes the name of a user; returns what has to be queued if it is not written yet.
    pub(super) fn insert(&self, user: &str, name: &UserName, at: UnixMillis) -> Option<NamedUser> {
        let mut known = self.0.lock();
        if known.get(user) == Some(name) {
            return None;
        }
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(user.to_owned(), name.clone());
        Some(NamedUser { user: user.to_owned(), name: name.clone(), at })
    }

    /// Forgets all names, because they are not in the file any more.
    pub(super) fn forget(&self) {
        self.0.lock().clear();
    }
}

/// The name of a user, to be written.
#[derive(Debug)]
pub(super) struct NamedUser {
    pub(super) user: String,
    pub(super) name: UserName,
    pub(super) at: UnixMillis,
}

struct NameRow {
    id: String,
    name: Option<String>,
    email: Option<String>,
}

from_row!(NameRow { id, name, email });

impl Reader {
    /// The names of all users that have one.
    pub async fn user_names(&self) -> Result<UserNames, Error> {
        let rows: Vec<NameRow> =
            query_as("select id, name, email from user_name").fetch_all(&self.pool()).await?;
        Ok(rows
            .into_iter()
            .map(|NameRow { id, name, email }| (id, UserName { name, email }))
            .collect())
    }

    /// Tells whether a call of the user with this id is in the ledger.
    pub async fn has_calls_of(&self, user: &str) -> Result<bool, Error> {
        const SQL: &str = "select exists (select 1 from call where user_id = $1)";
        Ok(query_scalar(SQL).bind(user).fetch_one(&self.pool()).await?)
    }
}

/// The users with a name of whom no call is left, where the calls in `gone_call` are deleted.
pub(super) async fn without_calls(conn: &mut Connection<'_>) -> Result<Vec<String>, Error> {
    const SQL: &str = "select id from user_name where id not in (select user_id from call \
         where user_id is not null and seq not in (select at from gone_call))";
    Ok(query_scalar(SQL).fetch_all(conn).await?)
}

/// Deletes the names of users; returns their number.
pub(super) async fn delete_names(
    conn: &mut Connection<'_>,
    users: &[String],
) -> Result<u64, Error> {
    let mut query = QueryBuilder::new("delete from user_name where id in (");
    let done =
        query.push_list(users).push(")").build().execute(conn).await.map_err(Error::Write)?;
    Ok(done)
}
