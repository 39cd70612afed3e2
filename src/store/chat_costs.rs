//! Costs of the calls of a chat.

use super::{Error, Reader, query::query_as, row::from_row};
use crate::domain::exchange::{CallId, Cost};

/// A chat, and who calls from it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ChatOf {
    /// The chat.
    pub chat: String,
    /// The user in the books.
    pub user: Option<String>,
    /// The name of the client key.
    pub key: Option<String>,
}

struct CallCost {
    id: CallId,
    cost: Cost,
}

from_row!(CallCost { id, cost: columns });

impl Reader {
    /// The committed calls of a chat that cost anything. Those of other users or keys, whose costs are not to be told, cost
    /// at least nothing.
    pub async fn chat_costs(&self, of: &ChatOf) -> Result<Vec<(CallId, Cost)>, Error> {
        const SQL: &str = "select id, case when is_own then cost else 0 end as cost, \
             case when is_own then cost_is else 'at_least' end as cost_is \
             from (select id, cost, cost_is, user_id is not distinct from $2 and client_key is not distinct from $3 as is_own from call \
             where chat_id = $1 and (cost is null or cost <> 0 or cost_is <> 'exact')) as answered";
        let ChatOf { chat, user, key } = of;
        let query = query_as(SQL).bind(chat).bind(user.as_deref()).bind(key.as_deref());
        let calls: Vec<CallCost> = query.fetch_all(&self.pool()).await?;
        Ok(calls.into_iter().map(|CallCost { id, cost }| (id, cost)).collect())
    }
}
