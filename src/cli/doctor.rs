//! `reprise doctor`: looks at all that a server stands on, and says what to do.

use std::{io::Write, path::Path, process::ExitCode, time::Duration};

use clap::Args;
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::print;
use crate::{
    answer,
    config::{Config, Env, Error, Flags, GlobalFlags},
    domain::{exchange::UnixMillis, open_webui::HEADER_BOX},
    report::{counted, doctor::Diagnosis},
    store::{self, Reader, checkup},
    upstream::{self, ProbeOutcome, ProbeResult},
};

/// With less room than this a ledger is soon full.
const LITTLE_ROOM: u64 = 1 << 30;
/// With less room than this it is full.
const NO_ROOM: u64 = 64 << 20;
/// More than this should have been put into the file.
const LARGE_WAL: u64 = 256 << 20;
/// Clocks that are further apart are wrong, in seconds: signed users expire, and days begin elsewhere.
const FAR_APART: i64 = 60;
/// How far back it is looked for ids.
const DAYS: i64 = 7;
/// How long our own server may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// What Anthropic's keys begin with.
const KEY_BEGINS: &str = "sk-ant-";

/// The arguments of `reprise doctor`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Show Anthropic the key, too, to see whether it is taken
    #[arg(long)]
    online: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(
    arguments: &Arguments,
    global: &GlobalFlags,
    env: Env<'_>,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let found = runtime.block_on(examine(arguments, global, env));
    print::report(&found, arguments.json, out)?;
    Ok(if found.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn examine(arguments: &Arguments, global: &GlobalFlags, env: Env<'_>) -> Diagnosis {
    let mut found = Diagnosis::default();
    found.ok("version", env!("CARGO_PKG_VERSION"));
    let config = match Config::load(&Flags::default(), global, env) {
        Ok(config) => config,
        Err(error) => {
            let advice = match error {
                Error::Unprotected { .. } => "set REPRISE_API_KEY to any long random text",
                _ => "mend it; `reprise serve --help` has all settings",
            };
            found.wrong("settings", error.to_string(), advice);
            return found;
        }
    };
    settings(&config, global, env, &mut found);
    key(&config, &mut found);
    upstream(&config, arguments.online, &mut found).await;
    ledger(&config.database_url, &mut found).await;
    match Config::local_address(global, env) {
        Ok(address) => port(address, &mut found).await,
        Err(error) => found.wrong("port", error.to_string(), "give another with --port"),
    }
    found
}

fn settings(config: &Config, global: &GlobalFlags, env: Env<'_>, found: &mut Diagnosis) {
    let path = global.config.clone().or_else(|| env("REPRISE_CONFIG").map(Into::into));
    let exposed = path.as_deref().filter(|path| {
        let has_key = std::fs::read_to_string(path).is_ok_and(|text| {
            text.lines().any(|line| line.contains("_key") || line.contains("_secret"))
        });
        has_key && std::fs::metadata(path).is_ok_and(|file| checkup::is_open_to_others(&file))
    });
    match (exposed, &path) {
        (Some(path), _) => found.wrong(
            "settings",
            format!("{} has a key in it, and others can read it", path.display()),
            format!("chmod 600 {}", path.display()),
        ),
        (None, Some(path)) => found.ok("settings", path.display().to_string()),
        (None, None) => found.ok("settings", "no file; flags, environment and defaults"),
    }
    let is_local = config.host.is_loopback();
    match (&config.client_key, is_local) {
        (Some(_), _) => found.ok("clients", "must show a key"),
        (None, true) => found.ok("clients", "need no key; only this machine can reach the server"),
        (None, false) => found.note(
            "clients",
            format!("need no key, and others can reach {}", config.host),
            "set REPRISE_API_KEY, unless anyone may spend your money",
        ),
    }
}

/// The operator's key, without showing any of it.
fn key(config: &Config, found: &mut Diagnosis) {
    let Some(key) = &config.anthropic_key else {
        return found.note(
            "key",
            "none: each client must send its own",
            "set ANTHROPIC_API_KEY to ask with one key for all",
        );
    };
    let key = key.expose_secret();
    let is_clean = key.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_clean {
        let advice = "copy it anew: there is a space, a quote or a line break too many";
        found.wrong("key", "has characters that no key has", advice);
    } else if !key.starts_with(KEY_BEGINS) {
        found.note(
            "key",
            format!("does not begin with {KEY_BEGINS}"),
            "take it from console.anthropic.com, unless a gateway of your own wants another",
        );
    } else {
        found.ok("key", "is given, and looks like one");
    }
}

async fn upstream(config: &Config, online: bool, found: &mut Diagnosis) {
    let base = &config.anthropic_base_url;
    let key = config.anthropic_key.as_ref().filter(|_| online);
    let ProbeResult { outcome, date } = match upstream::probe(base, key).await {
        Ok(result) => result,
        Err(error) => {
            let why = format!("{:#}", anyhow::Error::from(error));
            let advice = "check the network, DNS, a proxy (HTTPS_PROXY) and ANTHROPIC_BASE_URL; what was recorded is \
                 served all the same";
            return found.wrong("upstream", format!("{base}: {why}"), advice);
        }
    };
    match (outcome, key) {
        (ProbeOutcome::Accepted, Some(_)) => found.ok("upstream", format!("{base} takes the key")),
        (ProbeOutcome::KeyRejected, Some(_)) => found.wrong(
            "upstream",
            format!("{base} does not take the key"),
            "make a new one at console.anthropic.com, and set ANTHROPIC_API_KEY",
        ),
        (ProbeOutcome::Accepted | ProbeOutcome::KeyRejected, None) => {
            let more = if online { "" } else { "; --online shows it the key, too" };
            found.ok("upstream", format!("{base} answers{more}"));
        }
        (ProbeOutcome::Unavailable(status), _) => found.note(
            "upstream",
            format!("{base} answers with status {status}"),
            "try again later; status.anthropic.com says more",
        ),
        (ProbeOutcome::NotAnthropic(status), _) => found.wrong(
            "upstream",
            format!("{base} answers with status {status}, as Anthropic would not"),
            "check ANTHROPIC_BASE_URL; a gateway of your own that lists no models is no harm",
        ),
    }
    let Some(date) = date else { return };
    let apart = (answer::now().0 - date.0) / 1000;
    if apart.abs() > FAR_APART {
        found.wrong(
            "clock",
            format!(
                "is {} s {} upstream's",
                apart.abs(),
                if apart > 0 { "ahead of" } else { "behind" }
            ),
            "set it by NTP: days, ages of answers and signed users depend on it",
        );
    } else {
        found.ok("clock", format!("within {FAR_APART} s of upstream's"));
    }
}

async fn ledger(url: &str, found: &mut Diagnosis) {
    let files = match checkup::files(url) {
        Ok(Some(files)) => files,
        Ok(None) => {
            return found.note(
                "ledger",
                "is in memory: nothing is kept",
                "give a file with --database-url",
            );
        }
        Err(error) => {
            return found.wrong(
                "ledger",
                error.to_string(),
                "give one like sqlite:///path/to/reprise.db",
            );
        }
    };
    let at = files.path.display();
    match files.bytes {
        None => found.ok("ledger", format!("{at} will be made at the first start")),
        Some(bytes) => {
            if files.open_to_others {
                found.wrong(
                    "permissions",
                    format!("others can read {at}"),
                    format!("chmod 600 {at}"),
                );
            } else {
                found.ok("permissions", "only the owner can read the ledger");
            }
            tables(url, &format!("{at}, {}", size(bytes + files.wal_bytes)), found).await;
        }
    }
    if files.wal_bytes > LARGE_WAL {
        found.note(
            "wal",
            format!("{} are not in the file yet", size(files.wal_bytes)),
            "something reads for very long; a restart of the server puts it in order",
        );
    }
    room(&files.path, found);
}

async fn tables(url: &str, file: &str, found: &mut Diagnosis) {
    let reader = match Reader::open(url).await {
        Ok(reader) => reader,
        Err(error) => {
            let advice = match error {
                store::Error::Older { .. } => "start the server once",
                store::Error::Newer { .. } => "install the newer version again",
                _ => "give another with --database-url, or restore a copy",
            };
            return found.wrong("ledger", format!("{file}: {error}"), advice);
        }
    };
    match reader.damage().await {
        Ok(damage) if damage.is_empty() => found.ok("ledger", format!("{file}, whole")),
        Ok(damage) => found.wrong(
            "ledger",
            format!("{file}: {}", damage.join("; ")),
            "stop the server and restore a copy, or save what can be read: sqlite3 reprise.db .recover",
        ),
        Err(error) => found.wrong("ledger", format!("{file}: {error}"), "restore a copy"),
    }
    let since = UnixMillis(answer::now().0 - DAYS * 24 * 60 * 60 * 1000);
    match reader.ids(since).await {
        Ok(ids) => open_webui(ids, found),
        Err(error) => {
            found.wrong("open webui", error.to_string(), "see what is said of the ledger");
        }
    }
}

/// Whether Open WebUI says who asks.
fn open_webui(ids: checkup::Ids, found: &mut Diagnosis) {
    let checkup::Ids { calls, with_chat, with_message, with_user, tasks } = ids;
    let told = format!(
        "{} in {DAYS} days, {tasks} of them tasks; with a chat {with_chat}, with a message or task {with_message}, \
         with a user {with_user}",
        counted(calls, "call"),
    );
    if calls == 0 {
        return found.note(
            "open webui",
            format!("has not called in {DAYS} days"),
            format!("its connection wants these headers: {HEADER_BOX}"),
        );
    }
    if [with_chat, with_message, with_user].iter().all(|with| *with == calls) {
        return found.ok("open webui", told);
    }
    let advice = format!(
        "some calls do not say who asks, so chats cannot be answered from the ledger; paste into the headers of its \
         connection: {HEADER_BOX}"
    );
    found.note("open webui", told, advice);
}

fn room(ledger: &Path, found: &mut Diagnosis) {
    let folder = ledger.ancestors().skip(1).find(|folder| folder.is_dir());
    let folder = folder.unwrap_or(Path::new("."));
    let Ok(disk) = rustix::fs::statvfs(folder) else { return };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let told = format!("{} are free at {}", size(free), folder.display());
    match free {
        ..NO_ROOM => found.wrong("disk", told, "make room, or `reprise prune --max-size`"),
        NO_ROOM..LITTLE_ROOM => {
            found.note("disk", told, "make room soon, or set a limit: `reprise prune --max-size`");
        }
        _ => found.ok("disk", told),
    }
}

/// Whether the port is free, or ours.
async fn port(address: std::net::SocketAddr, found: &mut Diagnosis) {
    #[derive(Deserialize)]
    struct Alive {
        name: String,
        version: String,
    }

    let Err(taken) = tokio::net::TcpListener::bind(address).await else {
        return found.ok("port", format!("{address} is free; no server runs there"));
    };
    let alive = async {
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().ok()?;
        let body = client.get(format!("http://{address}/health")).send().await.ok()?.bytes().await;
        serde_json::from_slice::<Alive>(&body.ok()?).ok().filter(|alive| alive.name == "reprise")
    };
    match alive.await {
        Some(Alive { version, .. }) if version == env!("CARGO_PKG_VERSION") => {
            found.ok("port", format!("reprise {version} serves on {address}"));
        }
        Some(Alive { version, .. }) => found.note(
            "port",
            format!("reprise {version} serves on {address}, another version than this"),
            "restart the server",
        ),
        None => found.wrong(
            "port",
            format!("{address} cannot be listened on, and no reprise answers there: {taken}"),
            "choose another with --port or REPRISE_PORT, or stop what runs there",
        ),
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn size(bytes: u64) -> String {
    match bytes {
        ..1_048_576 => format!("{:.0} KiB", bytes as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}
