//! An upstream that does its worst: cut and reset at every byte, every status, silence, no end, giants and garbage. The
//! client gets the answer or an error, whole and in time, and the books are equal.

use std::future::pending;

use super::{
    invariant,
    rounds::{Chance, Rounds},
    traffic::{self, Order, Ticks},
    world::World,
};
use crate::support::{
    app::{App, MODEL},
    script::Script,
    sse::{self, Answer},
    until,
    upstream::Outcome,
};

/// Requests at once.
const CLIENTS: usize = 32;

/// The server in this process, which is quick to start, and whose ledger has no disk to wait for.
async fn start(chance: &mut Chance) -> (World, App) {
    let world = World::new(chance).await.set("REPRISE_DURABILITY", "normal");
    let world = world.set("REPRISE_UPSTREAM_IDLE_TIMEOUT", "1s");
    let app = world.setup.start().await;
    (world, app)
}

/// Asks in groups, and demands that each gets to an end that is one.
async fn all_end_well(world: &mut World, app: &App, orders: Vec<Order>) {
    let url = app.url().to_owned();
    // It is not about them.
    let orders = orders.into_iter().map(Order::short);
    let mut orders = orders.peekable();
    while orders.peek().is_some() {
        let some: Vec<_> = orders.by_ref().take(CLIENTS).collect();
        let count = some.len();
        let markers: Vec<_> = some.iter().map(|order| order.marker.clone()).collect();
        world.traffic(&url, some, &Ticks::default(), pending()).await;
        assert_eq!(world.whole, count, "a client was left without an end, of {markers:?}");
    }
}

/// Stops the server and checks the books.
async fn close(mut world: World, app: App, rounds: &mut Rounds) {
    app.stop().await;
    assert_eq!(world.ledger().count("running").await, 0);
    let lost = "select count(*) from exchange where outcome = 'lost'";
    assert_eq!(world.ledger().rows::<(i64,)>(lost).await, [(0,)]);
    invariant::check(&mut world, &mut rounds.tally).await;
}

/// A response with this body, as it stands on the wire.
fn response(events: &[String], is_chunked: bool) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nrequest-id: req_1\r\n";
    let body = if is_chunked {
        let chunks = events.iter().map(|event| format!("{:x}\r\n{event}\r\n", event.len()));
        format!("transfer-encoding: chunked\r\n\r\n{}0\r\n\r\n", chunks.collect::<String>())
    } else {
        format!("connection: close\r\n\r\n{}", events.concat())
    };
    format!("{head}{body}").into_bytes()
}

#[tokio::test]
async fn cut_or_reset_at_any_byte_the_answer_is_whole_or_says_that_it_is_not() {
    let mut rounds = Rounds::new("cut at every byte", 1);
    let mut positions = 0;
    while rounds.next() {
        let chance = &mut rounds.chance.clone();
        rounds.chance.next();
        let (mut world, app) = start(chance).await;
        let is_chunked = chance.one_in(2);
        let length = response(&answer("marker-0123456789abcdef."), is_chunked).len();
        let mut orders = Vec::new();
        for position in 0..=length {
            let order = traffic::plain(chance);
            let cut = response(&answer(&order.marker), is_chunked)[..position].to_vec();
            let cut = if chance.one_in(2) { Script::raw(cut) } else { Script::raw_and_reset(cut) };
            let whole = Script::sse(answer(&order.marker));
            orders.push(order.by([cut, whole]));
        }
        positions += orders.len();
        all_end_well(&mut world, &app, orders).await;
        for seen in world.seen.iter().filter_map(|seen| seen.text.as_ref().map(|text| (text, seen)))
        {
            assert_eq!(*seen.0, format!("It is {}", seen.1.order.marker));
        }
        close(world, app, &mut rounds).await;
    }
    rounds.tally.more = format!("{positions} positions");
}

fn answer(marker: &str) -> Vec<String> {
    Answer::of(MODEL).text(&["It is ", marker]).stop("end_turn")
}

