//! No two files of `src` use each other: one of the two can always be read, tested and changed without the other.
//!
//! A file uses another when a path in it leads there, through the re-exports of modules between them. Arrows between a
//! module and what stands inside it are not counted: a module hands on the names of its children, and they use what it
//! defines for all of them.

use std::collections::{BTreeMap, BTreeSet};

use super::{is_ours, source::Source, sources};

type Path = Vec<String>;
/// For each file the files that it uses, and the names that it takes from them.
type Arrows<'a> = BTreeMap<&'a str, BTreeMap<&'a str, BTreeSet<String>>>;

/// The files of the program, by module.
struct House<'a> {
    files: BTreeMap<Path, &'a Source>,
    /// For each module the paths that it names, from the root of the crate.
    paths: BTreeMap<Path, Vec<Path>>,
    items: BTreeMap<Path, BTreeSet<String>>,
}

impl<'a> House<'a> {
    fn new(sources: &'a [Source]) -> Self {
        let files: BTreeMap<Path, &Source> = sources
            .iter()
            .filter(|source| is_ours(source) && source.file != "src/main.rs")
            .map(|source| (source.module(), source))
            .collect();
        let mut house = Self { files, paths: BTreeMap::new(), items: BTreeMap::new() };
        for (module, source) in &house.files {
            let paths = source.paths().into_iter().map(|(_, path)| house.absolute(module, path));
            let paths = paths.filter(|path| path[0] == "crate").collect();
            house.paths.insert(module.clone(), paths);
            let items = source.items().into_iter().map(|(_, _, name)| name).collect();
            house.items.insert(module.clone(), items);
        }
        house
    }

    /// A path from the root, where it begins with a module inside `module`.
    fn absolute(&self, module: &Path, path: Path) -> Path {
        let mut child = module.clone();
        child.push(path[0].clone());
        if self.files.contains_key(&child) {
            child.extend(path.into_iter().skip(1));
            child
        } else {
            path
        }
    }

    /// The module of a file that defines what a path names, and the name; re-exports are followed.
    fn definition(&self, path: &[String], depth: usize) -> Option<(&Path, String)> {
        let length = (1..=path.len()).rev().find(|&n| self.files.contains_key(&path[..n]))?;
        let (module, _) = self.files.get_key_value(&path[..length])?;
        let Some(name) = path.get(length) else { return Some((module, "the module".to_owned())) };
        let handed_on = || {
            self.paths[module].iter().find(|other| {
                let (last, before) = other.split_last().expect("a path has a name");
                last == name && !before.is_empty() && before != module.as_slice()
            })
        };
        if depth > 0
            && !self.items[module].contains(name)
            && let Some(other) = handed_on()
        {
            return self.definition(other, depth - 1);
        }
        Some((module, name.clone()))
    }

    fn arrows(&self) -> Arrows<'a> {
        let mut arrows = Arrows::new();
        for (module, source) in &self.files {
            let used = arrows.entry(&*source.file).or_default();
            for path in &self.paths[module] {
                let Some((other, name)) = self.definition(path, 8) else { continue };
                if !other.starts_with(module) && !module.starts_with(other) {
                    used.entry(&*self.files[other].file).or_default().insert(name);
                }
            }
        }
        arrows
    }
}

/// The largest sets of files of which each can be reached from each.
fn circles<'a>(arrows: &Arrows<'a>) -> Vec<Vec<&'a str>> {
    let reached = |from: &'a str| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(file) = open.pop() {
            open.extend(arrows[file].keys().copied().filter(|next| seen.insert(*next)));
        }
        seen
    };
    let reach: BTreeMap<&str, BTreeSet<&str>> =
        arrows.keys().map(|file| (*file, reached(file))).collect();
    let circles: BTreeSet<Vec<&str>> = reach
        .iter()
        .map(|(file, others)| {
            others.iter().copied().filter(|other| reach[other].contains(file)).collect()
        })
        .filter(|circle: &Vec<&str>| !circle.is_empty())
        .collect();
    circles.into_iter().collect()
}

fn told(circle: &[&str], arrows: &Arrows<'_>) -> String {
    let mut lines = vec![format!("a circle of {} files: {circle:?}", circle.len())];
    for file in circle {
        for (other, names) in arrows[file].iter().filter(|(other, _)| circle.contains(other)) {
            let names = names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            lines.push(format!("    {file} -> {other}: {names}"));
        }
    }
    lines.join("\n")
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let sources = sources();
    let arrows = House::new(&sources).arrows();
    let circles: Vec<String> =
        circles(&arrows).iter().map(|circle| told(circle, &arrows)).collect();
    assert!(circles.is_empty(), "\n{}\n", circles.join("\n"));
}

#[test]
fn circles_are_seen_through_re_exports_and_trees_of_use() {
    /// Files with their texts, and the circles among them.
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a [&'a str]]);

    let cases: &[Case<'_>] = &[
        // Through the parent's re-export, and back by a sibling's name.
        (
            &[
                ("src/a.rs", "mod b; mod c; pub use b::{Deep, Other as O};"),
                (
                    "src/a/b.rs",
                    "use super::c; pub struct Deep; pub struct Other; fn f() { c::g() }",
                ),
                ("src/a/c.rs", "use super::Deep; pub fn g() {}"),
            ],
            &[&["src/a/b.rs", "src/a/c.rs"]],
        ),
        // A module and its children are no circle, nor are two that share what the parent defines.
        (
            &[
                ("src/a.rs", "mod b; mod c; use b::f; pub struct Shared; fn g() { c::h() }"),
                ("src/a/b.rs", "use super::Shared; pub fn f() {}"),
                ("src/a/c.rs", "use super::{Shared, b}; pub fn h() { b::f() }"),
            ],
            &[],
        ),
        // Around three files, by full paths.
        (
            &[
                ("src/a.rs", "use crate::b::B;"),
                ("src/b.rs", "pub struct B; fn f() { crate::c::g() }"),
                ("src/c.rs", "pub fn g() { let _ = crate::a::X; }"),
            ],
            &[&["src/a.rs", "src/b.rs", "src/c.rs"]],
        ),
        // Only in tests.
        (
            &[
                ("src/a.rs", "use crate::b::B;"),
                ("src/b.rs", "pub struct B;\n#[cfg(test)]\nmod tests { use crate::a; }"),
            ],
            &[],
        ),
    ];
    for (files, expected) in cases {
        let sources: Vec<Source> =
            files.iter().map(|(file, text)| Source::new(*file, *text)).collect();
        let arrows = House::new(&sources).arrows();
        assert_eq!(circles(&arrows), *expected, "{files:?}\n{arrows:#?}");
    }
}
