//! Links of the documentation: the README says which test holds a promise, and none of them may be renamed behind its
//! back.

use std::{fs, path::Path};

const DOCUMENTS: [&str; 3] = ["README.md", ".github/CONTRIBUTING.md", ".github/SECURITY.md"];

/// The targets of all Markdown links.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0))
}

/// The reason why a link of a document leads nowhere; `None` for a good one. The fragment of a Rust file is a function's
/// name, which must be that of a test.
fn broken(folder: &Path, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with('#') {
        return None;
    }
    let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
    let file = folder.join(path);
    if !file.exists() {
        return Some(format!("{target}: no such file"));
    }
    if fragment.is_empty() || file.extension().is_none_or(|extension| extension != "rs") {
        return None;
    }
    let text = fs::read_to_string(&file).unwrap();
    let Some((before, _)) = text.split_once(&format!("fn {fragment}()")) else {
        return Some(format!("{target}: no such function"));
    };
    let attributes = before.rsplit('\n').skip(1).map(str::trim);
    let is_test = attributes
        .take_while(|line| line.starts_with('#'))
        .any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"));
    (!is_test).then(|| format!("{target}: not a test"))
}

#[test]
fn every_link_of_the_documentation_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for document in DOCUMENTS {
        let file = root.join(document);
        let text = fs::read_to_string(&file).unwrap();
        let broken: Vec<String> =
            links(&text).filter_map(|link| broken(file.parent().unwrap(), link)).collect();
        assert!(broken.is_empty(), "{document}: {broken:#?}");
    }
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let tests = links(&readme).filter(|link| link.contains(".rs#")).count();
    assert!(tests > 30, "the promises are linked to their tests: {tests}");
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let good = ["README.md", "tests/house/links.rs#a_link_that_leads_nowhere_is_found", "#top"];
    assert!(good.iter().all(|link| broken(root, link).is_none()));
    let bad = ["tests/nowhere.rs", "tests/house/links.rs#nothing", "tests/house/source.rs#new"];
    assert!(bad.iter().all(|link| broken(root, link).is_some()));
    let not_a_test = "tests/proxy/streaming.rs#hello";
    assert!(broken(root, not_a_test).is_some_and(|why| why.ends_with("not a test")));
    assert_eq!(links("[a](b) and [c](d#e), [f]").collect::<Vec<_>>(), ["b", "d#e"]);
}
