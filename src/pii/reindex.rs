//! Indexing anew, after an upgrade and beside the release before: values whose blind index is of a former form are given those
//! of the present one ([`super::normalize`]), without being sealed anew. Until then they are found by their former form.
//!
//! What is left to do follows from the rows: an index of the table has those that are to be indexed. So it can be cut off at
//! any time, and any number of processes can be at it: none waits for a row that another has.

use std::sync::Arc;

use sea_orm::{
    ConnectionTrait, ExprTrait, QueryResult,
    sea_query::{Cond, Expr, LockBehavior, LockType, Query},
};
use uuid::Uuid;

use super::{
    cipher::PiiCipher,
    rotate::{next_rows, set_indexes, unindexed},
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
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It looked at some rows, of which it indexed so many; there may be more.
    Indexed(u64),
    /// The pass is at its end.
    Done,
}

/// Indexes the next rows, in a small transaction. A value that does not open is left as it is.
///
/// # Errors
/// A fault of the database: then nothing is changed, and the step can be taken again.
pub async fn step(database: &Database, cipher: &Arc<PiiCipher>, tables: &[PiiTable], pass: &mut Pass) -> Result<Step> {
    while let Some(table) = tables.get(pass.table) {
        if let Some((indexed, last)) = batch(database, cipher, *table, pass.after.clone()).await? {
            pass.after = Some(last);
            return Ok(Step::Indexed(indexed));
        }
        *pass = Pass { table: pass.table + 1, after: None };
    }
    *pass = Pass::default();
    Ok(Step::Done)
}

/// How many of the next rows are indexed, and the last one's tenant and id; none where there are none.
async fn batch(
    database: &Database,
    cipher: &Arc<PiiCipher>,
    table: PiiTable,
    after: Option<(String, Uuid)>,
) -> Result<Option<(u64, (String, Uuid))>> {
    // As in the index of the table, whose condition must be recognized.
    let any = table.columns.iter().fold(Cond::any(), |any, field| any.add(unindexed(field)));
    let mut rows = next_rows(&table, any, after);
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
                let (mut indexed, mut last) = (0, None);
                for row in transaction.query_all(&rows).await? {
                    let key: (String, Uuid) = (row.try_get("", "tenant_id")?, row.try_get("", table.id)?);
                    indexed += u64::from(index_row(transaction, &cipher, &table, &key, &row).await?);
                    last = Some(key);
                }
                Ok(last.map(|last| (indexed, last)))
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
    row: &QueryResult,
) -> Result<bool> {
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
        if let Ok(indexes) = cipher.index_anew(field, PiiLocation { tenant, id: *id }, &sealed) {
            set_indexes(&mut update, field, Some(indexes));
        }
    }
    let is_changed = !update.get_values().is_empty();
    if is_changed {
        update.and_where(Expr::col("tenant_id").eq(tenant.as_str())).and_where(Expr::col(table.id).eq(*id));
        transaction.execute(&update).await?;
    }
    Ok(is_changed)
}
