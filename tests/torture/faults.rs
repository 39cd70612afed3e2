//! A disk that is full, broken, slow or read-only, or a ledger that another process has locked: answers flow, `/ready`
//! says it, and what could not be written is written afterwards.

use std::future::pending;

use super::{
    disk::{Control, EIO, EROFS},
    invariant,
    rounds::{Chance, Rounds},
    traffic::{self, Ticks},
    world::World,
};
use crate::support::{until, upstream::Upstream};

/// A fault, and what it sets.
#[derive(Debug, Clone, Copy)]
struct Fault {
    name: &'static str,
    sets: &'static [(Control, i64)],
    /// As long as it lasts, nothing can be written.
    is_total: bool,
}

const FAULTS: &[Fault] = &[
    Fault { name: "full", sets: &[(Control::Room, 0)], is_total: true },
    Fault { name: "nearly full", sets: &[(Control::Room, 30_000)], is_total: true },
    Fault { name: "writes fail", sets: &[(Control::WriteError, EIO)], is_total: true },
    Fault {
        name: "some writes fail",
        sets: &[(Control::WriteError, EIO), (Control::OneIn, 3)],
        is_total: false,
    },
    Fault { name: "syncs fail", sets: &[(Control::SyncError, EIO)], is_total: false },
    Fault {
        name: "some syncs fail",
        sets: &[(Control::SyncError, EIO), (Control::OneIn, 2)],
        is_total: false,
    },
    Fault { name: "read-only", sets: &[(Control::WriteError, EROFS)], is_total: true },
    Fault { name: "reads fail", sets: &[(Control::ReadError, EIO)], is_total: false },
    Fault { name: "slow", sets: &[(Control::SyncMicros, 400_000)], is_total: false },
];

#[tokio::test]
async fn no_fault_of_the_disk_costs_an_answer_or_a_row() {
    let mut rounds = Rounds::new("disk faults", 1);
    let mut failed = 0;
    while rounds.next() {
        let worlds = FAULTS.iter().map(|fault| {
            let chance = Chance::new(rounds.chance.next());
            under(fault, chance)
        });
        for (mut world, faults) in futures_util::future::join_all(worlds).await {
            failed += faults;
            invariant::check(&mut world, &mut rounds.tally).await;
        }
    }
    rounds.tally.more = format!("{failed} operations failed");
}

/// A ledger that has seen this fault come and go.
async fn under(fault: &Fault, mut chance: Chance) -> (World, i64) {
    let mut world = World::new(&mut chance).await;
    let binary = world.start().await;
    let url = binary.url().to_owned();
    let all_are_answered = async |world: &mut World, chance: &mut Chance| {
        let orders: Vec<_> = (0..6).map(|_| traffic::plain(chance)).collect();
        let count = orders.len();
        let seen = world.traffic(&url, orders, &Ticks::default(), pending()).await;
        assert_eq!(seen, count, "{}: answers are missing", fault.name);
    };
    all_are_answered(&mut world, &mut chance).await;
    for (control, value) in fault.sets {
        world.disk.set(*control, *value);
    }
    all_are_answered(&mut world, &mut chance).await;
    if fault.is_total {
        until(fault.name, async || world.ready(&binary).await.0 == 503).await;
    }
    // What was seen before is still answered.
    let orders = traffic::orders(&world, &mut chance, 4);
    world.traffic(&url, orders, &Ticks::default(), pending()).await;
    for (control, _) in fault.sets {
        world.disk.set(*control, if matches!(control, Control::Room) { -1 } else { 0 });
    }
    world.until_ready(&binary).await;
    all_are_answered(&mut world, &mut chance).await;
    assert_eq!(world.ledger().count("running").await, 0, "{}", fault.name);
    let failed = world.disk.get(Control::Failed);
    world.stop(binary).await;
    let lost = "select count(*) from exchange where outcome = 'lost'";
    assert_eq!(world.ledger().rows::<(i64,)>(lost).await, [(0,)], "{}", fault.name);
    (world, failed)
}

#[tokio::test]
async fn a_ledger_locked_by_another_process_costs_no_answer_and_no_row() {
    let mut rounds = Rounds::new("locked", 1);
    while rounds.next() {
        let chance = &mut rounds.chance.clone();
        rounds.chance.next();
        let mut world = World::new(chance).await;
        let binary = world.start().await;
        let url = binary.url().to_owned();
        let lock = world.ledger().lock().await;
        let orders = (0..6).map(|_| traffic::plain(chance)).collect();
        assert_eq!(world.traffic(&url, orders, &Ticks::default(), pending()).await, 6);
        until("/ready to say that it is locked", async || world.ready(&binary).await.0 == 503)
            .await;
        lock.release().await;
        world.until_ready(&binary).await;
        assert_eq!(world.ledger().count("running").await, 0);
        invariant::check(&mut world, &mut rounds.tally).await;
        world.stop(binary).await;
        invariant::check(&mut world, &mut rounds.tally).await;
    }
}

#[tokio::test]
async fn a_line_of_the_journal_that_a_full_disk_cut_spoils_no_other() {
    let mut rounds = Rounds::new("journal cut", 2);
    while rounds.next() {
        let chance = &mut rounds.chance.clone();
        rounds.chance.next();
        let mut world = World::new(chance).await;
        let mut binary = world.start().await;
        let url = binary.url().to_owned();
        let new = vec![traffic::plain(chance)];
        assert_eq!(world.traffic(&url, new, &Ticks::default(), pending()).await, 1);
        // Nothing but the journal can be written, and of its next line only a part.
        let lock = world.ledger().lock().await;
        for room in [i64::try_from(1 + chance.below(200)).expect("small"), -1, -1] {
            world.disk.set(Control::Room, room);
            let again = vec![world.seen[0].order.clone()];
            assert_eq!(world.traffic(&url, again, &Ticks::default(), pending()).await, 1);
        }
        binary.kill();
        world.killed();
        lock.release().await;
        let binary = world.start().await;
        invariant::check(&mut world, &mut rounds.tally).await;
        world.stop(binary).await;
        invariant::check(&mut world, &mut rounds.tally).await;
    }
}

#[tokio::test]
async fn a_start_on_a_full_disk_says_so() {
    let mut rounds = Rounds::new("start on a full disk", 2);
    while rounds.next() {
        let world = World::new(&mut rounds.chance).await;
        world.disk.set(Control::Room, i64::try_from(rounds.chance.below(20_000)).expect("small"));
        let ended = world.try_start().await.expect_err("there is no room for tables");
        assert_eq!(ended.code(), Some(1), "{ended}");
        assert!(world.log().contains("full"), "{}", world.log());
        world.disk.set(Control::Room, -1);
        let binary = world.start().await;
        world.stop(binary).await;
        rounds.tally.checks += 1;
    }
}

#[tokio::test]
async fn an_upstream_that_is_away_is_no_fault_of_the_ledger() {
    let mut rounds = Rounds::new("upstream away", 1);
    while rounds.next() {
        let nowhere = Upstream::nowhere().await;
        let mut world = World::new(&mut rounds.chance).await.set("ANTHROPIC_BASE_URL", &nowhere);
        let binary = world.start().await;
        let url = binary.url().to_owned();
        let orders = (0..3).map(|_| traffic::plain(&mut rounds.chance)).collect();
        world.traffic(&url, orders, &Ticks::default(), pending()).await;
        assert!(world.seen.iter().all(|seen| seen.text.is_none()), "{:?}", world.seen);
        assert_eq!(world.ready(&binary).await.0, 200);
        world.stop(binary).await;
        rounds.tally.checks += 1;
    }
}
