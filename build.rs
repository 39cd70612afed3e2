//! Rebuilds the program when a migration is added, since the migrations are embedded in it, and names the commit in the
//! version of an optimized build.

use std::{env, process::Command};

fn main() {
    println!("cargo:rerun-if-changed=migrations");
    println!("cargo:rerun-if-env-changed=REPRISE_COMMIT");
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    // A development build would be compiled anew after each commit.
    let optimized = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let version = match optimized.then(commit).flatten() {
        Some(commit) => format!("{version} ({commit})"),
        None => version,
    };
    // Cargo sets it for the program that it runs, too, where `REPRISE_` is the beginning of a setting.
    println!("cargo:rustc-env=BUILD_VERSION={version}");
}

/// The abbreviated id and the date of the commit, as `c1ee41f 2026-11-30`: that of the variable `REPRISE_COMMIT`, for
/// builds without the history, else that of this repository.
fn commit() -> Option<String> {
    if let Some(stated) = env::var("REPRISE_COMMIT").ok().filter(|commit| !commit.is_empty()) {
        return Some(stated);
    }
    // The sources may lie in a folder of another repository.
    if !git(&["rev-parse", "--show-prefix"])?.is_empty() {
        return None;
    }
    // Each commit adds a line to this file.
    println!("cargo:rerun-if-changed={}", git(&["rev-parse", "--git-path", "logs/HEAD"])?);
    git(&["log", "-1", "--abbrev=7", "--format=%h %cd", "--date=format-local:%Y-%m-%d"])
}

/// The output of a git command, without its line end; `None` if it failed.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").env("TZ", "UTC").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim_end().to_owned())
}
