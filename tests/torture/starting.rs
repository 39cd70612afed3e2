//! `kill -9` while the program starts: at any operation on the disk, while it makes a ledger, while it closes the books
//! of a process that died, and while it migrates a ledger of the version before.

use std::future::pending;

use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};

use super::{
    disk::Control,
    invariant,
    rounds::{Chance, Rounds},
    traffic::{self, Ticks},
    world::World,
};
use crate::support::binary::Binary;

/// Starts the program until it lives: each time it is killed at an operation by chance. Returns how often it was.
async fn start_at_last(
    world: &mut World,
    chance: &mut Chance,
    operations: usize,
) -> (Binary, usize) {
    let mut killed = 0;
    loop {
        world.disk.die(1 + chance.below(operations), *chance.pick(&[0, 1, 2]));
        match world.try_start().await {
            Ok(binary) => {
                world.disk.live();
                return (binary, killed);
            }
            Err(_) => killed += 1,
        }
        if killed > 3 {
            world.disk.live();
            return (world.start().await, killed);
        }
    }
}

/// The sums that reports begin with are valid.
const SUMS: &str = "select count(*) from rollup_state join call on seq = upto and id = upto_call";

/// Operations of a whole start.
async fn operations_of_start(world: &World) -> usize {
    let before = world.disk.get(Control::Operations);
    let mut binary = world.start().await;
    binary.kill();
    usize::try_from(world.disk.get(Control::Operations) - before).expect("a count")
}

#[tokio::test]
async fn killed_while_it_closes_the_books_of_the_dead_it_closes_them_the_next_time() {
    let mut rounds = Rounds::new("kill at start", 1);
    let mut kills = 0;
    while rounds.next() {
        let chance = &mut rounds.chance.clone();
        rounds.chance.next();
        let mut world = World::new(chance).await;
        let (mut binary, killed) = start_at_last(&mut world, chance, 400).await;
        kills += killed;
        for _ in 0..2 {
            let url = binary.url().to_owned();
            let orders = traffic::orders(&world, chance, 12);
            let ticks = Ticks::default();
            let at = 1 + chance.below(20);
            let kill = async {
                ticks.reached(at).await;
                binary.kill();
            };
            world.traffic(&url, orders, &ticks, kill).await;
            binary.kill();
            world.killed();
            invariant::check(&mut world, &mut rounds.tally).await;
            let running = world.ledger().count("running").await;
            let killed;
            (binary, killed) = start_at_last(&mut world, chance, 12).await;
            kills += killed;
            assert_eq!(world.ledger().count("running").await, 0, "of {running}");
            invariant::check(&mut world, &mut rounds.tally).await;
        }
        world.stop(binary).await;
        invariant::check(&mut world, &mut rounds.tally).await;
    }
    assert!(kills > 0, "no start was killed");
    rounds.tally.more = format!("{kills} starts killed");
}

#[tokio::test]
async fn killed_while_it_migrates_a_ledger_it_migrates_it_the_next_time() {
    let mut rounds = Rounds::new("kill at migration", 6);
    let mut world = of_the_version_before(&mut rounds.chance).await;
    let operations = operations_of_start(&world).await;
    assert!(operations > 10, "a migration writes: {operations}");
    world.told.clear();
    let mut kills = 0;
    while rounds.next() {
        let mut world = of_the_version_before(&mut rounds.chance).await;
        let (mut binary, killed) = start_at_last(&mut world, &mut rounds.chance, operations).await;
        kills += killed;
        // All that it had, whichever start migrated it; the call that never ended is closed.
        let ledger = world.ledger();
        assert_eq!((ledger.count("exchange").await, ledger.count("call").await), (11, 19));
        assert_eq!(ledger.count("running").await, 0);
        assert_eq!(ledger.rows::<(i64,)>(SUMS).await, [(0,)], "they are made again");
        assert_eq!(ledger.stats().await.total.calls, 19);
        let orders = vec![traffic::plain(&mut rounds.chance)];
        let url = binary.url().to_owned();
        let seen = world.traffic(&url, orders, &Ticks::default(), pending()).await;
        assert_eq!(seen, 1);
        binary.kill();
        assert_eq!(ledger.rows::<(String,)>("pragma integrity_check").await, [("ok".to_owned(),)]);
        invariant::no_key_is_told(&world).await;
        rounds.tally.seen += 1;
        rounds.tally.tries += world.upstream.messages();
        rounds.tally.checks += 1;
    }
    assert!(kills > 0, "no migration was killed");
    rounds.tally.more = format!("{kills} starts killed, of {operations} operations each");
}

async fn of_the_version_before(chance: &mut Chance) -> World {
    let world = World::new(chance).await;
    let path = world.setup.folder().join("ledger.db");
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut outside = options.connect().await.expect("a database");
    let before = include_str!("../ledger/before_0006.sql");
    sqlx::raw_sql(before).execute(&mut outside).await.expect("the version before");
    outside.close().await.expect("a clean end");
    world
}
