//! Rotation: every stored value is brought into the form in which it would be stored now. Values under former keys, and
//! those in clear, are sealed with the first key; where sealing is switched off, all are stored in clear.
//!
//! It goes through the tables in small transactions while the service runs, and never waits for a row that is being
//! changed: it comes back to it. Interrupted, it is simply run again: what is done is not done twice.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sea_orm::{
    ConnectionTrait, ExprTrait, QueryResult,
    sea_query::{Alias, Cond, Expr, Func, IntoCondition, LockBehavior, LockType, Order, Query, SelectStatement},
};
use uuid::Uuid;

use super::{
    BlindIndex, PiiTable, Sealed, registry,
    vault::{Column, Row, Vault},
};
use crate::{
    contacts, customers,
    database::{Database, Transaction},
    error::Result,
};

/// Every table with personal data.
pub const TABLES: [PiiTable; 2] = [customers::PII, contacts::PII];

/// How many rows a transaction takes.
const BATCH: u64 = 100;
/// How often rows are looked for again that were being changed.
const PASSES: u32 = 5;
/// The pause before looking for them.
const AGAIN: Duration = Duration::from_millis(100);
/// The least pause between two transactions, in which others write.
const PAUSE: Duration = Duration::from_millis(5);

/// What a rotation came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// How many rows were sealed anew.
    pub rows: u64,
    /// The places whose values do not open, and were left as they are.
    pub damaged: Vec<String>,
    /// What is left under each former key, and in clear: name and number of values. Without any it was forgotten.
    pub left: Vec<(String, u64)>,
    /// Whether values in clear were sealed, whose remains only the database's own cleaning removes.
    pub sealed_clear: bool,
}

