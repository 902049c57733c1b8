//! Rotation: every stored value is brought into the form in which a new one would be stored. Values under former keys and
//! values in clear are sealed with the first key, and indexed anew; where sealing is off, all are stored in clear.
//!
//! It goes through the tables in small transactions while the service runs. It never waits for a row that is being changed,
//! but comes back to it. Interrupted, it can be run again: what is done is not done twice.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sea_orm::{
    ConnectionTrait, ExprTrait, QueryResult,
    sea_query::{
        Alias, Cond, Expr, Func, IntoCondition, LockBehavior, LockType, Order, Query, SelectStatement, UpdateStatement,
    },
};
use uuid::Uuid;

use super::{
    cipher::{self, PiiCipher},
    key_registry,
    stored::{BlindIndex, Indexes, PiiField, PiiLocation, PiiTable, Sealed},
};
use crate::{
    config::KeyId,
    database::{Database, Transaction},
    error::Result,
};

/// The rows of a transaction.
const BATCH: u64 = 100;
/// How often to go through a table, for rows that were being changed.
const PASSES: u32 = 5;
/// The pause between two passes.
const PASS_PAUSE: Duration = Duration::from_millis(100);
/// The shortest pause between two transactions, in which others write.
const BATCH_PAUSE: Duration = Duration::from_millis(5);

/// The result of a rotation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// How many rows were sealed anew.
    pub rows: u64,
    /// The places whose values do not open, and were left as they are.
    pub damaged: Vec<String>,
    /// Each former key, and [`key_registry::CLEAR`], with the number of values that are left under it. At zero it was
    /// forgotten.
    pub left: Vec<(String, u64)>,
    /// Whether values in clear were sealed: only a cleaning of the database removes what remains of them in its files.
    pub sealed_clear: bool,
}

/// Brings every stored value of `tables` into its current form; with `all`, also those that are in it already, so that
/// their index is made anew. `progress` is called with the number of rows that are done, and of all.
///
/// # Errors
/// A fault of the database. What was done until then is kept.
pub async fn run(
    database: &Database,
    cipher: &Arc<PiiCipher>,
    tables: &[PiiTable],
    all: bool,
    progress: &dyn Fn(u64, u64),
) -> Result<Report> {
    let rotation = Rotation { database, cipher, all };
    let mut report = Report::default();
    let mut total = 0;
    for table in tables {
        total += rotation.count(table, outdated(table, cipher, all)).await?;
    }
    progress(0, total);
    for table in tables {
        rotation.table(table, &mut report, &|rows| progress(rows, Ord::max(total, rows))).await?;
    }
    report.damaged.sort();
    report.damaged.dedup();
    report.left = rotation.forget_former_keys(tables).await?;
    Ok(report)
}

struct Rotation<'a> {
    database: &'a Database,
    cipher: &'a Arc<PiiCipher>,
    all: bool,
}

/// The rotation of a transaction's rows.
#[derive(Default)]
struct Batch {
    rows: u64,
    damaged: Vec<String>,
    damaged_rows: u64,
    sealed_clear: bool,
    /// The last row's tenant and id.
    last: (String, Uuid),
    elapsed: Duration,
}

impl Rotation<'_> {
    async fn table(&self, table: &PiiTable, report: &mut Report, progress: &dyn Fn(u64)) -> Result<()> {
        for _pass in 0..PASSES {
            let (mut after, mut damaged_rows) = (None, 0);
            while let Some(batch) = self.batch(table, after).await? {
                report.rows += batch.rows;
                report.sealed_clear |= batch.sealed_clear;
                damaged_rows += batch.damaged_rows;
                report.damaged.extend(batch.damaged);
                after = Some(batch.last);
                progress(report.rows);
                tokio::time::sleep(BATCH_PAUSE.max(batch.elapsed)).await;
            }
            // Rows beyond the damaged ones were being changed.
            if self.all || self.count(table, outdated(table, self.cipher, false)).await? <= damaged_rows {
                break;
            }
            tokio::time::sleep(PASS_PAUSE).await;
        }
        Ok(())
    }

    /// Rotates the next rows after `after`, by tenant and id; `None` when there are none.
    async fn batch(&self, table: &PiiTable, after: Option<(String, Uuid)>) -> Result<Option<Batch>> {
        let mut rows = next_rows(table, outdated(table, self.cipher, self.all), after);
        rows.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
        let (table, cipher, all) = (*table, Arc::clone(self.cipher), self.all);
        self.database
            .transact(move |transaction| {
                let (rows, cipher) = (rows.clone(), Arc::clone(&cipher));
                Box::pin(async move {
                    let started = Instant::now();
                    let mut batch = Batch::default();
                    let rows = transaction.query_all(&rows).await?;
                    for row in &rows {
                        rotate_row(transaction, (&cipher, all), &table, row, &mut batch).await?;
                    }
                    batch.elapsed = started.elapsed();
                    Ok((!rows.is_empty()).then_some(batch))
                })
            })
            .await
    }

    /// Forgets the keys that no value is sealed with any more; the names of all former ones, with the number of values left.
    async fn forget_former_keys(&self, tables: &[PiiTable]) -> Result<Vec<(String, u64)>> {
        let current = self.cipher.sealing_key().map_or(key_registry::CLEAR, |key| key.as_str());
        let mut former = Vec::new();
        for name in key_registry::names(self.database).await?.into_iter().filter(|name| name != current) {
            let mut left = 0;
            for table in tables {
                for field in table.columns {
                    left += self.count(table, sealed_with(field, &name)).await?;
                }
            }
            if left == 0 {
                key_registry::forget(self.database, &name).await?;
            }
            former.push((name, left));
        }
        Ok(former)
    }

    async fn count(&self, table: &PiiTable, rows: Cond) -> Result<u64> {
        count(self.database, table, rows).await
    }
}

