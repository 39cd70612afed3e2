//! Generated parts of the documentation: written with `UPDATE_README=1`, and compared otherwise.

use std::{env, fs, path::Path};

/// Compares what stands between `<!-- name -->` and `<!-- end of name -->` on a page of `.github/docs`, or replaces it.
/// `refresh` is the filter of the test.
pub(crate) fn part(page: &str, name: &str, fresh: &str, refresh: &str) {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let held = fs::read_to_string(path(page)).expect("a page");
    let (before, rest) = held.split_once(&begin).expect("the marker of the part");
    let (_, after) = rest.split_once(&end).expect("the marker of its end");
    compare(page, &held, &format!("{before}{begin}{fresh}{end}{after}"), refresh);
}

/// The same for a whole page.
pub(crate) fn page(page: &str, fresh: &str, refresh: &str) {
    compare(page, &fs::read_to_string(path(page)).unwrap_or_default(), fresh, refresh);
}

fn compare(page: &str, held: &str, fresh: &str, refresh: &str) {
    if env::var_os("UPDATE_README").is_some() {
        fs::write(path(page), fresh).expect("a page");
    } else {
        assert!(
            held == fresh,
            ".github/docs/{page} is stale; refresh it with: UPDATE_README=1 cargo it {refresh}"
        );
    }
}

fn path(page: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".github/docs").join(page)
}
