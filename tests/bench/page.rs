//! Times of the page over a hundred thousand sessions, by HTTP. Nothing that a person waits for should take longer than
//! [`BAR`].

use std::time::{Duration, Instant};

use reprise::{
    config::{Config, Flags},
    server::Server,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::sessions::{SESSIONS, middle, url};

/// Longest time that a view may take.
const BAR: Duration = Duration::from_millis(300);
/// Number of times that each is asked for.
const TIMES: usize = 5;

/// Serves the ledger in this folder, and prints the times of what the page asks for.
pub(super) async fn run(folder: &TempDir) {
    let ledger = url(folder);
    let env = |name: &str| match name {
        "REPRISE_PORT" => Some("0".to_owned()),
        "REPRISE_DATABASE_URL" => Some(ledger.clone()),
        "REPRISE_TIMEZONE" => Some("UTC".to_owned()),
        "ANTHROPIC_BASE_URL" => Some("http://127.0.0.1:9".to_owned()),
        "ANTHROPIC_API_KEY" => Some("sk-ant-bench".to_owned()),
        _ => None,
    };
    let config = Config::load_server(&Flags::default(), &env).unwrap();
    let server = Server::start(config).await.unwrap();
    let base = format!("http://{}", server.address().unwrap());
    let stop = CancellationToken::new();
    let serving = server.run(stop.clone().cancelled_owned(), std::future::pending());
    let asking = async {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        println!("\nthe page over {SESSIONS} sessions: the first time, and the longest of {TIMES}");
        for (name, paths) in views() {
            ask(&client, &base, name, &paths).await;
        }
        let list: Value = json(&client, &format!("{base}/page/calls?since=&limit=500")).await;
        let older = format!("/page/calls?since=&before={}", list["older"]);
        ask(&client, &base, "older calls", &[older]).await;
        stop.cancel();
    };
    tokio::join!(serving, asking);
}

/// The views, and what each asks for.
fn views() -> Vec<(&'static str, Vec<String>)> {
    let one = |path: &str| vec![format!("/page/{path}")];
    let stats = |by: &str| format!("/page/stats?since=&by={by}");
    let mut overview: Vec<String> = ["model", "day", "user", "task"].map(stats).into();
    overview.push("/page/budgets".to_owned());
    vec![
        ("the overview, all of it", overview),
        ("the newest sessions", one("sessions?since=")),
        ("sessions in the middle", one(&format!("sessions?since=&after={}", middle()))),
        ("sessions of the last 90 days", one("sessions?since=90d")),
        ("sessions of one of 200 users", one("sessions?since=&user=user+7")),
        ("sessions of a rare model", one("sessions?since=&model=claude-rare")),
        ("a search for a word of every turn", one("sessions?since=&words=common")),
        ("a search for a frequent word", one("sessions?since=&words=word1")),
        ("a search for a rare word", one("sessions?since=&words=unique77777")),
        ("a search for two frequent words", one("sessions?since=&words=word1+word2")),
        ("a search for a phrase", one("sessions?since=&words=%22common+question%22")),
        ("a search for a beginning", one("sessions?since=&words=unique777*")),
        ("a search for no such word", one("sessions?since=&words=absent")),
        ("a frequent word of a rare model", one("sessions?since=&words=word1&model=claude-rare")),
        ("one session", one("sessions/chat%2077777")),
        ("its cost with another model", one("sessions/chat%2077777/what-if?model=claude-opus-5-5")),
        ("the newest calls", one("calls?since=")),
        ("calls of one user", one("calls?since=&user=user+7")),
        ("calls of a rare model", one("calls?since=&model=claude-rare")),
        ("calls that failed: none", one("calls?since=&error=")),
    ]
}

async fn ask(client: &reqwest::Client, base: &str, name: &str, paths: &[String]) {
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let begun = Instant::now();
        for path in paths {
            let response = client.get(format!("{base}{path}")).send().await.unwrap();
            assert!(response.status().is_success(), "{path}: {}", response.status());
            response.bytes().await.unwrap();
        }
        times.push(begun.elapsed());
    }
    let (first, longest) = (times[0], times.iter().max().copied().unwrap_or_default());
    let mark = if longest > BAR { "  over the bar" } else { "" };
    println!("{first:>8.1?} {longest:>8.1?}  {name}{mark}");
}

async fn json(client: &reqwest::Client, address: &str) -> Value {
    let bytes = client.get(address).send().await.unwrap().bytes().await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}
