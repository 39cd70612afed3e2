//! The load balancer of `docker-compose.yml`: Debian's nginx with that configuration, in front of two Reprises as processes
//! of their own. Without nginx these are skipped.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::{
    fs,
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    app::{CHAT, MODEL, Setup, ask},
    binary::Binary,
    client::{Client, Read},
    script::{Gate, Script},
    sse::Answer,
    until,
    upstream::Upstream,
};

/// The configuration of the service `balancer`.
fn configuration() -> String {
    let compose = fs::read_to_string("docker-compose.yml").unwrap();
    let (_, rest) = compose.split_once("\n    content: |\n").expect("the configuration");
    let lines = rest.lines().take_while(|line| line.is_empty() || line.starts_with("      "));
    lines
        .map(|line| line.trim_start_matches("      ").to_owned() + "\n")
        .collect::<String>()
        .replace("$$", "$")
}

/// The same for these replicas, with other places.
fn configuration_for(replicas: &[Binary; 2], port: u16, folder: &TempDir) -> String {
    let [a, b] = replicas.each_ref().map(|replica| replica.url().replace("http://", ""));
    let places = [
        ("reprise-a:8000".to_owned(), a),
        ("reprise-b:8000".to_owned(), b),
        ("listen 8000".to_owned(), format!("listen 127.0.0.1:{port}")),
        ("/tmp/".to_owned(), format!("{}/", folder.path().display())),
    ];
    places.iter().fold(configuration(), |text, (place, ours)| {
        assert!(text.contains(place), "no {place} in\n{text}");
        text.replace(place, ours)
    })
}

/// nginx in front of two replicas. Dropped, it is killed.
struct Balancer {
    child: Child,
    url: String,
    _folder: TempDir,
}

impl Balancer {
    /// Starts it and waits until it serves; `None`: there is no nginx.
    async fn start(replicas: &[Binary; 2]) -> Option<Self> {
        Command::new("nginx").arg("-v").stderr(Stdio::null()).status().ok()?;
        // Another program may take a port that was free.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("nginx.conf");
            fs::write(&file, configuration_for(replicas, port, &folder)).unwrap();
            let mut child = Command::new("nginx")
                .args(["-g", "daemon off;", "-p"])
                .arg(folder.path())
                .arg("-c")
                .arg(&file)
                .spawn()
                .unwrap();
            let url = format!("http://127.0.0.1:{port}");
            let mut serves = false;
            until("nginx to serve", async || {
                let request = b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
                let reply = Client::new(&url).try_raw(request).await;
                serves = reply.is_some_and(|reply| reply.status == 200);
                serves || child.try_wait().unwrap().is_some()
            })
            .await;
            if serves {
                return Some(Self { child, url, _folder: folder });
            }
        }
        panic!("nginx finds no port");
    }

    fn client(&self) -> Client {
        Client::new(&self.url)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // Its workers end with it.
        let line = format!("kill -TERM {}", self.child.id());
        let _ = Command::new("sh").args(["-c", &line]).status();
        let _ = self.child.wait();
    }
}

async fn two(upstream: &Upstream) -> [Binary; 2] {
    let start = async || Binary::start(&Setup::of(upstream)).await;
    [start().await, start().await]
}

/// The number of answers that run in a replica.
async fn running(replica: &Binary) -> u64 {
    let ready: Value = replica.client().get("/ready").await.json().await;
    ready["running"]["exchanges"].as_u64().unwrap()
}

/// An answer that waits behind its first words.
fn waiting(gate: &Gate, question: &str) -> Script {
    let mut events = Answer::of(MODEL).text(&["first ", "last"]).stop("end_turn");
    let at = events.iter().position(|event| event.contains("last")).unwrap();
    let rest = events.split_off(at);
    Script::sse(events).wait(gate).pieces(rest).only_for(question)
}

