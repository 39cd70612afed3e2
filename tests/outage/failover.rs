//! A primary that crashes under load, and a standby that takes its place at the same address.

use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering::Relaxed},
};

use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::*;

/// An address that leads to one server or another, as that of a cluster does.
struct Forwarder {
    port: u16,
    target: Arc<AtomicU16>,
    stop: CancellationToken,
}

impl Forwarder {
    async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let own = listener.local_addr().expect("an address").port();
        let (target, stop) = (Arc::new(AtomicU16::new(port)), CancellationToken::new());
        let (tasks, to) = (TaskTracker::new(), Arc::clone(&target));
        let forward = async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let port = to.load(Relaxed);
                tasks.spawn(async move {
                    // A server that is away refuses, and its clients are refused then.
                    let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
                    tokio::io::copy_bidirectional(&mut client, &mut server).await
                });
            }
        };
        TaskTracker::new().spawn(stop.clone().run_until_cancelled_owned(forward));
        Self { port: own, target, stop }
    }

    fn lead_to(&self, port: u16) {
        self.target.store(port, Relaxed);
    }

    fn address(&self) -> String {
        format!("postgres://reprise@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[tokio::test]
async fn a_failover_to_a_standby_loses_no_answer() {
    if !backend::is_postgres() {
        return;
    }
    let primary = Postgres::start().await;
    let standby = primary.standby().await;
    let mut look = Outside::at(&primary.address(), "public").await;
    // Without it, a standby may lack what the primary has committed.
    look.run("alter system set synchronous_standby_names = '*'").await;
    look.run("select pg_reload_conf()").await;
    until("the standby to be synchronous", async || {
        const SYNC: &str = "select count(*) from pg_stat_replication where sync_state = 'sync'";
        look.count(SYNC).await == 1
    })
    .await;
    look.close().await;

    let forwarder = Forwarder::to(primary.port()).await;
    let mut world = World::at(&forwarder.address(), primary).await;
    let binary = Binary::start(&world.setup).await;
    let client = binary.client();
    let (opened, gate, late) = (Gate::new(), Gate::new(), Gate::new());
    opened.open();
    let before = world.begin(&binary, "before", 20, &opened).await;
    let mut finished = join_all(before.into_iter().map(Stream::finish)).await;
    let streams = world.begin(&binary, "commits", 40, &gate).await;
    let through = world.begin(&binary, "through", 20, &late).await;
    // Some of their commits are on their way when the primary ends.
    gate.open();
    let ends = join_all(streams.into_iter().map(Stream::finish));
    let (ended, ()) =
        tokio::join!(soon("all answers", ends), world.postgres.stop(Shutdown::Immediate));
    finished.extend(ended);
    is_unready(&client).await;
    let meanwhile = world.begin(&binary, "meanwhile", 20, &opened).await;
    finished.extend(join_all(meanwhile.into_iter().map(Stream::finish)).await);

    // A standby takes connections, but nothing can be written there.
    forwarder.lead_to(standby.port());
    let only_read = world.begin(&binary, "only read", 20, &opened).await;
    finished.extend(join_all(only_read.into_iter().map(Stream::finish)).await);
    is_unready(&client).await;
    let mut look = Outside::at(&standby.address(), "public").await;
    look.rows::<(bool,)>("select pg_promote()").await;
    look.close().await;
    world.postgres = standby;
    is_ready(&client).await;
    late.open();
    finished.extend(join_all(through.into_iter().map(Stream::finish)).await);
    is_ready(&client).await;
    has_all_and_lost(&world, &finished, 0).await;
    let (_, body) = ready(&client).await;
    assert_eq!(body["ledger"]["lost"], 0);

    // What was answered on either side of it answers repeats.
    for marker in ["marker before-3.", "marker commits-7.", "marker through-9."] {
        let repeat = client.clone().header("cache-control", "only-if-cached");
        let repeat = repeat.post(CHAT, &ask(marker)).await;
        assert_eq!(sse::openai_text(&repeat.chunks().await), format!("It is {marker}"));
    }
}
