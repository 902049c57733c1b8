//! Which statements are run, with which values, by which lines of the source, and during what.

use std::{
    backtrace::Backtrace,
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use crm::database::Database;
use sea_orm::{Statement, Value};

/// How many sets of values of one statement are kept.
const KEPT: usize = 3;

/// How often it is looked at by whom one is run.
const TRACED: u32 = 3;

/// A line of `src/`.
pub type Line = (String, u32);

/// What is known of a statement.
#[derive(Debug, Default)]
pub struct Seen {
    pub sql: String,
    pub values: Vec<Vec<Value>>,
    /// During what it was run, and how often.
    pub during: BTreeMap<String, u32>,
    /// The lines on the stack, of all that ran it.
    pub lines: BTreeSet<Line>,
}

/// Collects statements. Clones are the same.
#[derive(Clone, Default)]
pub struct Watch(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    now: String,
    seen: BTreeMap<String, Seen>,
}

impl Watch {
    pub fn observe(&self, database: &Database) {
        let watch = self.clone();
        database.statements().observe(move |statement| watch.note(statement));
    }

    /// From now on statements are run during this.
    pub fn begin(&self, what: &str) {
        what.clone_into(&mut self.0.lock().unwrap().now);
    }

    /// The statements, by their text.
    pub fn take(&self) -> BTreeMap<String, Seen> {
        std::mem::take(&mut self.0.lock().unwrap().seen)
    }

    fn note(&self, Statement { sql, values, .. }: &Statement) {
        if is_control(sql) {
            return;
        }
        let mut state = self.0.lock().unwrap();
        let now = state.now.clone();
        let seen = state.seen.entry(shape(sql)).or_insert_with(|| Seen { sql: sql.clone(), ..Seen::default() });
        let values = values.as_ref().map(|values| values.0.clone()).unwrap_or_default();
        if *sql == seen.sql && seen.values.len() < KEPT && !seen.values.contains(&values) {
            seen.values.push(values);
        }
        // The same may be run by several lines, one after the other.
        let times = seen.during.entry(now).or_default();
        *times += 1;
        if *times <= TRACED {
            seen.lines.extend(lines(&Backtrace::force_capture().to_string()));
        }
    }
}

/// What opens and ends transactions, sets up sessions and looks after files has no plan.
fn is_control(sql: &str) -> bool {
    let controls =
        ["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "SET ", "PRAGMA", "LOCK TABLE", "SELECT set_config"];
    controls.iter().any(|control| sql.starts_with(control))
}

/// Statements that differ in how many rows they insert, or values they look for, are one: the first of them stands for all.
fn shape(sql: &str) -> String {
    let unnumbered: String =
        sql.split('$').map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit())).collect::<Vec<_>>().join("?");
    let mut shape = unnumbered;
    for (many, one) in [("?, ?", "?"), ("(?), (?)", "(?)")] {
        while shape.contains(many) {
            shape = shape.replace(many, one);
        }
    }
    shape
}

/// The lines of `src/` in a backtrace.
fn lines(backtrace: &str) -> impl Iterator<Item = Line> + '_ {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/src/");
    backtrace.lines().filter_map(move |line| {
        let place = line.trim().strip_prefix("at ")?;
        let place = place.strip_prefix("./src/").or_else(|| place.strip_prefix(root))?;
        let mut parts = place.split(':');
        Some((parts.next()?.to_owned(), parts.next()?.parse().ok()?))
    })
}
