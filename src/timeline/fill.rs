//! Filling timelines from the audit trail, in steps: with entries that were there before timelines were kept, and with those that a
//! process of the release before writes. And removing the timelines of customers that are gone.
//!
//! What is left to do is in the tables `timeline_builds`, `timeline_queue` and `timeline_removals`: a step that is cut off is taken
//! again, by whichever process comes to it. An item is the same whoever writes it, and is written once.
//!
//! An entry mostly says nothing of the customer of its resource, which never changes, or only where the entry says so. Then it is
//! the one that the next entry which names one says it was, or the one that the row still has.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbBackend, QueryFilter, QueryOrder, QuerySelect, Statement, Value,
};
use uuid::Uuid;

use super::{
    entity::Model,
    item::{Owner, about, changes, items},
    store,
};
use crate::{
    audit::logs,
    database::{Database, Transaction, tenancy::Tenanted},
    error::Result,
    events::changes::types::ChangedType,
    values::Tenant,
};

/// The entries of a transaction: so few that nobody who waits for it waits for long.
const ENTRIES: u64 = 50;
/// The items of a customer that is gone that are removed at once.
const ITEMS: u64 = 500;

/// A table whose rows belong to customers.
#[derive(Debug, Clone, Copy)]
pub struct OwnedTable {
    /// The resource type.
    pub resource_type: &'static str,
    /// The table.
    pub name: &'static str,
    /// The column with the row's id.
    pub id: &'static str,
    /// The column with the id of the customer.
    pub owner: &'static str,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It went through entries; so many since the beginning.
    Filled(u64),
    /// Nothing: another process is at it.
    Elsewhere,
    /// There is nothing to fill in, or no more.
    Done,
}

/// Writes the items of the next entries of the release before; whether there were any.
///
/// # Errors
/// A fault of the database: then nothing is changed.
pub async fn work_off(database: &Database, tables: &[OwnedTable]) -> Result<bool> {
    if !is_any(database, "timeline_queue").await? {
        return Ok(false);
    }
    let tables = tables.to_vec();
    database
        .transact(move |transaction| {
            let tables = tables.clone();
            Box::pin(async move {
                let queued = queued(transaction).await?;
                let mut written = Vec::new();
                for (tenant, at, id) in &queued {
                    let tenant = Tenant::stored(tenant.clone());
                    // The retention may have been here first.
                    let entry = logs::Entity::of(&tenant).filter(logs::Column::AuditLogId.eq(*id));
                    for entry in entry.all(transaction).await? {
                        written.extend(items_of(transaction, &tables, &entry, &mut None).await?);
                    }
                    let sql =
                        "DELETE FROM timeline_queue WHERE tenant_id = $1 AND occurred_at = $2 AND audit_log_id = $3";
                    execute(transaction, sql, [tenant.as_str().into(), (*at).into(), (*id).into()]).await?;
                }
                write_kept(transaction, written).await?;
                Ok(!queued.is_empty())
            })
        })
        .await
}

/// Looked at without a transaction that writes: mostly there is nothing.
async fn is_any(database: &Database, table: &str) -> Result<bool> {
    let db = database.read();
    let sql = format!("SELECT 1 FROM {table} LIMIT 1");
    Ok(db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await?.is_some())
}

async fn queued(transaction: &Transaction) -> Result<Vec<(String, DateTime<Utc>, Uuid)>> {
    let backend = transaction.get_database_backend();
    let sql = format!(
        "SELECT tenant_id, occurred_at, audit_log_id FROM timeline_queue \
         ORDER BY tenant_id, occurred_at, audit_log_id LIMIT {ENTRIES}{}",
        skip_locked(backend)
    );
    let rows = transaction.query_all_raw(Statement::from_string(backend, sql)).await?;
    rows.iter().map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?, row.try_get_by_index(2)?))).collect()
}

fn skip_locked(backend: DbBackend) -> &'static str {
    if backend == DbBackend::Postgres { " FOR UPDATE SKIP LOCKED" } else { "" }
}

async fn execute(transaction: &Transaction, sql: &str, values: impl IntoIterator<Item = Value>) -> Result<u64> {
    let statement = Statement::from_sql_and_values(transaction.get_database_backend(), sql, values);
    Ok(transaction.execute_raw(statement).await?.rows_affected())
}

/// The items of an entry. `known` is the resource whose customer is known from the entry before, and is kept up to date.
async fn items_of(
    transaction: &Transaction,
    tables: &[OwnedTable],
    entry: &logs::Model,
    known: &mut Option<(Uuid, Option<Uuid>)>,
) -> Result<Vec<Model>> {
    let Some((kind, id)) = about(entry) else { return Ok(Vec::new()) };
    let changes = match changes(entry) {
        Ok(changes) => changes,
        // One that was damaged must not keep the others from being filled in.
        Err(error) => {
            tracing::error!(cause = error.cause(), "an audit entry cannot be read: it is in no timeline");
            return Ok(Vec::new());
        }
    };
    let before = known.filter(|(resource, _)| *resource == id).map(|(_, owner)| owner);
    let (before, after) = match (kind, Owner::of(&changes)) {
        (ChangedType::Customer, _) => (Some(id), Some(id)),
        (_, Owner::Moved(from, to)) => (from, to),
        (_, Owner::Unsaid) => {
            let owner = match before {
                Some(owner) => owner,
                None => owner_of(transaction, tables, (kind, id), entry).await?,
            };
            (owner, owner)
        }
    };
    *known = Some((id, after));
    Ok(items((entry, &changes), before))
}

