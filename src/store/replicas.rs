//! Processes that share a ledger in Postgres, and what this one must know of the others.
//!
//! - They tell each other what they commit (`news`): new answers, claims that have ended, answers that may be gone. While a
//!   process hears nothing, it serves no answer from memory, and looks up every key.
//! - Of equal requests to several of them, one is asked (`claims`).
//! - They bury each other: what a dead one had running is sealed as lost, and its claims are free ([`super::recovery`]).

mod claims;
mod key;
mod news;
pub(super) mod room;

use std::{
    collections::HashSet,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, mpsc},
    time::MissedTickBehavior,
};
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use self::claims::Claims;
pub use self::{
    claims::{Claim, ClaimGuard},
    key::ClaimKey,
};
pub(super) use self::{
    key::Claimed,
    news::{CLEARED, Word, notifications},
};
use super::{
    Error, Reader,
    batch::Op,
    connection::Pool,
    database::Database,
    filter::KeyFilter,
    hot::Hot,
    postgres::{Listener, PgDatabase},
    query::{query, query_scalar},
    queue::{Queued, Shared},
    recovery,
};
use crate::domain::exchange::{ExchangeId, OwnerId, UnixMillis};

/// First and longest pause between two tries to listen.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// Interval between two looks at the claims that somebody waits for.
const LOOK: Duration = Duration::from_secs(1);
/// Number of looks between two searches for dead owners. One is buried when it is found twice.
const LOOKS: u32 = 5;
/// Failed looks after which those who wait for a claim go on without it.
const FAILURES: u32 = 3;
/// Time that a burial waits for a lock.
const PATIENCE: Duration = Duration::from_secs(5);

/// The other processes that write to a ledger. Cheap to clone.
#[derive(Clone)]
pub(super) struct Replicas(Arc<State>);

struct State {
    owner: OwnerId,
    file: Database,
    /// For claims: reports must not take their connections.
    pool: Pool,
    claims: Claims,
    hot: Arc<Mutex<Hot>>,
    keys: KeyFilter,
    reader: Reader,
    shared: Arc<Shared>,
    queue: mpsc::WeakUnboundedSender<Queued>,
    /// Told when a prune may have ended.
    pruned: Notify,
    tasks: TaskTracker,
}

impl fmt::Debug for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replicas").field("owner", &self.0.owner).finish_non_exhaustive()
    }
}

/// The parts of a ledger that other processes matter to.
pub(super) struct Parts {
    pub(super) hot: Arc<Mutex<Hot>>,
    pub(super) keys: KeyFilter,
    pub(super) reader: Reader,
    pub(super) shared: Arc<Shared>,
    pub(super) queue: mpsc::WeakUnboundedSender<Queued>,
}

impl Replicas {
    /// Begins to hear of the other processes, on `tasks` until the writer has ended; `None`: the ledger is not shared.
    pub(super) async fn start(
        file: &Database,
        owner: OwnerId,
        parts: Parts,
        tasks: &TaskTracker,
    ) -> Option<Self> {
        let Database::Postgres(database) = file else { return None };
        let Parts { hot, keys, reader, shared, queue } = parts;
        let done = shared.done.clone();
        let replicas = Self(Arc::new(State {
            owner,
            file: file.clone(),
            pool: Pool::Postgres(database.pool_for_claims()),
            claims: Claims::default(),
            hot,
            keys,
            reader,
            shared,
            queue,
            pruned: Notify::new(),
            tasks: tasks.clone(),
        }));
        replicas.shut();
        let listener = replicas.listen(database).await;
        let tasks = &replicas.0.tasks;
        let (hears, looks) = (replicas.clone(), replicas.clone());
        let hear = hears.hear(database.clone(), listener);
        tasks.spawn(done.clone().run_until_cancelled_owned(hear));
        tasks.spawn(done.run_until_cancelled_owned(looks.look()));
        Some(replicas)
    }

    /// The claims of this process.
    pub(super) fn claims(&self) -> &Claims {
        &self.0.claims
    }

    fn pool(&self) -> &Pool {
        &self.0.pool
    }

    /// Hands an operation to the writer, if it has not ended.
    fn write(&self, op: Op) {
        if let Some(queue) = self.0.queue.upgrade() {
            self.0.shared.send(&queue, op, None);
        }
    }

    fn shut(&self) {
        self.0.hot.lock().shut();
        self.0.keys.shut();
    }

