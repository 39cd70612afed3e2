//! Conditions on calls that follow from what reports count: kinds of errors, fields that a client did not state.

use super::query::QueryBuilder;

/// The kind of the error of a call as reports name it; null: the call did not fail.
const ERROR: &str = "case when call.status >= 400 or call.outcome in ('failed', 'cut', 'lost', 'refused') \
     then coalesce(call.error_kind, case call.outcome when 'complete' then 'http ' || call.status else call.outcome end) end";

/// A condition that a call meets or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Reports count the call: Reprise did not refuse it, and it did not come with an imported fixture.
    Counted,
    /// It went upstream, so that its tokens were paid for.
    Asked,
    /// It failed, with any error.
    Failed,
    /// It failed with an error of this kind.
    FailedWith(String),
    /// It went upstream, and read or wrote the prompt cache.
    PromptCache,
    /// It may have saved something: as a repeat, by joining another call, or by the prompt cache.
    Saving,
    /// The id of its model begins so.
    ModelFrom(String),
    /// It came with the client key of this name.
    Key(String),
    /// Its client did not state the field.
    Without(Field),
}

/// A field that a client may leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The user.
    User,
    /// The chat.
    Chat,
    /// The background task: it is the call of a person or of another program.
    Task,
    /// The name of the client key.
    Key,
}

impl Condition {
    /// Adds the condition to the end of a query for calls that has one.
    pub(super) fn push(&self, query: &mut QueryBuilder<'_>) {
        const ASKED: &str = " and call.answered_by in ('miss', 'refresh', 'bypass')";
        const CACHED: &str = "call.cache_write_5m + call.cache_write_1h + call.cache_read > 0";
        match self {
            Self::Counted => query.push(
                " and call.answered_by <> 'refused' and (call.answered_by <> 'replay' or call.exchange is null)",
            ),
            Self::Asked => query.push(ASKED),
            Self::Failed => query.push(" and ").push(ERROR).push(" is not null"),
            Self::FailedWith(kind) => {
                query.push(" and ").push(ERROR).push(" = ").push_bind(kind.clone())
            }
            Self::PromptCache => query.push(ASKED).push(" and ").push(CACHED),
            Self::Saving => query
                .push(" and (call.answered_by in ('hit', 'collapsed') or call.answered_by in ('miss', 'refresh', 'bypass') and ")
                .push(CACHED)
                .push(")"),
            Self::ModelFrom(beginning) => {
                query.push(" and substr(call.model, 1, length(").push_bind(beginning.clone());
                query.push(")) = ").push_bind(beginning.clone())
            }
            Self::Key(name) => query.push(" and call.client_key = ").push_bind(name.clone()),
            Self::Without(field) => query.push(match field {
                Field::User => " and call.user_id is null",
                Field::Chat => " and call.chat_id is null",
                Field::Task => " and call.task is null",
                Field::Key => " and call.client_key is null",
            }),
        };
    }
}
