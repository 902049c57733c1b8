//! Indexing anew, after an upgrade and beside the release before: values whose blind index is of a former form are given those
//! of the present one ([`super::normalize`]), without being sealed anew. Until then they are found by their former form.
//!
//! What is left to do follows from the rows: an index of the table has those that are to be indexed. So it can be cut off at
//! any time, and any number of processes can be at it: none waits for a row that another has.

use std::sync::Arc;

use sea_orm::{
    ConnectionTrait, ExprTrait, QueryResult,
    sea_query::{Expr, LockBehavior, LockType, Order, Query},
};
use uuid::Uuid;

use super::{
    cipher::PiiCipher,
    rotate::{any_unindexed, next_rows, set_indexes},
    stored::{BlindIndex, PiiLocation, PiiTable, Sealed},
};
use crate::{
    database::{Database, Transaction},
    error::Result,
};

/// How far a pass through the tables is. The next one begins where it has come to the end.
#[derive(Debug, Default)]
pub struct Pass {
    table: usize,
    /// The last row's tenant and id.
    after: Option<(String, Uuid)>,
    damage: Damage,
}

/// The rows that a pass left as they are, because a value in them does not open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Damage {
    /// How many.
    pub rows: u64,
    /// Where the first such value is; never what it is.
    pub first: Option<String>,
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It looked at some rows, of which it indexed so many; there may be more.
    Indexed(u64),
    /// The pass is at its end. Where there is damage, the next one will meet it again.
    Done(Damage),
}

/// Indexes the next rows, in a small transaction. A value that does not open is left as it is.
///
/// # Errors
/// A fault of the database: then nothing is changed, and the step can be taken again.
pub async fn step(database: &Database, cipher: &Arc<PiiCipher>, tables: &[PiiTable], pass: &mut Pass) -> Result<Step> {
    while let Some(table) = tables.get(pass.table) {
        if let Some(batch) = batch(database, cipher, *table, pass.after.clone()).await? {
            pass.after = Some(batch.last);
            pass.damage.rows += batch.damage.rows;
            pass.damage.first = pass.damage.first.take().or(batch.damage.first);
            return Ok(Step::Indexed(batch.indexed));
        }
        pass.table += 1;
        pass.after = None;
    }
    Ok(Step::Done(std::mem::take(pass).damage))
}

/// How many rows are to be indexed, or cannot be; of each table, so many are counted at most.
///
/// # Errors
/// A fault of the database.
pub async fn left(database: &Database, tables: &[PiiTable], at_most: u64) -> Result<u64> {
    let mut rows = 0;
    for table in tables {
        // In the order of the index that has these rows alone: PostgreSQL, which takes them for many, would read all others.
        let mut left = Query::select();
        left.column("tenant_id").from(table.name).cond_where(any_unindexed(table));
        left.order_by("tenant_id", Order::Asc).order_by(table.id, Order::Asc).limit(at_most);
        rows += database.read().query_all(&left).await?.len() as u64;
    }
    Ok(rows)
}

/// What became of some rows.
struct Batch {
    indexed: u64,
    damage: Damage,
    /// The last row's tenant and id.
    last: (String, Uuid),
}

/// Indexes the next rows; none where there are none.
async fn batch(
    database: &Database,
    cipher: &Arc<PiiCipher>,
    table: PiiTable,
    after: Option<(String, Uuid)>,
) -> Result<Option<Batch>> {
    let mut rows = next_rows(&table, any_unindexed(&table), after);
    // Mostly there are none: then nobody has to wait for a transaction.
    if database.read().query_all(&rows).await?.is_empty() {
        return Ok(None);
    }
    rows.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
    let cipher = Arc::clone(cipher);
    database
        .transact(move |transaction| {
            let (rows, cipher) = (rows.clone(), Arc::clone(&cipher));
            Box::pin(async move {
                let (mut indexed, mut damage, mut last) = (0, Damage::default(), None);
                for row in transaction.query_all(&rows).await? {
                    let key: (String, Uuid) = (row.try_get("", "tenant_id")?, row.try_get("", table.id)?);
                    indexed += u64::from(index_row(transaction, &cipher, &table, &key, (&row, &mut damage)).await?);
                    last = Some(key);
                }
                Ok(last.map(|last| Batch { indexed, damage, last }))
            })
        })
        .await
}

/// Gives the values of a row their present indexes; returns whether any of them opened.
async fn index_row(
    transaction: &Transaction,
    cipher: &PiiCipher,
    table: &PiiTable,
    (tenant, id): &(String, Uuid),
    (row, damage): (&QueryResult, &mut Damage),
) -> Result<bool> {
    let mut damaged = None;
    let mut update = Query::update();
    update.table(table.name);
    for field in table.columns {
        let index = |name: &str| row.try_get::<Option<BlindIndex>>("", name);
        if index(field.index)? == index(field.indexed)? {
            continue;
        }
        let Some(sealed) = row.try_get::<Option<Sealed>>("", field.name)? else {
            // It was cleared or erased by a process that does not know all columns.
            set_indexes(&mut update, field, None);
            continue;
        };
        let location = PiiLocation { tenant, id: *id };
        match cipher.index_anew(field, location, &sealed) {
            Ok(indexes) => set_indexes(&mut update, field, Some(indexes)),
            Err(_) => damaged = damaged.or_else(|| Some(field.place(location))),
        }
    }
    damage.rows += u64::from(damaged.is_some());
    damage.first = damage.first.take().or(damaged);
    let is_changed = !update.get_values().is_empty();
    if is_changed {
        update.and_where(Expr::col("tenant_id").eq(tenant.as_str())).and_where(Expr::col(table.id).eq(*id));
        transaction.execute(&update).await?;
    }
    Ok(is_changed)
}
