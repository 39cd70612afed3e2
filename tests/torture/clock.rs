//! The wall clock jumps, by days, to and fro. Nothing panics, ids stay unique, reports work, and the order is that of
//! the commits.

use std::future::pending;

use super::{
    disk::Control,
    invariant,
    rounds::Rounds,
    traffic::{self, Ticks},
    world::World,
};

const DAY: i64 = 86_400_000_000_000;

#[tokio::test]
async fn a_clock_that_jumps_breaks_nothing() {
    let mut rounds = Rounds::new("clock", 1);
    while rounds.next() {
        let chance = &mut rounds.chance.clone();
        rounds.chance.next();
        let mut world = World::new(chance).await;
        let settings = world.setup.folder().join("settings.toml");
        std::fs::write(&settings, "timezone = \"UTC\"\n[[budget]]\nlimit = 1000\nper = \"day\"\n")
            .expect("a settings file");
        world = world.set("REPRISE_CONFIG", settings.to_str().expect("a path of text"));
        let binary = world.start().await;
        let url = binary.url().to_owned();
        let mut last_call = 0;
        for _ in 0..8 {
            let days = i64::try_from(chance.below(80)).expect("small") - 40;
            let orders = traffic::orders(&world, chance, 8);
            let (ticks, at) = (Ticks::default(), 1 + chance.below(20));
            let disk = world.disk.clone();
            let jump = async {
                ticks.reached(at).await;
                disk.set(Control::ClockNanos, days * DAY + 12_345_678_901);
            };
            world.traffic(&url, orders, &ticks, jump).await;
            // The newest number of a call is the newest commit, whatever the clock says.
            let newest = "select coalesce(max(seq), 0) from call";
            let newest = world.ledger().rows::<(i64,)>(newest).await[0].0;
            assert!(newest >= last_call);
            last_call = newest;
            for report in [["stats", "--json"], ["budgets", "--json"]] {
                let output = world.run(Some(&url), &report).await;
                assert!(output.status.success(), "{report:?}: {output:?}");
            }
        }
        assert_eq!(world.ready(&binary).await.0, 200);
        assert!(!world.log().contains("a bug in Reprise"), "{}", world.log());
        world.stop(binary).await;
        invariant::check(&mut world, &mut rounds.tally).await;
        let sessions = world.run(None, &["stats", "--by", "day,model"]).await;
        assert!(sessions.status.success(), "{sessions:?}");
        // A later start, at a time before the last calls.
        world.disk.set(Control::ClockNanos, -100 * DAY);
        let binary = world.start().await;
        let orders = (0..4).map(|_| traffic::plain(chance)).collect();
        let seen = world.traffic(binary.url(), orders, &Ticks::default(), pending()).await;
        assert_eq!(seen, 4);
        world.stop(binary).await;
        invariant::check(&mut world, &mut rounds.tally).await;
    }
}
