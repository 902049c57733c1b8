//! Which file of `src/` may use which. A file uses its own room and the rooms below it, and files do not use each other
//! in a circle: so the place of a file tells what a change to it can reach.

mod imports;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use imports::{Edge, Sources, edges};

/// From the ground up. A room is a folder or a file directly under `src/`; rooms of one row do not use each other.
const ROWS: &[&[&str]] = &[
    &["error"],
    &["values"],
    &["telemetry"],
    &["config"],
    &["database"],
    &["auth", "pii"],
    &["http"],
    &["resource"],
    &["audit"],
    &["events"],
    &["timeline"],
    &["change"],
    &["app"],
    &["customers"],
    &["contacts", "opportunities"],
    &["follow_ups"],
    &["pipeline"],
    &["overview", "privacy", "receipts", "search"],
    &["broker"],
    &["relay", "inbound"],
    &["background"],
    &["service"],
    &["demo", "verify"],
    &["cli"],
    &["main", "lib"],
];

const HINT: &str = "move what both need below them, or pass it in";

fn room(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap()
}

fn row(file: &str) -> Option<usize> {
    ROWS.iter().position(|rooms| rooms.contains(&room(file)))
}

fn strays(sources: &Sources) -> Vec<&str> {
    sources.keys().map(String::as_str).filter(|file| row(file).is_none()).collect()
}

/// The edges that neither point down nor stay where they may.
fn astray(edges: &BTreeSet<Edge>) -> Vec<&Edge> {
    let allowed = |edge: &Edge| {
        // A file without a row is told of by itself.
        let (Some(from), Some(to)) = (row(&edge.from), row(&edge.to)) else { return true };
        to < from || room(&edge.from) == room(&edge.to)
    };
    edges.iter().filter(|edge| !allowed(edge)).collect()
}

/// For each set of files that all reach each other, the edges between them.
fn circles(edges: &BTreeSet<Edge>) -> Vec<Vec<&Edge>> {
    let mut reached: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for edge in edges.iter().filter(|edge| !edge.of_module) {
        reached.entry(&edge.from).or_default().insert(&edge.to);
    }
    let files: Vec<&str> = reached.keys().copied().collect();
    for through in &files {
        let further = reached[through].clone();
        reached.values_mut().filter(|to| to.contains(through)).for_each(|to| to.extend(&further));
    }
    let reaches = |from: &str, to: &str| reached.get(from).is_some_and(|files| files.contains(to));
    let mut circles: BTreeMap<&str, Vec<&Edge>> = BTreeMap::new();
    for edge in edges.iter().filter(|edge| !edge.of_module && reaches(&edge.to, &edge.from)) {
        let first = files.iter().find(|file| reaches(file, &edge.from) && reaches(&edge.from, file)).unwrap();
        circles.entry(first).or_default().push(edge);
    }
    circles.into_values().collect()
}

fn misplaced(sources: &Sources) -> Vec<String> {
    let strays = strays(sources).into_iter().map(|file| format!("{file} belongs to no room: add it to the table ROWS"));
    let edges = edges(sources);
    let astray = astray(&edges).into_iter().map(|edge| format!("{edge}: {HINT}"));
    strays.chain(astray).collect()
}

fn circular(sources: &Sources) -> Vec<String> {
    let edges = edges(sources);
    let named = |circle: Vec<&Edge>| {
        let first = circle[0].from.clone();
        circle.into_iter().map(move |edge| format!("circle of {first}: {edge}: {HINT}")).collect::<Vec<_>>()
    };
    circles(&edges).into_iter().flat_map(named).collect()
}

fn read(src: &Path) -> Sources {
    let mut sources = Sources::new();
    let mut folders = vec![src.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let file = path.strip_prefix(src).unwrap().to_str().unwrap();
                sources.insert(file.to_owned(), fs::read_to_string(&path).unwrap());
            }
        }
    }
    sources
}

