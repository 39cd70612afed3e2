//! Chromium without a window, driven over the `DevTools` protocol through a pair of pipes: no driver, no web socket and no
//! port.

use std::{
    collections::VecDeque,
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{sync::mpsc, time::timeout};

use super::until;

/// Longest time of a command: axe-core takes long over a large table while other programs use the processors.
const BROWSER_PATIENCE: Duration = Duration::from_mins(3);

/// Names under which systems have it.
const PROGRAMS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// The shell puts the pipes where the browser looks for them.
const LINE: &str = "exec 3<&0 4>&1 </dev/null >/dev/null 2>&1; exec \"$@\"";

/// Only loopback is reached, and nothing is asked on the browser's own account.
const FLAGS: [&str; 10] = [
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
];

/// A browser with one tab. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Browser {
    child: Child,
    to: ChildStdin,
    messages: mpsc::UnboundedReceiver<Value>,
    events: VecDeque<Value>,
    session: String,
    asked: u64,
    _profile: TempDir,
}

/// The program; `None`, and a word on it, where there is none.
#[expect(
    clippy::print_stderr,
    reason = "a test that is skipped must not look like one that passed"
)]
fn program() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&folders).collect();
    let found = PROGRAMS.iter().find_map(|name| {
        folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file())
    });
    if found.is_none() {
        eprintln!("skipped: there is no Chromium (apt-get install chromium)");
    }
    found
}

impl Browser {
    /// Starts it; `None` where there is no Chromium.
    pub(crate) async fn start() -> Option<Self> {
        let program = program()?;
        let profile = TempDir::new().expect("a folder");
        let mut command = Command::new("sh");
        command.args(["-c", LINE, "sh"]).arg(program).args(FLAGS);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("a shell");
        let (to, from) =
            (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let (sender, messages) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for message in BufReader::new(from).split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).expect("JSON");
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let (events, session) = (VecDeque::new(), String::new());
        let mut browser =
            Self { child, to, messages, events, session, asked: 0, _profile: profile };
        let made = browser.send("Target.createTarget", json!({ "url": "about:blank" })).await;
        let attach = json!({ "targetId": made["targetId"], "flatten": true });
        let attached = browser.send("Target.attachToTarget", attach).await;
        browser.session = attached["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.send(&format!("{domain}.enable"), json!({})).await;
        }
        Some(browser)
    }

    /// Sends a command and awaits its result.
    pub(crate) async fn send(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let mut message = json!({ "id": self.asked, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).expect("a browser that reads");
        loop {
            let message = timeout(BROWSER_PATIENCE, self.messages.recv()).await;
            let message = message.unwrap_or_else(|_| panic!("waited too long for {method}"));
            let mut message = message.expect("a browser that runs");
            if message["id"] == self.asked {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].take();
            }
            self.events.push_back(message);
        }
    }

    /// Loads an address, and awaits that the page has shown something.
    pub(crate) async fn open(&mut self, url: &str) {
        // Another fragment of the same page alone would load nothing.
        self.send("Page.navigate", json!({ "url": "about:blank" })).await;
        self.send("Page.navigate", json!({ "url": url })).await;
        self.settled().await;
    }

    /// Awaits that nothing is loading.
    pub(crate) async fn settled(&mut self) {
        // The view of an address comes some time after the address.
        const SETTLED: &str = "document.readyState === 'complete' && !!document.querySelector('h1') && \
             !document.querySelector('[aria-busy]') && \
             (document.getElementById('main')?.dataset.address ?? location.hash) === location.hash";
        self.until(SETTLED).await;
    }

    /// Awaits a condition in JavaScript.
    pub(crate) async fn until(&mut self, condition: &str) {
        until(condition, async || self.eval(condition).await == json!(true)).await;
    }

    /// The value of an expression in JavaScript, awaited if it is a promise.
    pub(crate) async fn eval(&mut self, expression: &str) -> Value {
        let asks = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut told = self.send("Runtime.evaluate", asks).await;
        assert!(told["exceptionDetails"].is_null(), "{expression}: {}", told["exceptionDetails"]);
        told["result"]["value"].take()
    }

    /// Clicks on the first element of a selector.
    pub(crate) async fn click(&mut self, selector: &str) {
        let script = format!("document.querySelector({}).click()", json!(selector));
        self.eval(&script).await;
    }

    /// Presses a key that types nothing, such as `Tab`.
    pub(crate) async fn press(&mut self, key: &str, code: u32) {
        for kind in ["rawKeyDown", "keyUp"] {
            let event =
                json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            self.send("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Types a text where the focus is.
    pub(crate) async fn write(&mut self, text: &str) {
        self.send("Input.insertText", json!({ "text": text })).await;
    }

    /// Sets the width of the window in pixels, and the colours that the system prefers.
    pub(crate) async fn look(&mut self, width: u32, scheme: &str) {
        let size = json!({
            "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500,
        });
        self.send("Emulation.setDeviceMetricsOverride", size).await;
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.send("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// Writes a picture of the whole page into the folder of the build, for people to look at.
    pub(crate) async fn picture(&mut self, name: &str) {
        let asks = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.send("Page.captureScreenshot", asks).await;
        let picture = STANDARD.decode(picture["data"].as_str().expect("a picture"));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(format!("{name}.png")), picture.expect("base64")).expect("a file");
    }

    /// What the browser complained of since the last look: errors of scripts, and what the page may not load.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        let events = self.events.drain(..);
        let bad = events.filter_map(|event| match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => {
                Some(event["params"]["exceptionDetails"].to_string())
            }
            Some("Log.entryAdded") if event["params"]["entry"]["level"] == "error" => {
                Some(event["params"]["entry"].to_string())
            }
            Some("Runtime.consoleAPICalled") if event["params"]["type"] == "error" => {
                Some(event["params"]["args"].to_string())
            }
            _ => None,
        });
        bad.collect()
    }

    /// The addresses that were asked for since the last look.
    pub(crate) fn requests(&self) -> Vec<String> {
        let sent =
            self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        sent.map(|event| event["params"]["request"]["url"].as_str().unwrap_or_default().to_owned())
            .collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
