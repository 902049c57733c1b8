//! SQLite: the plan by `EXPLAIN QUERY PLAN`, the work by how many instructions of its virtual machine a statement takes, with
//! all its triggers and foreign keys.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crm::database::list::BOUND;
use sea_orm::{
    Value, Values,
    sqlx::{self, Connection, Executor, Row, SqliteConnection, sqlite::SqliteConnectOptions},
};
use sea_query_sqlx::SqlxValues;

use super::explain::{Explained, Fault, Finding, grows};

/// How many instructions are counted at once.
const STEP: u32 = 50;
/// How many a statement may take whatever it does: some hundreds of rows.
const FREE: u64 = 40_000;
/// How many one may take that reads the first rows of an index without a key.
const FEW: u64 = 5_000;
/// How many one may take that looks at no more rows of a tenant than lists may: each has conditions and subqueries.
const BOUNDED: u64 = 70 * BOUND;
/// How much more it may take in a tenant of four times the size.
const RATIO: f64 = 1.5;

pub struct Sqlite {
    connection: SqliteConnection,
    instructions: Arc<AtomicU64>,
    tables: Vec<String>,
    /// Indexes of some rows of their tables alone.
    partial: Vec<String>,
}

impl Sqlite {
    /// Opens the file of a service that is closed, without statistics: a migration makes some, and the service while it is idle.
    pub async fn open(url: &str, tables: Vec<String>) -> Self {
        let options: SqliteConnectOptions = url.parse().unwrap();
        // A session of its own: one reads them when it begins.
        let mut forgetful = SqliteConnection::connect_with(&options).await.unwrap();
        forgetful.execute("DELETE FROM sqlite_stat1").await.unwrap();
        forgetful.close().await.unwrap();
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        let instructions = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&instructions);
        let mut handle = connection.lock_handle().await.unwrap();
        handle.set_progress_handler(i32::try_from(STEP).unwrap(), move || {
            counted.fetch_add(u64::from(STEP), Ordering::Relaxed);
            true
        });
        drop(handle);
        let partial = "SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE '% WHERE %'";
        let partial = connection.fetch_all(partial).await.unwrap().iter().map(|row| row.get(0)).collect();
        Self { connection, instructions, tables, partial }
    }

    /// Explains a statement, and runs it in vain with the values of each tenant.
    pub async fn explain(&mut self, sql: &str, [large, middle]: [Vec<Value>; 2], is_measured: bool) -> Explained {
        let is_bounded = sql.contains("LIMIT") && large.iter().any(is_a_bound);
        let explain = format!("EXPLAIN QUERY PLAN {sql}");
        let rows = self.connection.fetch_all(query(&explain, large.clone())).await;
        let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        let mut findings: BTreeSet<Finding> = plan.iter().filter_map(|step| self.judge(sql, step)).collect();
        // A subquery that has the name of its table, for the conditions on it.
        let is_of_subquery = |step: &str| {
            let name = step.trim_start_matches("SCAN ");
            plan.iter().any(|step| *step == format!("CO-ROUTINE {name}") || *step == format!("MATERIALIZE {name}"))
        };
        findings.retain(|finding| finding.fault != Fault::Scan || !is_of_subquery(&finding.what));
        let (mut large_work, mut middle_work) = (0, 0);
        if is_measured {
            (large_work, middle_work) = (self.work(sql, large).await, self.work(sql, middle).await);
            // The first of an index, and not those of a value.
            if sql.contains("LIMIT") && large_work.max(middle_work) <= FEW {
                findings.retain(|finding| finding.fault != Fault::Scan);
            }
        }
        let (large, middle) = (large_work, middle_work);
        let free = if is_bounded { BOUNDED } else { FREE };
        if large > free && large as f64 > RATIO * (middle as f64) + FREE as f64 {
            findings
                .insert(Finding::new(Fault::Grows, format!("{large} instructions, {middle} in a tenant of a quarter")));
        }
        Explained {
            plan: format!("{}\n{large} instructions, {middle} in a tenant of a quarter", plan.join("\n")),
            findings,
        }
    }

    fn judge(&self, sql: &str, step: &str) -> Option<Finding> {
        if step.contains("AUTOMATIC") {
            return Some(Finding::new(Fault::AutomaticIndex, step));
        }
        let name = step.strip_prefix("SCAN ")?.split(' ').next()?;
        // A virtual table is scanned by what it was asked for, or whole.
        let by_key = step.split_once("VIRTUAL TABLE INDEX ").is_some_and(|(_, index)| !index.ends_with(':'));
        let table = table_of(sql, name);
        // Those that it has are meant to be read, all of them.
        let is_of_few = self.partial.iter().any(|index| step.ends_with(&format!("INDEX {index}")));
        (!by_key && !is_of_few && grows(&self.tables, table)).then(|| Finding::new(Fault::Scan, step))
    }

    /// How many instructions it takes. What it changes is taken back; one that is refused has taken those until then.
    async fn work(&mut self, sql: &str, values: Vec<Value>) -> u64 {
        self.connection.execute("BEGIN").await.unwrap();
        self.instructions.store(0, Ordering::Relaxed);
        let _refused = self.connection.fetch_all(query(sql, values)).await;
        let instructions = self.instructions.load(Ordering::Relaxed);
        self.connection.execute("ROLLBACK").await.unwrap();
        instructions
    }

    pub async fn analyze(&mut self) {
        self.connection.execute("ANALYZE").await.unwrap();
    }
}

fn query(sql: &str, values: Vec<Value>) -> sqlx::query::Query<'_, sqlx::Sqlite, SqlxValues> {
    sqlx::query_with(sqlx::AssertSqlSafe(sql), SqlxValues(Values(values)))
}

/// Whether a value is how many rows of a tenant are looked at: the bound, a share of it, or some more to know whether it was met.
fn is_a_bound(value: &Value) -> bool {
    let bounds = BOUND / 8..=2 * BOUND;
    match value {
        Value::BigInt(Some(number)) => u64::try_from(*number).is_ok_and(|number| bounds.contains(&number)),
        Value::BigUnsigned(Some(number)) => bounds.contains(number),
        _ => false,
    }
}

/// The table that has this name in a statement.
fn table_of<'s>(sql: &'s str, name: &'s str) -> &'s str {
    let words: Vec<&str> = sql.split([' ', '(', ')', ',']).filter(|word| !word.is_empty()).map(unquoted).collect();
    let is_from = |word: &str| ["FROM", "JOIN", "INTO", "UPDATE"].contains(&word);
    let aliased = words.windows(4).find_map(|words| match words {
        [from, table, alias, _] if is_from(from) && *alias == name => Some(*table),
        [from, table, as_, alias] if is_from(from) && *as_ == "AS" && *alias == name => Some(*table),
        _ => None,
    });
    aliased.unwrap_or(name)
}

fn unquoted(word: &str) -> &str {
    word.trim_matches('"')
}
