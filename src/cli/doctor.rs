//! `reprise doctor`: checks everything that a server depends on, and advises.

use std::{path::Path, process::ExitCode};

use bytesize::ByteSize;
use clap::Args;
use secrecy::ExposeSecret;

use super::{
    Console, VERSION, console,
    listening::{Health, health},
    run::block_on,
};
use crate::{
    answer,
    config::{Config, Env, Error, Flags, UnknownVariable, unknown_variables},
    domain::{exchange::UnixMillis, open_webui::HEADER_BOX},
    report::{counted, doctor::Diagnosis, would_delete},
    server,
    store::{self, Reader, checkup},
    upstream::{self, ProbeOutcome, ProbeResult},
};

/// Free space below which the disk is soon full.
const LOW_SPACE: u64 = 1 << 30;
/// Free space below which the disk counts as full.
const NO_SPACE: u64 = 64 << 20;
/// Size of a write-ahead log that should have been checkpointed.
const LARGE_WAL: u64 = 256 << 20;
/// Largest difference between clocks, in seconds: signed users expire, and days begin elsewhere.
const CLOCK_TOLERANCE: i64 = 60;
/// Days of calls that are checked for ids.
const DAYS: i64 = 7;
/// Prefix of Anthropic's keys.
const KEY_PREFIX: &str = "sk-ant-";