/// Brings every stored value into its present form; `all`: also those that are in it already, so that their index is made
/// anew. `progress` is told how many rows are done, of how many.
///
/// # Errors
/// A fault of the database. What was done until then is kept.
pub async fn run(database: &Database, vault: &Arc<Vault>, all: bool, progress: &dyn Fn(u64, u64)) -> Result<Report> {
    let mut report = Report::default();
    let mut total = 0;
    for table in TABLES {
        total += count(database, counted(&table, pending(&table, vault, all))).await?;
    }
    progress(0, total);
    for table in TABLES {
        for _pass in 0..PASSES {
            let (mut after, mut damaged_rows) = (None, 0);
            while let Some(batch) = rotate_batch(database, vault, table, all, after).await? {
                report.rows += batch.rows;
                report.sealed_clear |= batch.sealed_clear;
                damaged_rows += batch.damaged_rows;
                report.damaged.extend(batch.damaged);
                after = Some(batch.last);
                progress(report.rows, Ord::max(total, report.rows));
                tokio::time::sleep(PAUSE.max(batch.took)).await;
            }
            // What is left now, besides the damaged rows, was being changed.
            if all || count(database, counted(&table, pending(&table, vault, false))).await? <= damaged_rows {
                break;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
    report.damaged.sort();
    report.damaged.dedup();
    let present = vault.sealing_key().map_or(registry::CLEAR, |key| key.as_str());
    for name in registry::names(database).await?.into_iter().filter(|name| name != present) {
        let mut left = 0;
        for table in TABLES {
            for column in table.columns {
                left += count(database, counted(&table, under(column, &name))).await?;
            }
        }
        if left == 0 {
            registry::forget(database, &name).await?;
        }
        report.left.push((name, left));
    }
    Ok(report)
}

/// A transaction's worth of rotation.
struct Batch {
    rows: u64,
    damaged: Vec<String>,
    damaged_rows: u64,
    sealed_clear: bool,
    last: (String, Uuid),
    took: Duration,
}

/// Rotates the next rows after `after`, in the order of their keys; `None` when there are none.
async fn rotate_batch(
    database: &Database,
    vault: &Arc<Vault>,
    table: PiiTable,
    all: bool,
    after: Option<(String, Uuid)>,
) -> Result<Option<Batch>> {
    let mut rows = Query::select();
    rows.columns(["tenant_id", table.id].map(Alias::new)).from(table.name);
    rows.columns(table.columns.iter().flat_map(|column| [column.name, column.index]).map(Alias::new));
    rows.cond_where(pending(&table, vault, all));
    if let Some((tenant, id)) = after {
        let key = Expr::tuple([Expr::col("tenant_id"), Expr::col(table.id)]);
        rows.and_where(key.gt(Expr::tuple([Expr::val(tenant), Expr::val(id)])));
    }
    rows.order_by("tenant_id", Order::Asc).order_by(table.id, Order::Asc).limit(BATCH);
    rows.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);

    let sealing = Arc::clone(vault);
    database
        .transact(move |transaction| {
            let (rows, vault) = (rows.clone(), Arc::clone(&sealing));
            Box::pin(async move {
                let started = Instant::now();
                let mut batch = Batch {
                    rows: 0,
                    damaged: Vec::new(),
                    damaged_rows: 0,
                    sealed_clear: false,
                    last: (String::new(), Uuid::nil()),
                    took: Duration::ZERO,
                };
                let rows = transaction.query_all(&rows).await?;
                for row in &rows {
                    rotate_row(transaction, (&vault, all), &table, row, &mut batch).await?;
                }
                batch.took = started.elapsed();
                Ok((!rows.is_empty()).then_some(batch))
            })
        })
        .await
}

async fn rotate_row(
    transaction: &Transaction,
    (vault, all): (&Vault, bool),
    table: &PiiTable,
    row: &QueryResult,
    batch: &mut Batch,
) -> Result<()> {
    let damaged_before = batch.damaged.len();
    let tenant: String = row.try_get("", "tenant_id")?;
    let id: Uuid = row.try_get("", table.id)?;
    let mut update = Query::update();
    update.table(table.name);
    for column in table.columns {
        let Some(stored) = row.try_get::<Option<Sealed>>("", column.name)? else { continue };
        let has_index = row.try_get::<Option<BlindIndex>>("", column.index)?.is_some();
        if has_index && vault.is_present(&stored) && !all {
            continue;
        }
        let place = Row { tenant: &tenant, id };
        match vault.open(column, place, &stored) {
            Ok(clear) => {
                batch.sealed_clear |= stored.is_clear() && vault.sealing_key().is_some();
                let (sealed, index) = vault.seal(column, place, &clear)?;
                update.value(column.name, sealed).value(column.index, index);
            }
            Err(_) => batch.damaged.push(format!("{}.{} of row {id} of tenant {tenant}", column.table, column.name)),
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

/// The rows with a value that is not in its present form.
fn pending(table: &PiiTable, vault: &Vault, all: bool) -> Cond {
    table.columns.iter().fold(Cond::any(), |pending, column| {
        let value = Expr::col(column.name);
        let outdated = match vault.prefix() {
            _ if all => Expr::val(true).into_condition(),
            Some(prefix) => Cond::any().add(Expr::col(column.index).is_null()).add(starts_with(column, &prefix).not()),
            None => Cond::any().add(Expr::col(column.index).is_null()).add(starts_with(column, "*")),
        };
        pending.add(Cond::all().add(value.is_not_null()).add(outdated))
    })
}

/// The values that are sealed with a key, or in clear.
fn under(column: &Column, name: &str) -> Cond {
    let value = Expr::col(column.name);
    let form = match super::keys::KeyId::parse(name) {
        Some(id) => starts_with(column, &super::vault::prefix(&id)),
        None => starts_with(column, "*").not(),
    };
    Cond::all().add(value.is_not_null()).add(form)
}

/// Not `LIKE`, which is blind to case on SQLite.
fn starts_with(column: &Column, prefix: &str) -> Expr {
    // PostgreSQL's substr takes 32 bits.
    let length = i32::try_from(prefix.len()).unwrap_or(i32::MAX);
    let beginning = Func::cust("substr").arg(Expr::col(column.name)).arg(1_i32).arg(length);
    Expr::from(beginning).eq(prefix)
}

fn counted(table: &PiiTable, rows: Cond) -> SelectStatement {
    Query::select().expr(Func::count(Expr::col("tenant_id"))).from(table.name).cond_where(rows).to_owned()
}

async fn count(database: &Database, query: SelectStatement) -> Result<u64> {
    let row = database.read().query_one(&query).await?;
    let count = row.map(|row| row.try_get_by_index::<i64>(0)).transpose()?.unwrap_or_default();
    Ok(u64::try_from(count).unwrap_or_default())
}