    /// Listens from now on.
    async fn listen(&self, database: &PgDatabase) -> Result<Listener, sqlx::Error> {
        let listener = database.listen().await?;
        self.0.hot.lock().open();
        self.0.keys.open();
        // One may have begun unheard.
        self.make_room();
        Ok(listener)
    }

    /// Hears news. Never ends.
    async fn hear(self, database: PgDatabase, mut listener: Result<Listener, sqlx::Error>) {
        let mut pause = PAUSE.0;
        loop {
            let error = match listener {
                Ok(mut listener) => {
                    pause = PAUSE.0;
                    loop {
                        match listener.next().await {
                            Ok(Some(news)) => self.take(&news),
                            Ok(None) => {}
                            Err(error) => break error,
                        }
                    }
                }
                Err(error) => error,
            };
            self.shut();
            if pause == PAUSE.0 {
                warn!(%error, "the ledger's other processes are not heard; answers come from the database only");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
            listener = self.listen(&database).await;
            if listener.is_ok() {
                info!("the ledger's other processes are heard again");
            }
        }
    }

    fn take(&self, notification: &str) {
        let State { owner, claims, hot, keys, reader, pruned, tasks, .. } = &*self.0;
        for word in news::read(notification, *owner) {
            match word {
                Word::Answer(key) => {
                    hot.lock().withdraw(key);
                    if keys.insert(&key) {
                        tasks.spawn(keys.clone().read(reader.pool()));
                    }
                }
                Word::Ended(claim) => claims.ended(&claim),
                Word::Prune => {
                    self.make_room();
                    pruned.notify_waiters();
                }
                Word::All => hot.lock().forget(),
            }
        }
    }

    /// Looks after claims that others hold, and after owners that have died. Never ends.
    async fn look(self) {
        let mut interval = tokio::time::interval(LOOK);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut failures, mut missing) = (0, HashSet::new());
        for look in 1_u32.. {
            interval.tick().await;
            match self.look_at_claims().await {
                Ok(()) => failures = 0,
                Err(error) => {
                    debug!(%error, "the claims of the ledger's other processes cannot be read");
                    failures += 1;
                }
            }
            if failures >= FAILURES {
                self.claims().all_ended();
            }
            if look.is_multiple_of(LOOKS)
                && let Err(error) = self.look_at_owners(&mut missing).await
            {
                let error = &error as &dyn std::error::Error;
                debug!(error, "dead processes cannot be looked for");
            }
        }
    }

    /// Wakes those who wait for claims that have ended, or whose owners have died.
    async fn look_at_claims(&self) -> Result<(), sqlx::Error> {
        let awaited = self.claims().awaited();
        if awaited.is_empty() {
            return Ok(());
        }
        let living = claims::living(self.pool(), &awaited).await?;
        let is_over = |claim: &&ClaimKey| !living.contains(claim.hash());
        awaited.iter().filter(is_over).for_each(|claim| self.claims().ended(claim));
        Ok(())
    }

    /// Deletes claims of this process that it has forgotten, and buries the owners that were `missing` before and still are.
    async fn look_at_owners(&self, missing: &mut HashSet<String>) -> Result<(), Error> {
        const ALIVE: &str = "select owner_is_alive($1)";
        const OWN: &str = "select exchange from claim where owner = $1";
        const FORGET: &str = "delete from claim where exchange = $1";
        let State { owner, file, pool, claims, .. } = &*self.0;
        let is_alive: bool = query_scalar(ALIVE).bind(owner.to_string()).fetch_one(pool).await?;
        if !is_alive {
            // The connection that writes is gone: the next one takes the lock again.
            self.write(Op::Mark);
        }
        let owned: Vec<ExchangeId> =
            query_scalar(OWN).bind(owner.to_string()).fetch_all(pool).await?;
        for exchange in claims.forgotten(owned) {
            query(FORGET).bind(exchange).execute(pool).await?;
        }
        let mut conn = pool.acquire().await?;
        let found: HashSet<String> = recovery::dead(&mut conn).await?.into_iter().collect();
        drop(conn);
        let dead: Vec<String> = found.intersection(missing).cloned().collect();
        *missing = found;
        if !dead.is_empty() {
            // Its locks go with it.
            let mut conn = file.beside(PATIENCE).await?;
            recovery::bury(&mut conn, file, dead, *owner, now()).await?;
            conn.close().await?;
        }
        Ok(())
    }
}

/// The time, for the end of exchanges that nobody saw.
fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
