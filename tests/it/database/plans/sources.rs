//! Which lines of the source run statements: those that no test has explained fail.

use std::{collections::BTreeSet, fs, path::Path};

use super::watch::Line;
use crate::harness::on_postgres;

/// What runs a statement, by the beginning of its argument where the name alone does not say so.
const CALLS: &[(&str, &[&str])] = &[
    (".query_all_raw(", &[""]),
    (".query_one_raw(", &[""]),
    (".execute_raw(", &[""]),
    (".execute_unprepared(", &[""]),
    (".exec_without_returning(", &[""]),
    (".exec_with_returning(", &[""]),
    (".exec(", &[""]),
    (
        ".all(",
        &[
            "db",
            "&db",
            "&database",
            "transaction",
            "self.db()",
            "change.db()",
            "&self.snapshot",
            "&self.database",
            "&changes",
        ],
    ),
    (".one(", &["db", "&db", "&database", "transaction", "self.db()", "change.db()"]),
    (".count(", &["db", "&db", "transaction"]),
];

/// Files whose statements are not those of a running service, or are passed on.
const ELSEWHERE: &[(&str, &str)] = &[
    ("database/migrate.rs", "changes the schema, before the service starts"),
    ("database/new_file.rs", "ends the work on a file that nobody else knows"),
    ("database/copy/source.rs", "locks and sums up what is copied, for `crm copy`"),
    ("database/copy/state.rs", "says how far a copy is"),
    ("database/copy/tables.rs", "asks the database for its tables"),
    ("database/copy/target.rs", "empties and completes a copy, which nothing else works on"),
    ("database/copy/rows.rs", "reads whole tables by their keys, while nobody writes to them"),
    ("database/backup/check.rs", "looks through the whole of a copy, for `crm backup` and `crm restore`"),
    ("database/backup/draft.rs", "copies the whole file, for `crm backup`"),
    ("database/backup/restore.rs", "locks the file that is replaced, for `crm restore`"),
    ("database/scratch.rs", "makes and drops a database of its own, for `crm verify`"),
    ("verify/stored.rs", "looks through all of a small database of its own, for `crm verify`"),
    ("database/vacuum.rs", "rewrites the files, when an operator asks for it"),
    ("database/transaction.rs", "passes statements on"),
    ("database/reader.rs", "passes statements on"),
];

/// Lines that one database alone comes to, or no test: on which (none, if this is empty), in which file, what is said in the lines
/// before, and why.
const NOT_HERE: &[(&str, &str, &str, &str)] = &[
    ("postgres", "database/counts/fold.rs", "", "SQLite has no changes to fold"),
    ("postgres", "database/horizon.rs", "FOR UPDATE", "SQLite has one writer"),
    ("", "events/outbox.rs", "LOCK TABLE", "a lock, where the release before has assigned positions"),
    ("postgres", "events/outbox.rs", "FOR UPDATE", "SQLite has one writer"),
    ("postgres", "audit/chain_store.rs", "DbBackend::Postgres, sql", "functions of the owner's"),
    ("sqlite", "audit/chain_store.rs", "", "on PostgreSQL, functions of the owner's do this"),
    ("", "audit/chain.rs", "logs::Entity::one", "an entry by its key, where one of a batch cannot be read"),
];

/// The lines of `src/` that run a statement: of the call, and where it is awaited.
fn running() -> Vec<(Line, u32, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut found) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let file = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            if ELSEWHERE.iter().any(|(elsewhere, _)| *elsewhere == file) {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for (call, arguments) in CALLS {
                for (at, _) in text.match_indices(call) {
                    let argument = text[at + call.len()..].trim_start();
                    if arguments.iter().any(|begins| argument.starts_with(begins)) && !argument.starts_with('|') {
                        let line = |at: usize| u32::try_from(text[..at].matches('\n').count()).unwrap() + 1;
                        let awaited = text[at..].find(".await").map_or(at, |ahead| at + ahead);
                        let above = text[..text[at..].find('\n').map_or(at, |end| at + end)].lines().rev().take(5);
                        found.push(((file.clone(), line(at)), line(awaited), above.collect()));
                    }
                }
            }
        }
    }
    found.sort();
    found
}

/// The lines that run statements, none of which was seen.
pub fn unseen(lines: &BTreeSet<Line>) -> Vec<String> {
    let is_seen = |file: &str, from: u32, to: u32| (from..=to).any(|line| lines.contains(&(file.to_owned(), line)));
    let here = if on_postgres() { "postgres" } else { "sqlite" };
    let is_here = |file: &str, above: &str| {
        let mut said = NOT_HERE.iter().filter(|(_, of, words, _)| *of == file && above.contains(words));
        said.all(|(on, ..)| *on == here)
    };
    let unseen = running()
        .into_iter()
        .filter(|((file, call), awaited, above)| is_here(file, above) && !is_seen(file, *call, *awaited));
    unseen.map(|((file, line), ..)| format!("src/{file}:{line}")).collect()
}
