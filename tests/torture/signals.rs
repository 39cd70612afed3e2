//! Signals at any moment under load: to end in order, and to stop and go on.

use super::{
    invariant,
    rounds::Rounds,
    traffic::{self, Ticks},
    world::World,
};

#[tokio::test]
async fn told_to_end_at_any_moment_it_finishes_what_it_began() {
    let mut rounds = Rounds::new("signals", 6);
    let mut world = World::new(&mut rounds.chance).await;
    while rounds.next() {
        let mut binary = world.start().await;
        let url = binary.url().to_owned();
        let orders = traffic::orders(&world, &mut rounds.chance, 12);
        let (ticks, at) = (Ticks::default(), 1 + rounds.chance.below(60));
        let signal = *rounds.chance.pick(&["TERM", "INT", "HUP"]);
        // In half of the rounds, a second signal cuts what is still open.
        let second = rounds.chance.one_in(2).then(|| at + rounds.chance.below(10));
        let mut is_sent = false;
        let sent = async {
            ticks.reached(at).await;
            binary.signal(signal);
            is_sent = true;
            if let Some(second) = second {
                ticks.reached(second).await;
                binary.signal("INT");
            }
        };
        world.traffic(&url, orders, &ticks, sent).await;
        if !is_sent {
            binary.signal(signal);
        }
        let ended = binary.ended().await;
        assert!(ended.success(), "{signal}: {ended}: {}", world.log());
        let ledger = world.ledger();
        assert_eq!(ledger.count("running").await, 0, "{signal}");
        let lost = "select count(*) from exchange where outcome = 'lost'";
        assert_eq!(ledger.rows::<(i64,)>(lost).await, [(0,)], "{signal}");
        invariant::check(&mut world, &mut rounds.tally).await;
    }
}

#[tokio::test]
async fn stopped_and_continued_it_loses_nothing() {
    let mut rounds = Rounds::new("stopped and continued", 3);
    let mut world = World::new(&mut rounds.chance).await;
    while rounds.next() {
        let binary = world.start().await;
        let url = binary.url().to_owned();
        let orders: Vec<_> = (0..8).map(|_| traffic::plain(&mut rounds.chance)).collect();
        let (ticks, at) = (Ticks::default(), 1 + rounds.chance.below(30));
        let paused = async {
            ticks.reached(at).await;
            for signal in ["STOP", "CONT", "STOP", "STOP", "CONT"] {
                binary.signal(signal);
            }
        };
        let asked = orders.len();
        assert_eq!(world.traffic(&url, orders, &ticks, paused).await, asked);
        world.stop(binary).await;
        invariant::check(&mut world, &mut rounds.tally).await;
    }
}