/// The customer of a resource after an entry that does not say it.
async fn owner_of(
    transaction: &Transaction,
    tables: &[OwnedTable],
    (kind, id): (ChangedType, Uuid),
    entry: &logs::Model,
) -> Result<Option<Uuid>> {
    let Some(table) = tables.iter().find(|table| table.resource_type == kind.name()) else { return Ok(None) };
    let OwnedTable { name, id: id_column, owner, .. } = table;
    // Both of one instant: the row may move meanwhile.
    let sql = format!(
        "SELECT (SELECT changes FROM audit_logs WHERE tenant_id = $1 AND resource_id = $2 AND occurred_at >= $3 \
         AND (occurred_at > $3 OR audit_log_id > $4) AND changes LIKE '%\"field\":\"customerId\"%' \
         ORDER BY occurred_at, audit_log_id LIMIT 1) AS said, \
         (SELECT {owner} FROM {name} WHERE tenant_id = $1 AND {id_column} = $2) AS owner"
    );
    let logs::Model { tenant_id, audit_log_id, occurred_at, .. } = entry;
    let values = [tenant_id.as_str().into(), id.into(), (*occurred_at).into(), (*audit_log_id).into()];
    let statement = Statement::from_sql_and_values(transaction.get_database_backend(), sql, values);
    let Some(row) = transaction.query_one_raw(statement).await? else { return Ok(None) };
    let said: Option<String> = row.try_get("", "said")?;
    let said = said.and_then(|changes| serde_json::from_str(&changes).ok()).map(|changes: Vec<_>| Owner::of(&changes));
    match said {
        Some(Owner::Moved(from, _)) => Ok(from),
        Some(Owner::Unsaid) | None => Ok(row.try_get("", "owner")?),
    }
}

/// Writes those of the items whose customers are there. These are locked against their removal, in the order of their ids.
async fn write_kept(transaction: &Transaction, items: Vec<Model>) -> Result<()> {
    let backend = transaction.get_database_backend();
    let mut there = BTreeSet::new();
    let customers: BTreeSet<_> = items.iter().map(|item| (item.tenant_id.as_str(), item.customer_id)).collect();
    let lock = if backend == DbBackend::Postgres { " FOR KEY SHARE" } else { "" };
    let sql = format!(
        "SELECT customer_id FROM customers WHERE tenant_id = $1 AND customer_id = $2 AND deleted_at IS NULL{lock}"
    );
    for (tenant, customer) in customers {
        let statement = Statement::from_sql_and_values(backend, &sql, [tenant.into(), customer.into()]);
        if transaction.query_one_raw(statement).await?.is_some() {
            there.insert((tenant.to_owned(), customer));
        }
    }
    let kept = items.into_iter().filter(|item| there.contains(&(item.tenant_id.clone(), item.customer_id)));
    store::write(transaction, &kept.collect::<Vec<_>>());
    Ok(())
}

/// How far the entries are gone through that were there before: those of a tenant by resource, each from its first on.
struct Build {
    tenant: String,
    resource: Option<Uuid>,
    at: Option<DateTime<Utc>>,
    entry: Option<Uuid>,
    done: u64,
}

/// Goes on with the entries that were there before.
///
/// # Errors
/// A fault of the database: then nothing is changed.
pub async fn step(database: &Database, tables: &[OwnedTable]) -> Result<Step> {
    if !is_any(database, "timeline_builds").await? {
        return Ok(Step::Done);
    }
    let tables = tables.to_vec();
    database
        .transact(move |transaction| {
            let tables = tables.clone();
            Box::pin(async move {
                match Build::lock(transaction).await? {
                    Some(build) => build.step(transaction, &tables).await,
                    None => Ok(Step::Elsewhere),
                }
            })
        })
        .await
}

impl Build {
    async fn lock(transaction: &Transaction) -> Result<Option<Self>> {
        let backend = transaction.get_database_backend();
        let sql = format!(
            "SELECT tenant_id, resource_id, occurred_at, audit_log_id, done FROM timeline_builds WHERE id = 1{}",
            skip_locked(backend)
        );
        let Some(row) = transaction.query_one_raw(Statement::from_string(backend, sql)).await? else { return Ok(None) };
        Ok(Some(Self {
            tenant: row.try_get_by_index(0)?,
            resource: row.try_get_by_index(1)?,
            at: row.try_get_by_index(2)?,
            entry: row.try_get_by_index(3)?,
            done: row.try_get_by_index::<i64>(4)?.unsigned_abs(),
        }))
    }

