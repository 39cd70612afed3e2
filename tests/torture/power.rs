//! The power fails. From the trace of all writes and syncs comes what the disk could hold at any moment: everything that
//! was synced, and of what was written since, any part in any order, down to the sector.
//!
//! As on the usual file systems (ext4, xfs, btrfs), to sync a new file makes its name last; a file that was removed may
//! be there again until the folder is synced.

use std::{collections::BTreeMap, fs, future::pending, path::Path};

use reprise::{domain::exchange::UnixMillis, store};
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use super::{
    disk::{Change, LedgerFile},
    rounds::{Chance, Rounds},
    traffic::{self, Seen, Ticks},
    world::World,
};
use crate::support::{app::Setup, binary::Binary, rows};

const SECTOR: usize = 512;

/// A file, as far as the disk has it, and what the disk may or may not have.
#[derive(Debug, Default, Clone)]
struct OnDisk {
    content: Vec<u8>,
    is_named: bool,
    pending: Vec<Change>,
    is_removed: bool,
}

/// All files of a ledger.
#[derive(Debug, Default)]
struct Image(BTreeMap<&'static str, OnDisk>);

impl Image {
    fn take(&mut self, file: LedgerFile, change: Change) {
        if file == LedgerFile::Folder {
            self.0.retain(|_, file| !file.is_removed);
            return self.0.values_mut().for_each(|file| file.is_named = true);
        }
        let file = self.0.entry(file.name()).or_default();
        match change {
            Change::Create => *file = OnDisk::default(),
            Change::Unlink => file.is_removed = true,
            Change::Sync => {
                let pending = std::mem::take(&mut file.pending);
                for change in &pending {
                    apply(&mut file.content, change);
                }
                file.is_named = true;
            }
            change => file.pending.push(change),
        }
    }

    /// Writes what the disk could hold if the power failed now.
    fn write(&self, folder: &Path, chance: &mut Chance) {
        let order = chance.below(4);
        for (name, file) in &self.0 {
            let is_there = file.is_named || chance.one_in(2);
            if !is_there || (file.is_removed && chance.one_in(2)) {
                continue;
            }
            let mut content = file.content.clone();
            let prefix = chance.below(file.pending.len() + 1);
            for (position, change) in file.pending.iter().enumerate() {
                match order {
                    0 => {}
                    1 if position >= prefix => {}
                    1 | 2 => apply(&mut content, change),
                    _ if chance.one_in(2) => apply(&mut content, change),
                    _ => tear(&mut content, change, chance),
                }
            }
            fs::write(folder.join(name), content).expect("a file of the image");
        }
    }
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { offset, data } => {
            let offset = usize::try_from(*offset).expect("a small file");
            let end = offset + data.len();
            content.resize(content.len().max(end), 0);
            content[offset..end].copy_from_slice(data);
        }
        Change::Truncate(length) => {
            content.resize(usize::try_from(*length).expect("a small file"), 0);
        }
        Change::Sync | Change::Unlink | Change::Create => {}
    }
}

/// Some sectors of a write, in no order.
fn tear(content: &mut Vec<u8>, write: &Change, chance: &mut Chance) {
    let Change::Write { offset, data } = write else { return };
    for (position, sector) in data.chunks(SECTOR).enumerate() {
        if chance.one_in(2) {
            let offset = offset + (position * SECTOR) as u64;
            apply(content, &Change::Write { offset, data: sector.to_vec() });
        }
    }
}

#[tokio::test]
async fn what_was_seen_survives_a_power_failure_with_full_durability() {
    fails_at_any_moment("power, full", "full").await;
}

#[tokio::test]
async fn a_power_failure_with_normal_durability_leaves_a_sound_ledger() {
    fails_at_any_moment("power, normal", "normal").await;
}

