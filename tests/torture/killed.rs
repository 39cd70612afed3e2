//! `kill -9` while clients are served: at any piece that a client gets, and at any operation on the disk.

use std::path::Path;

use super::{
    invariant,
    rounds::Rounds,
    traffic::{self, Ticks},
    world::World,
};
use crate::support::client::Client;

/// Requests at once.
const CLIENTS: usize = 12;
/// Rounds with one ledger.
const ROUNDS: usize = 25;

#[tokio::test]
async fn kill_9_at_any_point_loses_nothing_that_was_seen_to_its_end() {
    let mut rounds = Rounds::new("kill", 12);
    while rounds.next() {
        let mut world = World::new(&mut rounds.chance).await;
        for round in 0..ROUNDS {
            if round > 0 && !rounds.next() {
                break;
            }
            let mut binary = world.start().await;
            let url = binary.url().to_owned();
            assert_eq!(
                world.ledger().count("running").await,
                0,
                "the books of the dead are closed"
            );
            let orders = traffic::orders(&world, &mut rounds.chance, CLIENTS);
            let ticks = Ticks::default();
            if rounds.chance.one_in(2) {
                let how = *rounds.chance.pick(&[0, 1, 2]);
                world.disk.die(1 + rounds.chance.below(80), how);
                world.traffic(&url, orders, &ticks, std::future::pending()).await;
                binary.kill();
                world.disk.live();
            } else {
                let at = 1 + rounds.chance.below(6 * CLIENTS);
                let kill = async {
                    ticks.reached(at).await;
                    binary.kill();
                };
                world.traffic(&url, orders, &ticks, kill).await;
                binary.kill();
            }
            world.killed();
            invariant::check(&mut world, &mut rounds.tally).await;
        }
        let binary = world.start().await;
        everything_is_a_hit(&mut world, &binary.client()).await;
        assert_eq!(world.ready(&binary).await.0, 200);
        world.stop(binary).await;
        invariant::check(&mut world, &mut rounds.tally).await;
        no_key_is_exported(&mut world).await;
    }
}

/// What was seen before is answered without upstream, by the same exchange.
async fn everything_is_a_hit(world: &mut World, client: &Client) {
    let asked = world.upstream.messages();
    let answered: Vec<_> =
        world.seen.iter().filter(|seen| seen.text.is_some() && seen.is_kept()).cloned().collect();
    for seen in answered {
        let ticks = Ticks::default();
        let url = format!("http://{}", client.authority());
        let before = world.seen.len();
        world.traffic(&url, vec![seen.order], &ticks, std::future::pending()).await;
        let again = &world.seen[before];
        assert_eq!((again.how, &again.text), ("hit", &seen.text), "{again:?}");
    }
    assert_eq!(world.upstream.messages(), asked);
}

/// What leaves the ledger as fixtures has no key.
async fn no_key_is_exported(world: &mut World) {
    let into = world.setup.folder().join("fixtures");
    // The newest sessions may all be of lost exchanges, which are left out.
    std::fs::create_dir_all(&into).expect("a folder for fixtures");
    let into = into.to_str().expect("a path of text");
    let output = world.run(None, &["fixtures", "export", "--last", "10", "--into", into]).await;
    world.told.extend_from_slice(&output.stderr);
    world.told.extend_from_slice(&output.stdout);
    let mut folders = vec![Path::new(into).to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder of fixtures") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                world.told.extend(std::fs::read(path).expect("a fixture"));
            }
        }
    }
    std::fs::remove_dir_all(into).expect("a folder of fixtures");
    invariant::no_key_is_told(world).await;
}