fn ours() -> Sources {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

#[test]
fn imports_point_down_the_table_of_rooms() {
    let found = misplaced(&ours());
    assert!(found.is_empty(), "{} lines:\n{}", found.len(), found.join("\n"));
}

#[test]
fn files_use_each_other_in_no_circle() {
    let found = circular(&ours());
    assert!(found.is_empty(), "{} lines:\n{}", found.len(), found.join("\n"));
}

#[test]
fn every_resource_is_declared_and_in_the_list() {
    let sources = ours();
    let (root, list) = (&sources["lib.rs"], &sources["service/resources.rs"]);
    let folders = sources.iter().filter_map(|(file, text)| Some((file.strip_suffix("/entity.rs")?, text)));
    let resources: Vec<&str> =
        folders.filter(|(_, text)| text.contains("impl Resource for Entity")).map(|(folder, _)| folder).collect();
    assert!(resources.contains(&"customers"), "{resources:?}");
    for resource in resources {
        assert!(root.contains(&format!("pub mod {resource};")), "{resource} is not declared in lib.rs");
        assert!(list.contains(&format!("{resource}::Entity")), "{resource} is not in service/resources.rs");
        let module = &sources[&format!("{resource}/mod.rs")];
        assert!(module.contains("pub(crate) mod api;"), "{resource}: what is public is not found to be unused");
    }
}

/// A crate of these files. Its other modules are empty: the root, and what the folders need.
fn planted(files: &[(&str, &str)]) -> Sources {
    let mut sources = Sources::from([("lib.rs".to_owned(), String::new())]);
    for (file, text) in files {
        for folder in Path::new(file).ancestors().skip(1).filter(|folder| folder.parent().is_some()) {
            sources.entry(format!("{}/mod.rs", folder.display())).or_default();
        }
        sources.insert((*file).to_owned(), (*text).to_owned());
    }
    sources
}

/// What is found in the planted files, without the hint that ends each line.
#[track_caller]
fn assert_found(found: &[String], expected: &[&str]) {
    let found: Vec<&str> = found.iter().map(|line| line.strip_suffix(&format!(": {HINT}")).unwrap_or(line)).collect();
    assert_eq!(found, expected);
}

const PAGE: (&str, &str) = ("http/page.rs", "pub struct Page; pub fn first() {}");

#[test]
fn a_use_of_a_higher_room_is_found() {
    let sources = planted(&[PAGE, ("values/id.rs", "use {std::fmt, crate::http::page::{self as p, Page}};")]);
    let expected = [
        "values/id.rs -> http/page.rs by crate::http::page",
        "values/id.rs -> http/page.rs by crate::http::page::Page",
    ];
    assert_found(&misplaced(&sources), &expected);
}

#[test]
fn a_higher_room_is_found_through_super() {
    let sources = planted(&[PAGE, ("values/id.rs", "use super::super::http::page::*;")]);
    assert_found(&misplaced(&sources), &["values/id.rs -> http/page.rs by super::super::http::page::*"]);
}

#[test]
fn a_higher_room_is_found_within_an_expression() {
    let sources = planted(&[PAGE, ("error.rs", "fn wrong() -> u8 { 1 + crate::http::page::first() }")]);
    assert_found(&misplaced(&sources), &["error.rs -> http/page.rs by crate::http::page::first"]);
}

#[test]
fn a_name_is_followed_through_re_exports_to_its_file() {
    let sources = planted(&[
        ("http/mod.rs", "mod reply; pub use reply::*;"),
        ("http/reply/mod.rs", "mod body; pub(crate) use self::body::Body as Whole;"),
        ("http/reply/body.rs", "pub struct Body;"),
        ("auth/mod.rs", "use crate::http::Whole; fn whole() -> Whole { Whole }"),
    ]);
    assert_found(&misplaced(&sources), &["auth/mod.rs -> http/reply/body.rs by crate::http::Whole"]);
}

#[test]
fn a_higher_room_is_found_within_macros_and_attributes() {
    let sources = planted(&[
        PAGE,
        ("pii/mod.rs", "fn seal() { assert!(..crate::http::page::first() > Some(self.first)); }"),
        ("pii/keys.rs", "macro_rules! key { ($name:ident) => { $crate::http::page::Page::$name() } }"),
        ("pii/mask.rs", r#"struct Mask { #[serde(with = "crate::http::page")] text: String }"#),
    ]);
    let expected = [
        "pii/keys.rs -> http/page.rs by crate::http::page::Page",
        "pii/mask.rs -> http/page.rs by crate::http::page",
        "pii/mod.rs -> http/page.rs by crate::http::page::first",
    ];
    assert_found(&misplaced(&sources), &expected);
}

#[test]
fn rooms_of_one_row_do_not_use_each_other() {
    let sources = planted(&[
        ("auth/mod.rs", "use crate::pii::Mask;"),
        ("pii/mod.rs", "pub struct Mask;"),
        ("contacts/mod.rs", "use crate::{customers::Customer, pii::Mask};"),
        ("customers/mod.rs", "pub struct Customer;"),
    ]);
    assert_found(&misplaced(&sources), &["auth/mod.rs -> pii/mod.rs by crate::pii::Mask"]);
}

#[test]
fn a_file_without_a_room_is_found() {
    let sources = planted(&[("helpers/mod.rs", "")]);
    assert_found(&misplaced(&sources), &["helpers/mod.rs belongs to no room: add it to the table ROWS"]);
}

#[test]
fn a_circle_of_two_files_is_found() {
    let sources = planted(&[
        ("database/mod.rs", "mod pool; use pool::Pool; pub struct Database(Pool);"),
        ("database/pool.rs", "use super::Database; pub struct Pool; impl Pool { fn of(_: &Database) {} }"),
    ]);
    let expected = [
        "circle of database/mod.rs: database/mod.rs -> database/pool.rs by pool::Pool",
        "circle of database/mod.rs: database/pool.rs -> database/mod.rs by super::Database",
    ];
    assert_found(&circular(&sources), &expected);
}

#[test]
fn a_circle_of_three_files_is_found_without_those_beside_it() {
    let sources = planted(&[
        ("audit/a.rs", "use super::b::B; pub struct A;"),
        ("audit/b.rs", "pub struct B(super::c::C);"),
        ("audit/c.rs", "use crate::audit::{a, beside::Beside}; pub struct C; fn a() -> a::A {}"),
        ("audit/beside.rs", "pub struct Beside;"),
    ]);
    let expected = [
        "circle of audit/a.rs: audit/a.rs -> audit/b.rs by super::b::B",
        "circle of audit/a.rs: audit/b.rs -> audit/c.rs by super::c::C",
        "circle of audit/a.rs: audit/c.rs -> audit/a.rs by a::A",
    ];
    assert_found(&circular(&sources), &expected);
}

#[test]
fn a_re_export_alone_makes_no_circle() {
    let sources = planted(&[
        ("audit/mod.rs", "mod entry; mod fact; pub use entry::Entry; pub use fact::Fact;"),
        ("audit/entry.rs", "use super::Fact; pub struct Entry(Fact);"),
        ("audit/fact.rs", "pub struct Fact;"),
    ]);
    assert_found(&circular(&sources), &[]);
}