/// The arguments of `reprise doctor`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Send the key to Anthropic to check that it is valid
    #[arg(long)]
    online: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(
    arguments: &Arguments,
    flags: &Flags,
    env: Env<'_>,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    let found = block_on(async { anyhow::Ok(examine(arguments, flags, env).await) })?;
    console::report(&found, arguments.json, console)?;
    Ok(if found.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn examine(arguments: &Arguments, flags: &Flags, env: Env<'_>) -> Diagnosis {
    let mut found = Diagnosis::default();
    found.ok("version", VERSION);
    variables(env, &mut found);
    let config = match Config::load_server(flags, env) {
        Ok(config) => config,
        Err(error) => {
            let advice = match error {
                Error::Unprotected { .. } => "set REPRISE_API_KEY to any long random text",
                _ => "correct it; `reprise serve --help` lists all settings",
            };
            found.wrong("settings", error.to_string(), advice);
            return found;
        }
    };
    settings(&config, &mut found);
    key(&config, &mut found);
    upstream(&config, arguments.online, &mut found).await;
    let url = config.ledger().unwrap_or_default();
    permissions(&config, store::file(url).as_deref(), &mut found);
    ledger(url, &mut found).await;
    retention(&config, url, &mut found).await;
    port(config.local_address(), &mut found).await;
    found
}

/// Checks that all variables that look like settings are some.
fn variables(env: Env<'_>, found: &mut Diagnosis) {
    for UnknownVariable { name, nearest } in unknown_variables(env) {
        let what = format!("{name} is no setting and has no effect");
        match nearest {
            Some(nearest) => found.wrong("settings", what, format!("did you mean {nearest}?")),
            None => {
                found.note("settings", what, "remove it, unless another version needs it");
            }
        }
    }
}

fn settings(config: &Config, found: &mut Diagnosis) {
    let path = config.file.as_deref();
    let exposed = path.filter(|path| {
        let has_key = std::fs::read_to_string(path).is_ok_and(|text| {
            text.lines().any(|line| line.contains("_key") || line.contains("_secret"))
                || !config.keys.is_empty()
        });
        has_key && std::fs::metadata(path).is_ok_and(|file| checkup::is_open_to_others(&file))
    });
    match (exposed, path) {
        (Some(path), _) => found.wrong(
            "settings",
            format!("{} holds a key, and other users can read it", path.display()),
            format!("chmod 600 {}", path.display()),
        ),
        (None, Some(path)) => found.ok("settings", path.display().to_string()),
        (None, None) => found.ok("settings", "no file; flags, environment and defaults"),
    }
    let is_local = config.host.is_loopback();
    match (config.requires_key(), is_local) {
        (true, _) => found.ok("clients", "must send a key"),
        (false, true) => found.ok("clients", "need no key; only this machine can reach the server"),
        (false, false) => found.note(
            "clients",
            format!("need no key, and others can reach {}", config.host),
            "set REPRISE_API_KEY, unless anyone may spend your money",
        ),
    }
}

/// Checks the key for Anthropic, without showing any part of it.
fn key(config: &Config, found: &mut Diagnosis) {
    let Some(key) = &config.anthropic_key else {
        return missing_key(config, found);
    };
    let key = key.expose_secret();
    let is_clean = key.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_clean {
        let advice = "copy it again: it contains a space, a quote or a line break";
        found.wrong("key", "contains characters that are not allowed in a key", advice);
    } else if !key.starts_with(KEY_PREFIX) {
        found.note(
            "key",
            format!("does not begin with {KEY_PREFIX}"),
            "copy it from console.anthropic.com, unless your own gateway expects another",
        );
    } else {
        found.ok("key", "is set and well-formed");
    }
}

fn missing_key(config: &Config, found: &mut Diagnosis) {
    let advice = "set ANTHROPIC_API_KEY; console.anthropic.com creates one";
    // Clients have one place for a key, and this server wants its own there.
    if config.requires_key() {
        let what =
            "none for Anthropic, and clients send the key of this server: no request can be sent";
        return found.wrong("key", what, advice);
    }
    let what = "none for Anthropic: only clients that send their own are answered";
    found.note("key", what, advice);
}

/// Checks that other users cannot read the files of client keys, nor exchange files of the ledger.
fn permissions(config: &Config, ledger: Option<&Path>, found: &mut Diagnosis) {
    let open =
        |path: &&Path| std::fs::metadata(path).is_ok_and(|file| checkup::is_open_to_others(&file));
    for path in config.keys.iter().filter_map(|key| key.file.as_deref()).filter(open) {
        let path = path.display();
        let what = format!("other users can read {path}, which has a client key");
        found.wrong("permissions", what, format!("chmod 600 {path}"));
    }
    let folder = ledger.and_then(Path::parent).filter(|folder| checkup::is_exposed_folder(folder));
    if let Some(folder) = folder {
        let folder = folder.display();
        let what = format!("other users can exchange files in {folder}, the folder of the ledger");
        found.wrong("permissions", what, format!("chmod go-w {folder}"));
    }
}

async fn upstream(config: &Config, online: bool, found: &mut Diagnosis) {
    let base = &config.anthropic_base_url;
    let key = config.anthropic_key.as_ref().filter(|_| online);
    let ProbeResult { outcome, date } = match upstream::probe(base, key).await {
        Ok(result) => result,
        Err(error) => {
            let why = format!("{:#}", anyhow::Error::from(error));
            let advice = "check the network, DNS, a proxy (HTTPS_PROXY) and ANTHROPIC_BASE_URL; recorded answers are \
                 served nevertheless";
            return found.wrong("upstream", format!("{base}: {why}"), advice);
        }
    };
    match (outcome, key) {
        (ProbeOutcome::Accepted, Some(_)) => {
            found.ok("upstream", format!("{base} accepts the key"));
        }
        (ProbeOutcome::KeyRejected, Some(_)) => found.wrong(
            "upstream",
            format!("{base} rejects the key"),
            "create a new one at console.anthropic.com, and set ANTHROPIC_API_KEY",
        ),
        (ProbeOutcome::Accepted | ProbeOutcome::KeyRejected, None) => {
            let more = if online { "" } else { "; --online checks the key, too" };
            found.ok("upstream", format!("{base} answers{more}"));
        }
        (ProbeOutcome::Unavailable(status), _) => found.note(
            "upstream",
            format!("{base} answers with status {status}"),
            "try again later; see status.anthropic.com",
        ),
        (ProbeOutcome::NotAnthropic(status), _) => found.wrong(
            "upstream",
            format!("{base} answers with status {status}, unlike Anthropic"),
            "check ANTHROPIC_BASE_URL; a gateway of your own that lists no models is fine",
        ),
    }
    let Some(date) = date else { return };
    let difference = (answer::now().0 - date.0) / 1000;
    if difference.abs() > CLOCK_TOLERANCE {
        found.wrong(
            "clock",
            format!(
                "is {} s {} upstream's",
                difference.abs(),
                if difference > 0 { "ahead of" } else { "behind" }
            ),
            "set it by NTP: days, ages of answers and signed users depend on it",
        );
    } else {
        found.ok("clock", format!("within {CLOCK_TOLERANCE} s of upstream's"));
    }
}

async fn ledger(url: &str, found: &mut Diagnosis) {
    let files = match checkup::files(url).await {
        Ok(Some(files)) => files,
        Ok(None) => {
            if let Some(server) = checkup::server(url) {
                return tables(url, &server, found).await;
            }
            return found.note(
                "ledger",
                "is in memory: nothing is stored",
                "name a file with --database-url",
            );
        }
        Err(error) => {
            let advice = match error {
                store::Error::Scheme | store::Error::Url(_) => {
                    "give an address such as sqlite:///path/to/reprise.db"
                }
                store::Error::DanglingLink { .. } => "mount what it leads to, or remove the link",
                store::Error::Beside { .. } => {
                    "find out which program made it; the ledger is not opened with it"
                }
                _ => "nothing is written there; name another file with --database-url",
            };
            return found.wrong("ledger", error.to_string(), advice);
        }
    };
    let at = match &files.target {
        Some(target) => format!("{} (a link to {})", files.path.display(), target.display()),
        None => files.path.display().to_string(),
    };
    if files.other_names > 0 {
        found.note(
            "links",
            format!("{at} has {} (hard links)", counted(files.other_names, "other name")),
            "use only this one: under another, SQLite does not find the write-ahead log",
        );
    }
    match files.bytes {
        None => found.ok("ledger", format!("{at} is created at the first start")),
        Some(bytes) => {
            let open: Vec<_> =
                files.open_to_others.iter().map(|path| path.display().to_string()).collect();
            if open.is_empty() {
                found.ok("permissions", "only the owner can read the ledger");
            } else {
                let open = open.join(" ");
                let advice = format!("chmod 600 {open}");
                found.wrong("permissions", format!("other users can read {open}"), advice);
            }
            tables(url, &format!("{at}, {}", size(bytes + files.wal_bytes)), found).await;
        }
    }
    if files.wal_bytes > LARGE_WAL {
        found.note(
            "wal",
            format!("{} are not checkpointed yet", size(files.wal_bytes)),
            "a reader has been open for very long; restart the server",
        );
    }
    disk_space(&files.path, found);
}

async fn tables(url: &str, file: &str, found: &mut Diagnosis) {
    let reader = match Reader::open(url).await {
        Ok(reader) => reader,
        Err(error) => {
            let advice = match error {
                store::Error::Older { .. } => "start the server once",
                store::Error::Newer { .. } => "install the newer version again",
                _ => "name another with --database-url, or restore a backup",
            };
            return found.wrong("ledger", format!("{file}: {error}"), advice);
        }
    };
    match reader.damage().await {
        Ok(damage) if damage.is_empty() => found.ok("ledger", format!("{file}, intact")),
        Ok(damage) => found.wrong(
            "ledger",
            format!("{file}: the file is damaged; SQLite finds: {}", damage.join("; ")),
            "stop the server and restore a backup, or recover the file: sqlite3 reprise.db .recover",
        ),
        Err(error) => found.wrong("ledger", format!("{file}: {error}"), "restore a backup"),
    }
    match reader.lacks_newest(url).await {
        Ok(false) => {}
        Ok(true) => found.wrong(
            "wal",
            "rows that were committed last are not in the ledger: its write-ahead log was removed, cut or exchanged",
            "restore a backup if you have a newer one; the next start goes on without these rows",
        ),
        Err(error) => found.wrong("wal", error.to_string(), "see the ledger above"),
    }
    let since = UnixMillis(answer::now().0 - DAYS * 24 * 60 * 60 * 1000);
    match reader.ids(since).await {
        Ok(ids) => open_webui(ids, found),
        Err(error) => {
            found.wrong("open webui", error.to_string(), "see the ledger above");
        }
    }
}

/// Previews the next run of the retention.
async fn retention(config: &Config, url: &str, found: &mut Diagnosis) {
    let Some(limits) = server::limits(config.keep) else { return };
    let preview = async {
        let reader = Reader::open(url).await?;
        let note = checkup::retention_note(url).await?;
        Ok::<_, store::Error>((reader.would_prune(&limits, answer::now()).await?, note))
    };
    // A ledger that cannot be read is told above.
    let Ok((preview, note)) = preview.await else { return };
    if !preview.pruned.has_deleted() {
        return found.ok("retention", "nothing is too old or too large");
    }
    let deletes = format!("the next run deletes {}", would_delete(&preview));
    if !limits.is_stricter_than(&note.applied) {
        return found.ok("retention", deletes);
    }
    found.note(
        "retention",
        format!("is stricter than before: {deletes}"),
        "correct keep_bodies, keep_totals or max_size to keep it; a server waits for an hour after its first start with \
         them, `reprise prune` does not",
    );
}

/// Checks that Open WebUI sends the ids of its callers.
fn open_webui(ids: checkup::Ids, found: &mut Diagnosis) {
    let checkup::Ids { calls, with_chat, with_message, with_user, tasks } = ids;
    let summary = format!(
        "{} in {DAYS} days, {tasks} of them tasks; with a chat {with_chat}, with a message or task {with_message}, \
         with a user {with_user}",
        counted(calls, "call"),
    );
    if calls == 0 {
        return found.note(
            "open webui",
            format!("no calls in {DAYS} days"),
            format!("set these headers in its connection: {HEADER_BOX}"),
        );
    }
    if [with_chat, with_message, with_user].iter().all(|with| *with == calls) {
        return found.ok("open webui", summary);
    }
    let advice = format!(
        "some calls carry no ids, so chats cannot be answered from the ledger; set these headers in its \
         connection: {HEADER_BOX}"
    );
    found.note("open webui", summary, advice);
}

fn disk_space(ledger: &Path, found: &mut Diagnosis) {
    let folder = ledger.ancestors().skip(1).find(|folder| folder.is_dir());
    let folder = folder.unwrap_or(Path::new("."));
    let Ok(disk) = rustix::fs::statvfs(folder) else { return };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let summary = format!("{} free at {}", size(free), folder.display());
    match free {
        ..NO_SPACE => {
            found.wrong("disk", summary, "free some space, or `reprise prune --max-size`");
        }
        NO_SPACE..LOW_SPACE => {
            found.note(
                "disk",
                summary,
                "free some space soon, or set a limit: `reprise prune --max-size`",
            );
        }
        _ => found.ok("disk", summary),
    }
}

/// Checks that the port is free, or that a server of this version has it.
async fn port(address: std::net::SocketAddr, found: &mut Diagnosis) {
    let Err(taken) = tokio::net::TcpListener::bind(address).await else {
        return found.ok("port", format!("{address} is free; no server runs there"));
    };
    match health(address).await {
        Some(Health { version, .. }) if version == env!("CARGO_PKG_VERSION") => {
            found.ok("port", format!("reprise {version} serves on {address}"));
        }
        Some(Health { version, .. }) => found.note(
            "port",
            format!("reprise {version} serves on {address}, not this version"),
            "restart the server",
        ),
        None => found.wrong(
            "port",
            format!("cannot listen on {address}, and no reprise answers there: {taken}"),
            "choose another port with REPRISE_PORT, or stop the program that uses it",
        ),
    }
}

fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}
