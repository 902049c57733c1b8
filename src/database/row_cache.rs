//! Rows of SQLite that were read by their ids, kept in memory: [`RowCache`].
//!
//! What is answered from it is what the database would answer. The header of SQLite's wal-index changes with each commit, by
//! whatever process, and is what SQLite itself knows by that its pages in memory are out of date ("WAL-mode File Format",
//! section 2.1). Here it is looked at before each answer:
//!
//! - as long as it is the same, so are the rows;
//! - the one writer of this process says which rows a commit changed; if the header counts one commit since the writer's
//!   transaction began, that one was its own, and the other rows stay;
//! - otherwise another process has written, or it is not known what a commit came to: all rows are forgotten.
//!
//! Rows are kept as they are stored, so personal data in them is sealed. While the disk cannot be read, they are still answered.

use std::{
    any::Any,
    collections::HashSet,
    mem::size_of,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use quick_cache::{Weighter, unsync::Cache};
use sea_orm::{Iterable, ModelTrait, Value};
use uuid::Uuid;

use super::{
    file::{DatabaseFile, WalHeader},
    tenancy::Listed,
};
use crate::{telemetry::database_metrics::DatabaseMetrics, values::Tenant};

/// How much is kept, in bytes.
const CAPACITY: u64 = 16 * 1024 * 1024;
/// About how many rows that is.
const ROWS: usize = 16_384;

/// By what a row is found: no tenant finds another's.
type Key = (Tenant, Uuid);

/// Rows that were read by their ids.
pub(super) struct RowCache {
    file: Arc<DatabaseFile>,
    state: Mutex<State>,
    metrics: DatabaseMetrics,
}

struct State {
    rows: Cache<Key, Kept, ByBytes>,
    /// The tables that they are of.
    tables: HashSet<&'static str>,
    /// As of which commit they are.
    as_of: Option<WalHeader>,
    /// Whether the writer of this process is in a transaction.
    writing: bool,
}

/// A row of whatever entity.
#[derive(Clone)]
struct Kept {
    row: Arc<dyn Any + Send + Sync>,
    bytes: u64,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Key, Kept> for ByBytes {
    fn weight(&self, (tenant, _): &Key, kept: &Kept) -> u64 {
        kept.bytes + (size_of::<(Key, Kept)>() + tenant.as_str().len()) as u64
    }
}

/// What came of looking for a row.
pub(super) enum Looked<M> {
    Kept(Box<M>),
    /// It has to be read; what is read may be kept if nothing was committed since then.
    Missing(Option<WalHeader>),
}

impl RowCache {
    pub(super) fn new(file: Arc<DatabaseFile>, metrics: DatabaseMetrics) -> Self {
        let rows = Cache::with_weighter(ROWS, CAPACITY, ByBytes);
        let state = State { rows, tables: HashSet::new(), as_of: None, writing: false };
        Self { file, state: Mutex::new(state), metrics }
    }

    /// Looks for the tenant's row of `E` with this id.
    pub(super) fn look<E: Listed>(&self, tenant: &Tenant, id: Uuid) -> Looked<E::Model> {
        let mut state = self.state();
        let now = self.file.wal_header();
        if now.is_none() || now != state.as_of {
            // What this process is just committing is known when that is done.
            if now.is_none() || state.writing {
                return Looked::Missing(None);
            }
            state.forget(now);
        }
        let kept = state.rows.get(&(tenant.clone(), id)).map(|kept| Arc::clone(&kept.row));
        drop(state);
        let row = kept.as_ref().and_then(|row| row.downcast_ref::<E::Model>());
        self.metrics.row_looked_for(row.is_some());
        match row {
            Some(row) => Looked::Kept(Box::new(row.clone())),
            None => Looked::Missing(now),
        }
    }

    /// Keeps a row that was read after it was looked for.
    pub(super) fn keep<E: Listed>(&self, as_of: Option<WalHeader>, tenant: &Tenant, id: Uuid, row: &E::Model) {
        let kept = Kept { row: Arc::new(row.clone()), bytes: bytes::<E>(row) };
        let mut state = self.state();
        if as_of.is_some() && state.as_of == as_of {
            state.tables.insert(E::default().table_name());
            state.rows.insert((tenant.clone(), id), kept);
        }
    }

    /// The writer has begun a transaction, and nobody else commits anything until it ends.
    pub(super) fn begin(self: &Arc<Self>) -> Writing {
        let mut state = self.state();
        let now = self.file.wal_header();
        if state.as_of != now {
            state.forget(now);
        }
        state.writing = true;
        drop(state);
        Writing { cache: Arc::clone(self), changed: None }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Forgets all rows; what is kept from now on is as of this commit.
    fn forget(&mut self, as_of: Option<WalHeader>) {
        self.rows.clear();
        self.as_of = as_of;
    }

    fn forget_changed(&mut self, changed: &ChangedRows) {
        for row in &changed.rows {
            self.rows.remove(row);
        }
        for tenant in &changed.tenants {
            self.rows.retain(|(of, _), _| of != tenant);
        }
    }
}

/// About how much memory a row takes.
fn bytes<E: Listed>(row: &E::Model) -> u64 {
    let texts = E::Column::iter().map(|column| match row.get(column) {
        Value::String(Some(text)) => text.len(),
        Value::Bytes(Some(bytes)) => bytes.len(),
        _ => 0,
    });
    (size_of::<E::Model>() + texts.sum::<usize>()) as u64
}

/// A transaction of the writer. Unless it was committed, all rows are forgotten when it ends.
pub(super) struct Writing {
    cache: Arc<RowCache>,
    /// What was changed in it, once it is committed.
    changed: Option<Vec<ChangedRows>>,
}

impl Writing {
    /// COMMIT returned, of a transaction that changed these rows.
    pub(super) fn committed(mut self, changed: Vec<ChangedRows>) {
        self.changed = Some(changed);
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let mut state = self.cache.state();
        state.writing = false;
        let now = self.cache.file.wal_header();
        let before = state.as_of.take();
        let is_own = before.zip(now).is_some_and(|(before, now)| now == before || now.follows(&before));
        match self.changed.take().filter(|_| is_own) {
            Some(changed) if !changed.iter().any(|changed| changed.is_unknown(&state.tables)) => {
                state.as_of = now;
                changed.iter().for_each(|changed| state.forget_changed(changed));
            }
            _ => state.forget(now),
        }
    }
}

/// Which rows a unit of work changes: those it says, and all where it writes to their table without saying which.
#[derive(Default)]
pub(super) struct ChangedRows {
    rows: Vec<Key>,
    tenants: Vec<Tenant>,
    /// The tables that were written to.
    tables: Vec<String>,
    /// Whether the next statement writes what was said.
    said: bool,
}

impl ChangedRows {
    /// The next statement that writes changes these rows.
    pub(super) fn say(&mut self, tenant: &Tenant, ids: impl IntoIterator<Item = Uuid>) {
        self.rows.extend(ids.into_iter().map(|id| (tenant.clone(), id)));
        self.said = true;
    }

    /// What is seen of any of the tenant's rows may change.
    pub(super) fn say_all(&mut self, tenant: &Tenant) {
        self.tenants.push(tenant.clone());
    }

    /// What was said is of rows that are inserted, which nobody has read.
    pub(super) fn inserts(&mut self) {
        self.said = false;
    }

    /// This statement writes.
    pub(super) fn note(&mut self, sql: &str) {
        if !std::mem::take(&mut self.said) {
            self.tables.push(written_table(sql).unwrap_or_default().to_owned());
        }
    }

    /// Whether it is not known which of the rows of these tables are changed.
    fn is_unknown(&self, kept: &HashSet<&'static str>) -> bool {
        self.tables.iter().any(|table| table.is_empty() || kept.contains(table.as_str()))
    }
}

/// The table that a statement changes rows of, or inserts rows into.
fn written_table(sql: &str) -> Option<&str> {
    let target = ["INSERT INTO ", "UPDATE ", "DELETE FROM "].iter().find_map(|verb| sql.strip_prefix(verb))?;
    target.trim_start_matches('"').split(['"', ' ', '(']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_that_a_statement_writes_to_is_known() {
        for (sql, table) in [
            (r#"INSERT INTO "customers" ("id") VALUES (?)"#, Some("customers")),
            (r#"UPDATE "contacts" SET "name" = ?"#, Some("contacts")),
            (r#"DELETE FROM "follow_ups" WHERE true"#, Some("follow_ups")),
            ("WITH old AS (SELECT 1) DELETE FROM x", None),
            ("UPDATE contacts SET name = ?", Some("contacts")),
            ("INSERT INTO search_documents(tenant_id) VALUES (?)", Some("search_documents")),
        ] {
            assert_eq!(written_table(sql), table, "{sql}");
        }
    }
}