    async fn step(mut self, transaction: &Transaction, tables: &[OwnedTable]) -> Result<Step> {
        let tenant = Tenant::stored(self.tenant.clone());
        let entries = self.next_entries(transaction, &tenant).await?;
        let (mut known, mut written) = (None, Vec::new());
        for entry in &entries {
            written.extend(items_of(transaction, tables, entry, &mut known).await?);
        }
        write_kept(transaction, written).await?;
        self.done += entries.len() as u64;
        if let Some(last) = entries.last() {
            (self.resource, self.at, self.entry) = (last.resource_id, Some(last.occurred_at), Some(last.audit_log_id));
            return self.put(transaction).await;
        }
        begin_timelines(transaction, &tenant).await?;
        match next_tenant(transaction, &tenant).await? {
            Some(next) => Self { tenant: next, resource: None, at: None, entry: None, ..self }.put(transaction).await,
            None => {
                execute(transaction, "DELETE FROM timeline_builds WHERE id = $1", [1.into()]).await?;
                Ok(Step::Done)
            }
        }
    }

    /// The rest of the resource's entries, and those of the resources behind it: by an index that begins with the resource.
    async fn next_entries(&self, transaction: &Transaction, tenant: &Tenant) -> Result<Vec<logs::Model>> {
        use logs::Column::{AuditLogId, OccurredAt, ResourceId};
        let mut entries = Vec::new();
        if let (Some(resource), Some(at), Some(entry)) = (self.resource, self.at, self.entry) {
            let rest = logs::Entity::of(tenant).filter(ResourceId.eq(resource)).filter(OccurredAt.gte(at));
            let rest = rest.filter(Condition::any().add(OccurredAt.gt(at)).add(AuditLogId.gt(entry)));
            let rest = rest.order_by_asc(OccurredAt).order_by_asc(AuditLogId).limit(ENTRIES);
            entries = rest.all(transaction).await?;
        }
        let left = ENTRIES.saturating_sub(entries.len() as u64);
        if left > 0 {
            let further = logs::Entity::of(tenant).filter(ResourceId.gt(self.resource.unwrap_or_default()));
            let further = further.order_by_asc(ResourceId).order_by_asc(OccurredAt).order_by_asc(AuditLogId);
            entries.extend(further.limit(left).all(transaction).await?);
        }
        Ok(entries)
    }

    async fn put(self, transaction: &Transaction) -> Result<Step> {
        let sql = "UPDATE timeline_builds SET tenant_id = $1, resource_id = $2, occurred_at = $3, audit_log_id = $4, \
                   done = $5 WHERE id = 1";
        let done = i64::try_from(self.done).unwrap_or(i64::MAX);
        let values = [self.tenant.into(), self.resource.into(), self.at.into(), self.entry.into(), done.into()];
        execute(transaction, sql, values).await?;
        Ok(Step::Filled(self.done))
    }
}

/// Notes since when the timelines of a tenant are whole whose entries were gone through: since the first one that was still there.
async fn begin_timelines(transaction: &Transaction, tenant: &Tenant) -> Result<()> {
    let sql = "INSERT INTO timeline_starts (tenant_id, since) SELECT tenant_id, occurred_at FROM audit_logs \
               WHERE tenant_id = $1 ORDER BY occurred_at LIMIT 1 ON CONFLICT (tenant_id) DO NOTHING";
    execute(transaction, sql, [tenant.as_str().into()]).await.map(drop)
}

async fn next_tenant(transaction: &Transaction, tenant: &Tenant) -> Result<Option<String>> {
    let sql = "SELECT tenant_id FROM audit_logs WHERE tenant_id > $1 ORDER BY tenant_id LIMIT 1";
    let backend = transaction.get_database_backend();
    let next =
        transaction.query_one_raw(Statement::from_sql_and_values(backend, sql, [tenant.as_str().into()])).await?;
    Ok(next.map(|row| row.try_get_by_index(0)).transpose()?)
}

/// Removes some items of a customer that is gone; whether there was one.
///
/// # Errors
/// A fault of the database: then nothing is changed.
pub async fn remove(database: &Database) -> Result<bool> {
    if !is_any(database, "timeline_removals").await? {
        return Ok(false);
    }
    database.transact(|transaction| Box::pin(async move { remove_some(transaction).await })).await
}

async fn remove_some(transaction: &Transaction) -> Result<bool> {
    let backend = transaction.get_database_backend();
    let sql = format!("SELECT tenant_id, customer_id FROM timeline_removals LIMIT 1{}", skip_locked(backend));
    let row = transaction.query_one_raw(Statement::from_string(backend, sql)).await?;
    let Some(row) = row else { return Ok(false) };
    let (tenant, customer): (String, Uuid) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
    let values = || [tenant.as_str().into(), customer.into()];
    let items = format!(
        "DELETE FROM timeline WHERE tenant_id = $1 AND customer_id = $2 AND (occurred_at, audit_log_id) IN \
         (SELECT occurred_at, audit_log_id FROM timeline WHERE tenant_id = $1 AND customer_id = $2 LIMIT {ITEMS})"
    );
    if execute(transaction, &items, values()).await? < ITEMS {
        let done = "DELETE FROM timeline_removals WHERE tenant_id = $1 AND customer_id = $2";
        execute(transaction, done, values()).await?;
    }
    Ok(true)
}
