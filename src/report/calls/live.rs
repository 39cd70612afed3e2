//! Calls as the page shows them while they happen: those that run and those that have just ended. They have fewer fields
//! than in an export, because a call may have no row yet.

use serde::Serialize;

use super::{Money, millis, rfc3339};
use crate::{
    domain::{
        exchange::{AnsweredBy, CallId, Outcome},
        user_name::{UserName, UserNames},
    },
    store::CallStatus,
};

/// A call that runs or has ended.
#[derive(Debug, Serialize)]
pub struct LiveCall {
    id: CallId,
    at: String,
    user: Option<String>,
    user_name: Option<String>,
    user_email: Option<String>,
    chat: Option<String>,
    task: Option<String>,
    client: Option<String>,
    model: String,
    answered_by: AnsweredBy,
    outcome: Outcome,
    error: Option<String>,
    cost: Money,
    saved: Money,
    total_ms: Option<f64>,
}

impl LiveCall {
    /// The call for people; `names` has the names of users.
    pub fn of(call: CallStatus, names: &UserNames) -> Self {
        let UserName { name, email } = names.get(call.user.as_deref());
        Self {
            id: call.id,
            at: rfc3339(call.at),
            user: call.user,
            user_name: name,
            user_email: email,
            chat: call.chat,
            task: call.task,
            client: call.client,
            model: call.model,
            answered_by: call.answered_by,
            outcome: call.outcome,
            error: call.error_kind,
            cost: call.cost.into(),
            saved: call.saved.into(),
            total_ms: call.total_us.map(millis),
        }
    }
}
