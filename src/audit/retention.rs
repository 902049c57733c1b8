//! Retention: a background task deletes entries after a number of days.
//!
//! Entries are deleted in chain order, and only once all before them are due. The head keeps the number and hash of the
//! last deleted entry, so that the rest stays verifiable. An entry that does not match its hash is kept, with all that
//! follow it, for `crm audit verify` to find. The database itself rejects every other deletion.

use std::collections::HashMap;

use sea_orm::{ColumnTrait, ConnectionTrait, QueryFilter, QueryOrder, QuerySelect, Statement};
use uuid::Uuid;

use super::{
    chain, chain_store,
    entity::{chain as links, logs},
};
use crate::{
    database::{
        Database, Transaction,
        horizon::Due,
        tenancy::{Listed, Tenanted},
    },
    error::{ErrorKind, Result},
    values::Tenant,
};

/// Number of entries deleted per transaction.
const BATCH: u64 = 500;

/// Deletes the entries from before `due` and returns their number.
///
/// # Errors
/// A database error. What was deleted by then stays deleted.
pub async fn purge(database: &Database, due: Due) -> Result<u64> {
    let mut purged = 0;
    for tenant in tenants_with_due_entries(&database.read(), due).await? {
        loop {
            let tenant = tenant.clone();
            let batch = database
                .transact(move |transaction| {
                    let tenant = tenant.clone();
                    Box::pin(async move { purge_batch(transaction, &tenant, due).await })
                })
                .await;
            match batch {
                Ok(batch) => {
                    purged += batch;
                    if batch == BATCH {
                        continue;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
                // An unreadable trail must not block retention for other tenants.
                Err(error) => {
                    let cause = error.cause().unwrap_or_default();
                    tracing::error!(cause, "the audit trail of a tenant cannot be purged: see `crm audit verify`");
                }
            }
            break;
        }
    }
    Ok(purged)
}

/// The tenants whose oldest chained entry is due.
async fn tenants_with_due_entries(db: &impl ConnectionTrait, due: Due) -> Result<Vec<Tenant>> {
    let sql = "SELECT h.tenant_id FROM audit_heads h \
               JOIN audit_chain c ON c.tenant_id = h.tenant_id AND c.sequence = h.purged_sequence + 1 \
               JOIN audit_logs l ON l.tenant_id = c.tenant_id AND l.audit_log_id = c.audit_log_id \
               WHERE l.occurred_at < $1";
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, [due.instant().into()]);
    let rows = db.query_all_raw(statement).await?;
    rows.iter().map(|row| Ok(Tenant::stored(row.try_get_by_index(0)?))).collect()
}

/// Deletes the tenant's oldest entries that are due.
async fn purge_batch(transaction: &Transaction, tenant: &Tenant, due: Due) -> Result<u64> {
    let head = chain_store::lock_head(transaction, tenant).await?;
    let oldest = links::Entity::of(tenant).filter(links::Column::Sequence.gt(head.purged_sequence));
    let oldest = oldest.order_by_asc(links::Column::Sequence).limit(BATCH).all(transaction).await?;
    let ids = oldest.iter().map(|link| link.audit_log_id);
    let entries = logs::Entity::of(tenant).filter(<logs::Entity as Listed>::ID.is_in(ids)).all(transaction).await?;
    let entries: HashMap<Uuid, logs::Model> = entries.into_iter().map(|entry| (entry.audit_log_id, entry)).collect();
    let mut going = Vec::new();
    let mut before = head.purged_hash.clone();
    for link in oldest {
        // Keep what was tampered with: once deleted, it could no longer be found.
        let entry = entries.get(&link.audit_log_id);
        let sound = entry.map(|entry| chain::link(&before, link.sequence, entry)).transpose()?;
        if sound.as_ref() != Some(&link.hash) {
            let (tenant, number) = (tenant.as_str(), link.sequence);
            tracing::error!(tenant, number, "the audit trail was tampered with: see `crm audit verify`");
            break;
        }
        if entry.is_none_or(|entry| entry.occurred_at >= due.instant()) {
            break;
        }
        before.clone_from(&link.hash);
        going.push(link);
    }
    chain_store::remove_oldest(transaction, tenant, head, &going, due).await?;
    Ok(going.len() as u64)
}