/// How many of these rows there are.
pub(super) async fn count(database: &Database, table: &PiiTable, rows: Cond) -> Result<u64> {
    let count = Func::count(Expr::col("tenant_id"));
    let query: SelectStatement = Query::select().expr(count).from(table.name).cond_where(rows).to_owned();
    let row = database.read().query_one(&query).await?;
    let count = row.map(|row| row.try_get_by_index::<i64>(0)).transpose()?.unwrap_or_default();
    Ok(u64::try_from(count).unwrap_or_default())
}

async fn rotate_row(
    transaction: &Transaction,
    (cipher, all): (&PiiCipher, bool),
    table: &PiiTable,
    row: &QueryResult,
    batch: &mut Batch,
) -> Result<()> {
    let damaged_before = batch.damaged.len();
    let tenant: String = row.try_get("", "tenant_id")?;
    let id: Uuid = row.try_get("", table.id)?;
    let mut update = Query::update();
    update.table(table.name);
    for field in table.columns {
        let Some(stored) = row.try_get::<Option<Sealed>>("", field.name)? else { continue };
        let index: Option<BlindIndex> = row.try_get("", field.index)?;
        let is_indexed = index.is_some() && index == row.try_get("", field.indexed)?;
        if is_indexed && cipher.is_current(&stored) && !all {
            continue;
        }
        let location = PiiLocation { tenant: &tenant, id };
        match cipher.open(field, location, &stored) {
            Ok(clear) => {
                batch.sealed_clear |= stored.is_clear() && cipher.sealing_key().is_some();
                let (sealed, indexes) = cipher.seal(field, location, &clear)?;
                update.value(field.name, sealed);
                set_indexes(&mut update, field, Some(indexes));
            }
            Err(_) => batch.damaged.push(field.place(location)),
        }
    }
    batch.damaged_rows += u64::from(batch.damaged.len() > damaged_before);
    batch.last = (tenant.clone(), id);
    if !update.get_values().is_empty() {
        update.and_where(Expr::col("tenant_id").eq(tenant)).and_where(Expr::col(table.id).eq(id));
        transaction.execute(&update).await?;
        batch.rows += 1;
    }
    Ok(())
}

/// The next rows of these after `after`, by tenant and id, with the columns for personal data.
pub(super) fn next_rows(table: &PiiTable, rows: Cond, after: Option<(String, Uuid)>) -> SelectStatement {
    let mut next = Query::select();
    next.columns(["tenant_id", table.id].map(Alias::new)).from(table.name);
    let columns = |field: &PiiField| [field.name, field.index, field.indexed];
    next.columns(table.columns.iter().flat_map(columns).map(Alias::new)).cond_where(rows);
    if let Some((tenant, id)) = after {
        let key = Expr::tuple([Expr::col("tenant_id"), Expr::col(table.id)]);
        next.and_where(key.gt(Expr::tuple([Expr::val(tenant), Expr::val(id)])));
    }
    next.order_by("tenant_id", Order::Asc).order_by(table.id, Order::Asc).limit(BATCH).to_owned()
}

/// Writes the indexes of a value into its columns; none where there is no value.
pub(super) fn set_indexes(update: &mut UpdateStatement, field: &PiiField, indexes: Option<Indexes>) {
    let (full, base) = indexes.map(|Indexes { full, base }| (full, base)).unzip();
    update.value(field.index, full.clone()).value(field.indexed, full);
    if let Some(column) = field.base {
        update.value(column, base.flatten());
    }
}

/// The rows with a value that is not in its current form, or with any value where `all` are rotated.
fn outdated(table: &PiiTable, cipher: &PiiCipher, all: bool) -> Cond {
    table.columns.iter().fold(Cond::any(), |outdated, field| {
        let is_sealed_otherwise = match cipher.prefix() {
            Some(prefix) => starts_with(field, &prefix).not(),
            None => starts_with(field, "*"),
        };
        let is_outdated = match all {
            true => Expr::val(true).into_condition(),
            false => Cond::any().add(Expr::col(field.index).is_null()).add(unindexed(field)).add(is_sealed_otherwise),
        };
        outdated.add(Cond::all().add(Expr::col(field.name).is_not_null()).add(is_outdated))
    })
}

/// The rows of which a value's index is not of the present form. As in the index of the table, whose condition must be
/// recognized.
pub(super) fn any_unindexed(table: &PiiTable) -> Cond {
    table.columns.iter().fold(Cond::any(), |any, field| any.add(unindexed(field)))
}

/// Where the index is not of the present form.
fn unindexed(field: &PiiField) -> Expr {
    Expr::cust(format!("{} IS DISTINCT FROM {}", field.indexed, field.index))
}

/// The rows with a value that is sealed with this key, or in clear for [`key_registry::CLEAR`].
fn sealed_with(field: &PiiField, name: &str) -> Cond {
    let form = match KeyId::parse(name) {
        Some(id) => starts_with(field, &cipher::prefix(&id)),
        None => starts_with(field, "*").not(),
    };
    Cond::all().add(Expr::col(field.name).is_not_null()).add(form)
}

/// Not `LIKE`, which ignores case on SQLite.
fn starts_with(field: &PiiField, prefix: &str) -> Expr {
    // PostgreSQL's substr takes 32 bits.
    let length = i32::try_from(prefix.len()).unwrap_or(i32::MAX);
    let beginning = Func::cust("substr").arg(Expr::col(field.name)).arg(1_i32).arg(length);
    Expr::from(beginning).eq(prefix)
}