#[tokio::test]
async fn every_status_is_an_answer_or_an_error() {
    let mut rounds = Rounds::new("every status", 1);
    while rounds.next() {
        let chance = &mut rounds.chance.clone();
        rounds.chance.next();
        let (mut world, app) = start(chance).await;
        let mut orders = Vec::new();
        for status in 200..=599 {
            let order = traffic::plain(chance);
            let script = match chance.below(4) {
                0 => Script::error(status, "api_error", "of a test"),
                1 => Script::respond(status).header("content-type", "text/html").body("<html>"),
                2 => Script::respond(status),
                _ => Script::json(status, &serde_json::json!([{ "error": 1 }])),
            };
            let script = script.header("retry-after-ms", "0").header("location", "/v1/messages");
            orders.push(order.by([script.clone(), script.clone(), script]));
        }
        // Interim responses come before the one that counts.
        for interim in ["100 Continue", "102 Processing", "103 Early Hints"] {
            let order = traffic::plain(chance);
            let mut bytes = format!("HTTP/1.1 {interim}\r\n\r\n").repeat(3).into_bytes();
            bytes.extend(response(&answer(&order.marker), true));
            orders.push(order.by([Script::raw(bytes)]));
        }
        let order = traffic::plain(chance);
        orders.iter_mut().for_each(Order::accept_any_text);
        let switch =
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n";
        orders.push(order.by([Script::raw(switch), Script::raw(switch), Script::raw(switch)]));
        all_end_well(&mut world, &app, orders).await;
        close(world, app, &mut rounds).await;
    }
}

#[tokio::test]
async fn silence_giants_and_garbage_end_in_time() {
    let mut rounds = Rounds::new("odd upstreams", 1);
    while rounds.next() {
        let chance = &mut rounds.chance.clone();
        rounds.chance.next();
        let (mut world, app) = start(chance).await;
        let mut orders = Vec::new();
        let begun = |text: &str| {
            let block = r#"{"type":"text","text":""}"#;
            let answer = Answer::of(MODEL).event(sse::content_block_start(0, block));
            answer.event(sse::text_delta(0, text)).unfinished()
        };
        for script in [
            Script::silent(),
            Script::sse([""; 0]).stall(),
            Script::sse(Answer::of(MODEL).unfinished()).stall(),
            Script::sse(begun("Hel")).stall(),
            Script::sse(["event: message_start\n"]).stall(),
            Script::sse([sse::message_stop()]),
            Script::sse([sse::ping()]).stall(),
        ] {
            orders.push(traffic::plain(chance).by(vec![script; 3]));
        }
        for size in [1 << 16, 1 << 20, 4 << 20] {
            let order = traffic::plain(chance);
            let giant = format!("{}{}", order.marker, "g".repeat(size));
            let events = Answer::of(MODEL).text(&[&giant]).stop("end_turn");
            orders.push(order.by([Script::sse(sse::cut_every(&events, 60_000))]));
            // An event that never ends.
            let order = traffic::plain(chance);
            orders.push(order.by(vec![Script::sse([format!("data: {giant}")]); 3]));
        }
        for _ in 0..40 {
            let length = 1 + chance.below(300);
            let noise: Vec<u8> = (0..length).map(|_| chance.next().to_le_bytes()[0]).collect();
            let order = traffic::plain(chance);
            let mut events = answer(&order.marker);
            let script = match chance.below(4) {
                0 => Script::raw(noise),
                1 => Script::sse([noise]),
                2 => {
                    let at = chance.below(events.len());
                    events.insert(at, String::from_utf8_lossy(&noise).replace('\0', "") + "\n\n");
                    Script::sse(events)
                }
                _ => {
                    let mut wire = response(&events, true);
                    let at = chance.below(wire.len());
                    wire[at] ^= noise[0] | 1;
                    Script::raw(wire)
                }
            };
            orders.push(order.by([script, Script::sse(answer("none"))]));
        }
        orders.iter_mut().for_each(Order::accept_any_text);
        all_end_well(&mut world, &app, orders).await;
        close(world, app, &mut rounds).await;
    }
}

#[tokio::test]
async fn an_endless_answer_ends_when_its_client_leaves() {
    let mut rounds = Rounds::new("endless", 2);
    while rounds.next() {
        let chance = &mut rounds.chance.clone();
        rounds.chance.next();
        let (mut world, app) = start(chance).await;
        let block = sse::content_block_start(0, r#"{"type":"text","text":""}"#);
        let beginning = Answer::of(MODEL).event(block).unfinished();
        let script = Script::sse(beginning).endless(sse::text_delta(0, "on and "));
        let order = traffic::plain(chance).left_after(1 + chance.below(5)).by([script]);
        world.traffic(app.url(), vec![order], &Ticks::default(), pending()).await;
        world.upstream.await_outcome(0, Outcome::Disconnected).await;
        until("it to be closed", async || world.ledger().count("exchange").await == 1).await;
        assert_eq!(world.ledger().exchange().await.outcome, "stopped");
        close(world, app, &mut rounds).await;
    }
}
