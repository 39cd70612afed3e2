//! Sessions as fixtures from the page: the files of the command, in one archive.

use std::{collections::BTreeMap, fs, io::Read, path::Path};

use serde_json::json;

use super::{
    browser::sound,
    data::get,
    guard::page,
    sessions::{chats, recorded, says, user},
};
use crate::{
    fixtures::recorded::asks,
    support::{app::App, binary::command, browser::Browser},
};

async fn archive(app: &App, id: &str) -> Vec<u8> {
    let mut reply = page(app).get(&format!("/page/sessions/{id}/fixtures")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/zip"));
    let disposition = reply.header("content-disposition").expect("a name");
    assert!(disposition.starts_with("attachment; filename*=UTF-8''"), "{disposition}");
    reply.rest().await.0.to_vec()
}

/// The files of an archive, by their paths.
fn unpacked(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let archive = rawzip::ZipArchive::from_slice(archive).expect("an archive");
    let mut entries = archive.entries();
    let mut files = BTreeMap::new();
    while let Some(entry) = entries.next_entry().expect("an entry") {
        let path = entry.file_path().try_normalize().expect("a path").as_str().to_owned();
        let packed = archive.get_entry(entry.wayfinder()).expect("its place");
        let mut bytes = Vec::new();
        let inflated = flate2::bufread::DeflateDecoder::new(packed.data());
        packed.verifying_reader(inflated).read_to_end(&mut bytes).expect("its bytes");
        assert!(files.insert(path, bytes).is_none(), "each file is there once");
    }
    files
}

/// The files below a folder, by their paths in it.
fn on_disk(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).expect("within").to_str().expect("text");
            files.insert(name.to_owned(), fs::read(&path).expect("a file"));
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_archive_has_the_files_of_the_command() {
    let (setup, app) = recorded(&chats()).await;
    let into = setup.folder().join("exported");
    let mut export = command(&setup);
    export.args(["fixtures", "export", "--force", "--session", "chat/1", "--into"]).arg(&into);
    let run = move || export.output().expect("the program");
    let output = tokio::task::spawn_blocking(run).await.expect("its output");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let first = archive(&app, "chat%2F1").await;
    let files = unpacked(&first);
    assert_eq!(files, on_disk(&into));
    assert_eq!(first, archive(&app, "chat%2F1").await, "it is the same again");
    let summary = get(&app, "/page/sessions/chat%2F1/export").await;
    let is_fixture = |path: &&String| Path::new(path).extension().is_some_and(|end| end == "json");
    let fixtures = files.keys().filter(is_fixture).count();
    assert_eq!((&summary["folder"], &summary["fixtures"]), (&json!("a-pixel"), &json!(fixtures)));
    assert_eq!((&summary["refused"], &summary["left_out"]), (&json!([]), &json!([])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_taken_out_and_what_cannot_be_a_fixture_is_named() {
    let secret = format!("ghp_{}", "a1B2".repeat(9));
    let calls = [
        asks(json!([user(&format!("My token is {secret}"))]), says(&secret)).chat("c"),
        asks(json!([user("A long story")]), says("Once upon a time")).chat("c").cut(3),
        asks(json!([user("Cut alone")]), says("Once")).chat("only").cut(3),
    ];
    let (_, app) = recorded(&calls).await;
    let files = unpacked(&archive(&app, "c").await);
    assert_eq!(files.len(), 1);
    for (path, bytes) in &files {
        let text = String::from_utf8_lossy(bytes);
        assert!(!text.contains(&secret) && !path.contains("ghp"), "{path}: {text}");
        assert!(text.contains("[redacted:github-token]"), "{text}");
    }
    let summary = get(&app, "/page/sessions/c/export").await;
    let left_out = json!([{ "number": 2, "why": "its answer is not whole" }]);
    assert_eq!((&summary["fixtures"], &summary["left_out"]), (&json!(1), &left_out));
    let empty = page(&app).get("/page/sessions/only/fixtures").await;
    assert_eq!(empty.status, 404);
    assert_eq!(empty.json().await["error"]["code"], "no_fixtures");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_reads_what_is_taken_out_before_the_archive_is_saved() {
    let Some(mut browser) = Browser::start().await else { return };
    let (_, app) = recorded(&chats()).await;
    browser.open(&format!("{}/#/sessions/chat%2F1", app.url())).await;
    browser.eval("[...document.querySelectorAll('summary')].find((one) => one.textContent === 'Export as fixtures').click()").await;
    browser.until("!!document.querySelector('.download')").await;
    assert_eq!(
        browser.eval("document.querySelector('.download').getAttribute('href')").await,
        json!("/page/sessions/chat%2F1/fixtures")
    );
    sound(&mut browser, "export").await;
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
