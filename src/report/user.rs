//! The user that an argument names.

use crate::{
    domain::user_name::AmbiguousUser,
    store::{self, Reader},
};

/// The reason why a text names no user.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// Several users have the name.
    #[error(transparent)]
    Ambiguous(#[from] AmbiguousUser),
    /// The ledger cannot be read.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// The id of the user with this id, else of the one with this mail, else of the one with this name. A text that is none of
/// them may be the id of a user whom the ledger does not know.
pub async fn user_id(ledger: &Reader, user: &str) -> Result<String, UserError> {
    let names = ledger.user_names().await?;
    if names.has(user) {
        return Ok(user.to_owned());
    }
    let found = names.id_of(user);
    // An id can be given in no other way, and anybody may take a name that is the id of another.
    if matches!(found, Ok(None)) || ledger.has_calls_of(user).await? {
        return Ok(user.to_owned());
    }
    Ok(found?.unwrap_or(user).to_owned())
}

/// The same for the ledger at `url`. A ledger of an older version has no names.
pub async fn user_id_in(url: &str, user: &str) -> Result<String, UserError> {
    match Reader::open(url).await {
        Ok(ledger) => user_id(&ledger, user).await,
        Err(store::Error::Older { .. }) => Ok(user.to_owned()),
        Err(error) => Err(error.into()),
    }
}