#[tokio::test]
async fn tokens_come_at_once_and_answers_are_spread_over_the_replicas() {
    let upstream = Upstream::start().await;
    let replicas = two(&upstream).await;
    let Some(balancer) = Balancer::start(&replicas).await else { return };
    let gate = Gate::new();
    let mut replies = Vec::new();
    for question in ["one", "two"] {
        upstream.push(waiting(&gate, question));
        let mut reply = balancer.client().post(CHAT, &ask(question)).await;
        assert_eq!(reply.status, 200);
        reply.read_until("first ").await;
        replies.push(reply);
    }
    for replica in &replicas {
        assert_eq!(running(replica).await, 1);
    }
    gate.open();
    for reply in replies {
        let rest = reply.text().await;
        assert!(rest.contains("last") && rest.trim_end().ends_with("[DONE]"), "{rest}");
    }
}

#[tokio::test]
async fn large_bodies_pass() {
    let upstream = Upstream::start().await;
    let replicas = two(&upstream).await;
    let Some(balancer) = Balancer::start(&replicas).await else { return };
    upstream.always(Script::sse(Answer::of(MODEL).text(&["yes"]).stop("end_turn")));
    let text = balancer.client().post(CHAT, &ask(&"long ".repeat(1 << 20))).await.text().await;
    assert!(text.contains("yes"), "{text}");
}

#[tokio::test]
async fn a_client_that_leaves_is_known_to_the_replica() {
    let upstream = Upstream::start().await;
    let replicas = two(&upstream).await;
    let Some(balancer) = Balancer::start(&replicas).await else { return };
    upstream.push(waiting(&Gate::new(), "one"));
    let mut reply = balancer.client().post(CHAT, &ask("one")).await;
    reply.read_until("first ").await;
    drop(reply);
    until("the replica to stop asking", async || {
        running(&replicas[0]).await + running(&replicas[1]).await == 0
    })
    .await;
}

/// What a dead replica was asked is not asked again: Claude may have answered, and it costs money.
#[tokio::test]
async fn a_replica_that_dies_is_taken_out_and_no_request_is_sent_twice() {
    let upstream = Upstream::start().await;
    let mut replicas = two(&upstream).await;
    let Some(balancer) = Balancer::start(&replicas).await else { return };
    let (gate, before) = (Gate::new(), Gate::new());
    let mut replies = Vec::new();
    for question in ["one", "two"] {
        upstream.push(waiting(&gate, question));
        let mut reply = balancer.client().post(CHAT, &ask(question)).await;
        reply.read_until("first ").await;
        replies.push((reply, question));
    }
    // One that has got nothing of its answer.
    let events = Answer::of(MODEL).text(&["late"]).stop("end_turn");
    upstream.push(Script::sse(events).hold(&before).only_for("three"));
    let client = balancer.client();
    let third = tokio_util::task::TaskTracker::new();
    let third = third.spawn(async move { client.post(CHAT, &ask("three")).await.status });
    before.reached(1).await;
    let of_third = usize::from(running(&replicas[1]).await == 2);
    replicas[of_third].kill();
    assert_eq!(third.await.unwrap(), 502);
    gate.open();
    let mut ends = Vec::new();
    for (mut reply, _) in replies {
        ends.push(reply.rest().await.1);
    }
    ends.sort_by_key(|end| *end == Read::End);
    assert_eq!(ends, [Read::Cut, Read::End], "the other replica goes on");
    upstream.always(Script::sse(Answer::of(MODEL).text(&["yes"]).stop("end_turn")));
    for n in 0..6 {
        let reply = balancer.client().post(CHAT, &ask(&format!("more {n}"))).await;
        assert_eq!(reply.status, 200);
        assert!(reply.text().await.contains("yes"));
    }
    assert_eq!(upstream.messages(), 3 + 6);
}

#[test]
fn without_a_profile_nothing_of_it_starts() {
    let compose = fs::read_to_string("docker-compose.yml").unwrap();
    let (_, services) = compose.split_once("\nservices:\n").unwrap();
    let mut always = Vec::new();
    for line in services.lines().take_while(|line| line.is_empty() || line.starts_with("  ")) {
        let is_name = line.starts_with("  ") && !line.starts_with("   ") && !line.contains('#');
        match line.trim().split_once(':') {
            Some((name, _)) if is_name => always.push(name),
            Some(("profiles", _)) => _ = always.pop(),
            _ => {}
        }
    }
    assert_eq!(always, ["reprise", "open-webui"]);
}
