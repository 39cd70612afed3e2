//! Calls as those who watch see them: what is known of a call while it runs and when it has ended, before and after its row is
//! written.

use super::{CallFilter, CallRecord, Error, Reader, row::from_row};
use crate::domain::exchange::{AnsweredBy, CallId, Cost, Micros, NanoDollars, Outcome, UnixMillis};

/// A call that runs or has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallStatus {
    /// The id.
    pub id: CallId,
    /// Time of arrival.
    pub at: UnixMillis,
    /// The user, as the client states it.
    pub user: Option<String>,
    /// The chat, as the client states it.
    pub chat: Option<String>,
    /// The client's word for a background call.
    pub task: Option<String>,
    /// The client program.
    pub client: Option<String>,
    /// The name of the client key.
    pub client_key: Option<String>,
    /// The model that answered, else the requested one.
    pub model: String,
    /// Source of the answer.
    pub answered_by: AnsweredBy,
    /// Outcome of the exchange that answers.
    pub outcome: Outcome,
    /// Anthropic's kind of error, or ours.
    pub error_kind: Option<String>,
    /// Cost of the call.
    pub cost: Cost,
    /// Cost of the answer, where the call did not pay it; `None`: unpriced.
    pub saved: Option<NanoDollars>,
    /// Time until the last bytes of the answer.
    pub total_us: Option<Micros>,
}

from_row!(CallStatus {
    id, at, user = "user_id", chat = "chat_id", task, client, client_key, model, answered_by,
    outcome, error_kind, cost: columns, saved, total_us,
});

impl CallStatus {
    /// The call of a record, which may not be written yet.
    pub fn of(call: &CallRecord) -> Self {
        let CallRecord { id, at, answered_by, outcome, cost, saved, total, .. } = *call;
        Self {
            id,
            at,
            user: call.user.clone(),
            chat: call.chat.clone(),
            task: call.task.clone(),
            client: call.client.clone(),
            client_key: call.client_key.clone(),
            model: call.model.clone(),
            answered_by,
            outcome,
            error_kind: call.error_kind.clone(),
            cost,
            saved: saved.amount(),
            total_us: total,
        }
    }
}

impl Reader {
    /// The newest calls of `filter`, the newest first, at most `most`.
    pub async fn newest_statuses(
        &self,
        filter: &CallFilter,
        most: u32,
    ) -> Result<Vec<CallStatus>, Error> {
        const STATUSES: &str = "select call.id, call.at, call.user_id, call.chat_id, call.task, call.client, \
             call.client_key, call.model, call.answered_by, call.outcome, call.error_kind, call.cost, call.cost_is, \
             case call.saved_is when 'exact' then call.saved end as saved, call.total_us from call where ";
        self.newest(STATUSES, filter, None, most).await
    }
}
