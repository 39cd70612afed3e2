//! `kill -9` while a ledger is pruned: by the server that a command asks, and by a command alone.

use std::future::pending;

use super::{
    invariant,
    rounds::Rounds,
    traffic::{self, FORGOTTEN, Ticks},
    world::World,
};

#[tokio::test]
async fn killed_while_it_prunes_the_ledger_has_all_that_was_not_to_go() {
    let mut rounds = Rounds::new("kill at prune", 3);
    let mut kills = 0;
    while rounds.next() {
        let chance = &mut rounds.chance.clone();
        rounds.chance.next();
        let mut world = World::new(chance).await;
        let mut binary = world.start().await;
        let url = binary.url().to_owned();
        let orders = (0..20).map(|_| traffic::plain(chance)).collect();
        let seen = world.traffic(&url, orders, &Ticks::default(), pending()).await;
        assert_eq!(seen, 20);
        // While others ask.
        let orders = traffic::orders(&world, chance, 8);
        world.disk.die(1 + chance.below(60), *chance.pick(&[0, 1, 2]));
        let mut pruning = Box::pin(world.run(Some(&url), &["prune", "--user", FORGOTTEN]));
        let mut told = None;
        let event = async { told = Some((&mut pruning).await) };
        world.traffic(&url, orders, &Ticks::default(), event).await;
        let told = match told {
            Some(told) => told,
            None => pruning.await,
        };
        kills += usize::from(!told.status.success());
        world.told.extend(told.stderr);
        binary.kill();
        world.killed();
        world.disk.live();
        invariant::check(&mut world, &mut rounds.tally).await;

        // Alone, again and again.
        for _ in 0..3 {
            world.disk.die(1 + chance.below(60), *chance.pick(&[0, 1, 2]));
            let pruned = world.run(None, &["prune", "--user", FORGOTTEN]).await;
            world.disk.live();
            world.told.extend(&pruned.stderr);
            invariant::check(&mut world, &mut rounds.tally).await;
            kills += usize::from(pruned.status.code().is_none());
        }
        let before = world.disk.operations();
        let pruned = world.run(None, &["prune", "--user", FORGOTTEN]).await;
        assert!(pruned.status.success(), "{pruned:?}");
        // Once where it cannot come to its end: there may have been little to do, and so few operations to die at.
        let operations = world.disk.operations() - before;
        world.disk.die(1 + chance.below(operations), *chance.pick(&[0, 1, 2]));
        let pruned = world.run(None, &["prune", "--user", FORGOTTEN]).await;
        world.disk.live();
        kills += usize::from(pruned.status.code().is_none());
        invariant::check(&mut world, &mut rounds.tally).await;
        for seen in world.seen.iter().filter(|seen| !seen.is_kept()) {
            let file = world.ledger().bytes().await;
            let left = memchr::memmem::find(&file, seen.order.marker.as_bytes());
            assert!(left.is_none(), "{} is still in a file", seen.order.marker);
        }
        let binary = world.start().await;
        assert_eq!(world.ready(&binary).await.0, 200);
        world.stop(binary).await;
        invariant::check(&mut world, &mut rounds.tally).await;
    }
    assert!(kills > 0, "no prune was killed");
    rounds.tally.more = format!("{kills} prunes killed");
}
