//! Claims: of equal requests to several processes, one is asked. A row in `claim` says that its owner asks; it goes with the
//! commit of the end. The others wait for that, and then look whether there is an answer for them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::debug;

use super::{
    Replicas,
    key::{ClaimKey, Claimed},
};
use crate::{
    domain::{
        cache::CacheKey,
        chain::Hash,
        exchange::{ExchangeId, OwnerId, UnixMillis},
    },
    store::{
        Ledger,
        batch::Op,
        connection::Pool,
        query::{QueryBuilder, query, query_scalar},
        record::Stored,
    },
};

/// Time that a claim may take. Without one, the request is asked.
const PATIENCE: Duration = Duration::from_secs(1);

/// Outcome of a claim.
#[derive(Debug)]
pub enum Claim {
    /// The request is to be asked. The claim ends with the sealing of the answer, or when the guard is dropped.
    Granted(ClaimGuard),
    /// Another process has asked it, and this is the answer.
    Answered(Box<Stored>),
}

/// Holds a claim until the exchange is sealed.
#[derive(Debug)]
pub struct ClaimGuard {
    /// `None`: nothing is claimed where the ledger is not shared.
    replicas: Option<Replicas>,
    exchange: ExchangeId,
}

impl Drop for ClaimGuard {
    fn drop(&mut self) {
        if let Some(replicas) = &self.replicas
            && let Some(claimed) = replicas.claims().take(self.exchange)
        {
            replicas.write(Op::EndClaim(claimed));
        }
    }
}

/// The claims of this process, and those of others that it waits for.
#[derive(Debug, Default)]
pub(in crate::store) struct Claims {
    held: Mutex<HashMap<ExchangeId, ClaimKey>>,
    waits: Mutex<HashMap<ClaimKey, Vec<Arc<Notify>>>>,
}

/// A wait for the end of a claim.
struct Wait<'a> {
    claims: &'a Claims,
    key: ClaimKey,
    ended: Arc<Notify>,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut waits = self.claims.waits.lock();
        if let Some(of_key) = waits.get_mut(&self.key) {
            of_key.retain(|ended| !Arc::ptr_eq(ended, &self.ended));
            if of_key.is_empty() {
                waits.remove(&self.key);
            }
        }
    }
}

/// Outcome of one try to claim.
enum Tried {
    Granted,
    /// Another exchange has the claim.
    HeldBy(ExchangeId),
    /// The claim of another exchange has just ended.
    Ended,
}

impl Claims {
    /// Takes a claim off the list of this process.
    pub(in crate::store) fn take(&self, exchange: ExchangeId) -> Option<Claimed> {
        let key = self.held.lock().remove(&exchange)?;
        Some(Claimed { key, exchange })
    }

    /// Wakes those who wait for a claim, because it has ended.
    pub(super) fn ended(&self, key: &ClaimKey) {
        if let Some(waits) = self.waits.lock().get(key) {
            for ended in waits {
                ended.notify_one();
            }
        }
    }

    /// Wakes all who wait.
    pub(super) fn all_ended(&self) {
        let waits = self.waits.lock();
        waits.values().flatten().for_each(|ended| ended.notify_one());
    }

    /// The claims that somebody waits for.
    pub(super) fn awaited(&self) -> Vec<ClaimKey> {
        self.waits.lock().keys().copied().collect()
    }

    /// The claims of those exchanges that are not on the list any more, although they have a row.
    pub(super) fn forgotten(&self, rows: Vec<ExchangeId>) -> Vec<ExchangeId> {
        let held = self.held.lock();
        rows.into_iter().filter(|exchange| !held.contains_key(exchange)).collect()
    }

    fn wait(&self, key: ClaimKey) -> Wait<'_> {
        let ended = Arc::<Notify>::default();
        self.waits.lock().entry(key).or_default().push(Arc::clone(&ended));
        Wait { claims: self, key, ended }
    }
}

impl Ledger {
    /// Tells whether other processes may write to the ledger.
    pub const fn is_shared(&self) -> bool {
        self.replicas.is_some()
    }

    /// Claims a request for `exchange` that is to ask it, and waits for another exchange that has claimed it before. If that
    /// ends without an answer to be served again, the claim is tried again. With `repeats`, an answer to this cache key is
    /// taken that has come since the call looked. Where the ledger is not shared, or is away, all is granted at once.
    pub async fn claim(
        &self,
        key: ClaimKey,
        exchange: ExchangeId,
        repeats: Option<(CacheKey, UnixMillis)>,
    ) -> Claim {
        let guard = ClaimGuard { replicas: self.replicas.clone(), exchange };
        let Some(replicas) = &self.replicas else { return Claim::Granted(guard) };
        let claims = replicas.claims();
        // Before the row: a row of this process that is not on the list is deleted.
        claims.held.lock().insert(exchange, key);
        let answered = |stored| {
            claims.take(exchange);
            Claim::Answered(Box::new(stored))
        };
        let mut waited = false;
        loop {
            // From before the try, so that no end is missed.
            let wait = claims.wait(key);
            let tried = try_claim(replicas.pool(), key, exchange, self.owner, waited);
            match tokio::time::timeout(PATIENCE, tried).await {
                Ok(Ok(Tried::Granted)) => {
                    if let Some((key, now)) = repeats
                        && let Ok(Some(stored)) = self.reader.find(&key, now).await
                    {
                        drop(guard);
                        return Claim::Answered(Box::new(stored));
                    }
                    return Claim::Granted(guard);
                }
                Ok(Ok(Tried::HeldBy(other))) => {
                    wait.ended.notified().await;
                    if let Ok(Some(stored)) = self.reader.servable(other).await {
                        return answered(stored);
                    }
                }
                Ok(Ok(Tried::Ended)) => {}
                Ok(Err(error)) => {
                    debug!(%error, "a request cannot be claimed; it is asked");
                    return Claim::Granted(guard);
                }
                Err(_) => return Claim::Granted(guard),
            }
            waited = true;
        }
    }
}

/// Tries to claim a request. After a wait, the claim of an owner who has died gives way.
async fn try_claim(
    pool: &Pool,
    key: ClaimKey,
    exchange: ExchangeId,
    owner: OwnerId,
    waited: bool,
) -> Result<Tried, sqlx::Error> {
    const CLAIM: &str =
        "insert into claim (key, exchange, owner) values ($1, $2, $3) on conflict do nothing";
    const DEAD: &str = "delete from claim where key = $1 and not owner_is_alive(owner)";
    const HOLDER: &str = "select exchange from claim where key = $1";
    let mut conn = pool.acquire().await?;
    if waited {
        query(DEAD).bind(*key.hash()).execute(&mut conn).await?;
    }
    let claim = query(CLAIM).bind(*key.hash()).bind(exchange).bind(sqlx::types::Text(owner));
    if claim.execute(&mut conn).await? > 0 {
        return Ok(Tried::Granted);
    }
    let holder = query_scalar(HOLDER).bind(*key.hash()).fetch_optional(&mut conn).await?;
    Ok(match holder {
        Some(holder) if holder == exchange => Tried::Granted,
        Some(holder) => Tried::HeldBy(holder),
        None => Tried::Ended,
    })
}

/// Those of some claims whose owners live.
pub(super) async fn living(pool: &Pool, keys: &[ClaimKey]) -> Result<Vec<Hash>, sqlx::Error> {
    let mut living = QueryBuilder::new("select key from claim where key in (");
    living.push_list(keys.iter().map(|key| *key.hash())).push(") and owner_is_alive(owner)");
    living.build_query_scalar().fetch_all(pool).await
}