async fn fails_at_any_moment(name: &'static str, durability: &str) {
    let mut rounds = Rounds::new(name, 1);
    let (mut failures, mut missing) = (0, 0);
    while rounds.next() {
        let chance = &mut rounds.chance.clone();
        rounds.chance.next();
        let mut world = World::new(chance).await.set("REPRISE_DURABILITY", durability);
        let mut command = world.command(&["serve"]);
        world.disk.traced(&mut command);
        let started = Binary::try_start(&world.setup, command).await;
        let mut binary = started.unwrap_or_else(|ended| panic!("{ended}: {}", world.log()));
        let url = binary.url().to_owned();
        for _ in 0..4 {
            let orders = traffic::orders(&world, chance, 8);
            world.traffic(&url, orders, &Ticks::default(), pending()).await;
        }
        // The last connection to close moves all into the database, and removes the log.
        if chance.one_in(2) {
            world.stop(binary).await;
        } else {
            binary.kill();
        }
        world.killed();
        let changes = world.disk.changes();
        let end = changes.last().expect("changes").0;
        let mut moments: Vec<u64> = (0..40).map(|_| chance.next() % (end + 1)).collect();
        // Right after an answer was seen is when it would hurt.
        moments.extend(world.seen.iter().map(|seen| seen.at));
        moments.sort_unstable();
        let (mut image, mut changes) = (Image::default(), changes.into_iter().peekable());
        for moment in moments {
            while let Some((_, file, change)) = changes.next_if(|(after, ..)| *after <= moment) {
                image.take(file, change);
            }
            let folder = tempfile::tempdir().expect("a folder");
            image.write(folder.path(), chance);
            let seen: Vec<&Seen> = world.seen.iter().filter(|seen| seen.at <= moment).collect();
            let absent = check(&folder.path().join("ledger.db"), &seen).await;
            if durability == "full" && !absent.is_empty() {
                let kept = folder.keep();
                panic!("{moment} of {end}, in {}: {absent:?} of {seen:?}", kept.display());
            }
            missing += absent.len();
            failures += 1;
            rounds.tally.checks += 1;
            if chance.one_in(20) {
                start_on(&world, folder, if durability == "full" { &seen } else { &[] }).await;
            }
        }
        rounds.tally.seen += world.seen.len();
        rounds.tally.tries += world.upstream.messages();
    }
    rounds.tally.more = format!("{failures} power failures, {missing} answers missing after them");
}

/// The ledger is sound; returns what it does not have of what was seen.
async fn check(path: &Path, seen: &[&Seen]) -> Vec<String> {
    const COMPLETE: &str =
        "select exchange.id from exchange join call on call.exchange = exchange.id";
    if !path.exists() {
        return seen.iter().map(|seen| seen.exchange.clone()).collect();
    }
    let options = SqliteConnectOptions::new().filename(path);
    let mut conn: SqliteConnection = options.connect().await.expect("a database");
    let text = async |conn: &mut SqliteConnection, sql: &'static str| {
        let rows = sqlx::query_scalar::<_, String>(sql).fetch_all(conn).await;
        rows.unwrap_or_else(|error| panic!("{sql}: {error}, in {}", path.display()))
    };
    assert_eq!(text(&mut conn, "pragma integrity_check").await, ["ok"]);
    let broken = "select \"table\" from pragma_foreign_key_check";
    assert_eq!(text(&mut conn, broken).await, [""; 0]);
    let tables = text(&mut conn, "select name from sqlite_schema where name = 'exchange'").await;
    if !tables.is_empty() {
        // What stands in the journal is restored, as a start or a report does.
        let url = format!("sqlite://{}", path.display());
        store::catch_up(&url, rows::owner(7), UnixMillis(1)).await;
    }
    let found = if tables.is_empty() { Vec::new() } else { text(&mut conn, COMPLETE).await };
    conn.close().await.expect("a clean end");
    let is_absent = |seen: &&&Seen| !found.contains(&seen.exchange);
    seen.iter().filter(is_absent).map(|seen| seen.exchange.clone()).collect()
}

/// The program starts on what the disk holds, and answers from it.
async fn start_on(world: &World, folder: TempDir, seen: &[&Seen]) {
    let mut setup = Setup::within(&world.upstream.url(), folder);
    for name in ["REPRISE_API_KEY", "REPRISE_ADMIN_KEY"] {
        setup = setup.set(name, &world.setup.variables()[name]);
    }
    let binary = Binary::start(&setup).await;
    assert_eq!(setup.ledger().count("running").await, 0);
    let answered = seen.iter().filter(|seen| seen.text.is_some());
    for seen in answered.take(3) {
        let client = binary.client();
        let (ticks, key) = (Ticks::default(), &world.keys.client);
        let reading = traffic::Reading { client: &client, key, ticks: &ticks, disk: &world.disk };
        let again = seen.order.follow(&reading).await.seen.expect("an answer");
        assert_eq!((again.how, &again.text), ("hit", &seen.text));
    }
}
