//! Links of the documentation: it says which test holds a promise, and none of them may be renamed behind its back.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// All pages: the README and what is in `.github`.
pub(crate) fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let in_folder = |folder: &str| fs::read_dir(root.join(folder)).unwrap();
    let others = in_folder(".github").chain(in_folder(".github/docs"));
    let others = others.map(|entry| entry.unwrap().path());
    let pages = others.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let mut pages: Vec<_> = pages.chain([root.join("README.md")]).collect();
    pages.sort();
    pages
}

/// Names of the headings of a page as GitHub makes them for links.
fn anchors(text: &str) -> impl Iterator<Item = String> {
    let name = |heading: &str| {
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        heading.trim().to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
    };
    // Comments of examples look like headings, too, and no link leads to them.
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(move |line| name(line.trim_start_matches('#')))
}

/// The targets of all Markdown links.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0))
}

/// The reason why a link of a document leads nowhere; `None` for a good one. The fragment of a Rust file is a function's
/// name, which must be that of a test.
fn broken(page: &Path, target: &str) -> Option<String> {
    if target.contains("://") {
        return None;
    }
    let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
    let file = match path {
        "" => page.to_owned(),
        path => page.parent().unwrap().join(path),
    };
    if !file.exists() {
        return Some(format!("{target}: no such file"));
    }
    if fragment.is_empty() {
        return None;
    }
    let text = fs::read_to_string(&file).unwrap();
    if file.extension().is_some_and(|extension| extension == "md") {
        let missing = !anchors(&text).any(|anchor| anchor == fragment);
        return missing.then(|| format!("{target}: no such heading"));
    }
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
    let mut tests = 0;
    for page in documents() {
        let text = fs::read_to_string(&page).unwrap();
        let broken: Vec<String> = links(&text).filter_map(|link| broken(&page, link)).collect();
        assert!(broken.is_empty(), "{}: {broken:#?}", page.display());
        tests += links(&text).filter(|link| link.contains(".rs#")).count();
    }
    assert!(tests > 30, "the promises are linked to their tests: {tests}");
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let page = &Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let good = [
        "LICENSE",
        "tests/house/links.rs#a_link_that_leads_nowhere_is_found",
        "#3-without-a-key",
        ".github/SECURITY.md#what-cannot-be-promised",
    ];
    assert!(good.iter().all(|link| broken(page, link).is_none()));
    let bad = [
        "tests/nowhere.rs",
        "tests/house/links.rs#nothing",
        "tests/house/source.rs#new",
        "#nowhere",
        ".github/SECURITY.md#nowhere",
    ];
    assert!(bad.iter().all(|link| broken(page, link).is_some()));
    let not_a_test = "tests/proxy/streaming.rs#hello";
    assert!(broken(page, not_a_test).is_some_and(|why| why.ends_with("not a test")));
    assert_eq!(links("[a](b) and [c](d#e), [f]").collect::<Vec<_>>(), ["b", "d#e"]);
}
