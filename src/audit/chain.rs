//! The hash chain: every entry of a tenant gets a number and a hash over itself and the previous hash, so that
//! changing, removing or inserting an entry invalidates all later hashes.
//!
//! A background task links new entries within a second ([`link_entries`]). It takes them from the queue, which is
//! filled in the transactions that write the entries: an entry inserted only into the table is never linked, and
//! [`verify`] finds it. No key is involved: whoever can write to the database can queue a forged entry, recompute the
//! whole chain, or pretend that retention deleted its beginning. To detect that, record elsewhere the heads that
//! `crm audit verify` prints, and compare.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Statement};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    chain_store,
    entity::{chain, heads, logs, queue},
};
use crate::{
    database::{
        Database, Transaction,
        tenancy::{Listed, Tenanted},
    },
    error::{Error, Result},
    values::Tenant,
};

/// Number of entries that are linked per transaction, or verified at a time.
const BATCH: u64 = 500;

/// The hash of an entry: SHA-256, in hexadecimal, of a JSON array of the format's name, the previous hash, the number
/// and every column of the entry.
pub(super) fn link(before: &str, sequence: i64, entry: &logs::Model) -> Result<String> {
    let logs::Model {
        tenant_id,
        audit_log_id,
        occurred_at,
        actor,
        client,
        action,
        resource_type,
        resource_id,
        request_id,
        trace_id,
        changes,
        summary,
        // The release before hashes the same.
        knows_timeline: _,
    } = entry;
    let what = (actor, client, action, resource_type, resource_id, request_id, trace_id, changes, summary);
    let text = ("crm audit 1", before, sequence, tenant_id, audit_log_id, occurred_at.timestamp_millis(), what);
    let text = serde_json::to_vec(&text).map_err(Error::internal)?;
    Ok(Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Links the entries that are not linked yet and returns their number.
///
/// # Errors
/// A database error.
pub async fn link_entries(database: &Database) -> Result<u64> {
    let mut linked = 0;
    for tenant in tenants_in_queue(&database.read()).await? {
        loop {
            let tenant = tenant.clone();
            let batch = database
                .transact(move |transaction| {
                    let tenant = tenant.clone();
                    transaction.changes_no_list();
                    Box::pin(async move { link_batch(transaction, &tenant).await })
                })
                .await?;
            linked += batch;
            if batch < BATCH {
                break;
            }
        }
    }
    Ok(linked)
}

/// What is not chained yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// How many entries, up to 10,000.
    pub entries: i64,
    /// When the oldest of them was written.
    pub oldest: Option<DateTime<Utc>>,
}

/// What is not chained yet, of all tenants. Normally that is little: what was written in the last second.
///
/// # Errors
/// A database error.
pub async fn backlog(database: &Database) -> Result<Backlog> {
    let db = database.read();
    let sql = "SELECT (SELECT count(*) FROM (SELECT 1 FROM audit_queue LIMIT 10000) AS counted), l.occurred_at \
               FROM (SELECT tenant_id, audit_log_id FROM audit_queue ORDER BY audit_log_id LIMIT 1) AS q \
               LEFT JOIN audit_logs l ON l.tenant_id = q.tenant_id AND l.audit_log_id = q.audit_log_id";
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
    row.map_or(Ok(Backlog { entries: 0, oldest: None }), |row| {
        Ok(Backlog { entries: row.try_get_by_index(0)?, oldest: row.try_get_by_index(1)? })
    })
}

#[expect(clippy::disallowed_methods, reason = "chaining covers all tenants, one at a time")]
async fn tenants_in_queue(db: &impl ConnectionTrait) -> Result<Vec<Tenant>> {
    let names = queue::Entity::find().select_only().column(queue::Column::TenantId).distinct().into_tuple::<String>();
    Ok(names.all(db).await?.into_iter().map(Tenant::stored).collect())
}

/// Links the tenant's oldest queued entries. Several processes may do so concurrently: the lock on the head's row
/// serializes them.
async fn link_batch(transaction: &Transaction, tenant: &Tenant) -> Result<u64> {
    let head = chain_store::lock_head(transaction, tenant).await?;
    let oldest = queue::Entity::of(tenant).order_by_asc(queue::Column::AuditLogId).limit(BATCH);
    let ids: Vec<Uuid> = oldest.all(transaction).await?.into_iter().map(|place| place.audit_log_id).collect();
    let entries = logs::Entity::of(tenant).filter(<logs::Entity as Listed>::ID.is_in(ids.iter().copied()));
    let entries = entries.order_by_asc(logs::Column::AuditLogId).all(transaction).await?;
    let mut links: Vec<chain::Model> = Vec::with_capacity(entries.len());
    for entry in &entries {
        let (sequence, before) = links.last().map_or((head.sequence, &head.hash), |last| (last.sequence, &last.hash));
        let (sequence, hash) = (sequence + 1, link(before, sequence + 1, entry)?);
        let (tenant_id, audit_log_id) = (entry.tenant_id.clone(), entry.audit_log_id);
        links.push(chain::Model { tenant_id, sequence, audit_log_id, hash });
    }
    chain_store::append(transaction, tenant, head, links).await?;
    Ok(entries.len() as u64)
}

/// The result of verifying a tenant's trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The tenant.
    pub tenant: String,
    /// Number of chained entries that passed verification.
    pub verified: u64,
    /// Number of entries that are not chained yet.
    pub waiting: u64,
    /// The number and the hash of the last entry.
    pub head: (i64, String),
    /// What is wrong, one sentence each.
    pub faults: Vec<String>,
}

/// How many entries are chained, of all tenants: what [`verify`] has to go through.
///
/// # Errors
/// A database error.
pub async fn length(database: &Database) -> Result<u64> {
    let mut length = 0;
    let snapshot = database.snapshot().await?;
    for tenant in tenants(&snapshot).await? {
        let head = heads::Entity::of(&tenant).all(&snapshot).await?.pop();
        length += head.map_or(0, |head| head.sequence.saturating_sub(head.purged_sequence).unsigned_abs());
    }
    Ok(length)
}

/// Verifies the trails of all tenants, in one snapshot.
///
/// # Errors
/// A database error.
pub async fn verify(database: &Database) -> Result<Vec<Verdict>> {
    verify_with(database, &|_| {}).await
}

/// The same; `progress` is told how many more entries it went through.
///
/// # Errors
/// A database error.
pub async fn verify_with(database: &Database, progress: &(dyn Fn(u64) + Sync)) -> Result<Vec<Verdict>> {
    Ok(verify_from(database, None, progress, &CancellationToken::new()).await?.0)
}

/// The entry of a tenant's trail up to which it was verified: its number and its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// The tenant.
    pub tenant: String,
    /// The number; 0 where nothing of this trail was verified.
    pub number: i64,
    /// The hash, which what follows is verified against.
    pub hash: String,
}

/// The same from an entry on that was reached before, until `stop` is cancelled: then it says how far it came. What retention
/// has deleted since is left out.
///
/// # Errors
/// Invalid, if there is nothing of that tenant; a database error.
pub async fn verify_from(
    database: &Database,
    from: Option<&Reached>,
    progress: &(dyn Fn(u64) + Sync),
    stop: &CancellationToken,
) -> Result<(Vec<Verdict>, Option<Reached>)> {
    let snapshot = database.snapshot().await?;
    let all = tenants(&snapshot).await?;
    let is_first = |tenant: &Tenant| from.is_none_or(|from| from.tenant == tenant.as_str());
    if !all.is_empty() && !all.iter().any(is_first) {
        return Err(Error::invalid("there is nothing of this tenant"));
    }
    let mut verdicts = Vec::new();
    for tenant in all.iter().skip_while(|tenant| !is_first(tenant)) {
        let from = from.filter(|from| from.tenant == tenant.as_str());
        let (verdict, reached) = verify_tenant(&snapshot, tenant, from, progress, stop).await?;
        verdicts.push(verdict);
        if reached.is_some() {
            return Ok((verdicts, reached));
        }
    }
    Ok((verdicts, None))
}

/// Every tenant that any table of the audit trail mentions.
async fn tenants(db: &Transaction) -> Result<Vec<Tenant>> {
    let tables = ["audit_logs", "audit_queue", "audit_chain", "audit_heads"];
    let union = tables.map(|table| format!("SELECT tenant_id FROM {table}")).join(" UNION ");
    let statement = Statement::from_string(db.get_database_backend(), format!("{union} ORDER BY tenant_id"));
    let rows = db.query_all_raw(statement).await?;
    rows.iter().map(|row| Ok(Tenant::stored(row.try_get_by_index(0)?))).collect()
}

/// Verifies a tenant's trail; stopped, it says how far it came.
async fn verify_tenant(
    db: &Transaction,
    tenant: &Tenant,
    from: Option<&Reached>,
    progress: &(dyn Fn(u64) + Sync),
    stop: &CancellationToken,
) -> Result<(Verdict, Option<Reached>)> {
    let head = heads::Entity::of(tenant).all(db).await?.pop();
    let mut faults = Vec::new();
    let begin = head.as_ref().map_or((0, String::new()), |head| (head.purged_sequence, head.purged_hash.clone()));
    let from = from.filter(|from| from.number > begin.0);
    let (mut after, (mut sequence, mut hash)) =
        from.map_or((i64::MIN, begin), |from| (from.number, (from.number, from.hash.clone())));
    let (name, mut verified) = (tenant.as_str().to_owned(), 0);
    loop {
        if stop.is_cancelled() {
            let reached = Reached { tenant: name.clone(), number: sequence, hash: hash.clone() };
            let verdict = Verdict { tenant: name, verified, waiting: 0, head: (sequence, hash), faults };
            return Ok((verdict, Some(reached)));
        }
        let links = chain::Entity::of(tenant).filter(chain::Column::Sequence.gt(after));
        let links = links.order_by_asc(chain::Column::Sequence).limit(BATCH).all(db).await?;
        let Some(last) = links.last() else { break };
        after = last.sequence;
        progress(links.len() as u64);
        let ids = links.iter().map(|link| link.audit_log_id);
        let entries = readable_entries(db, tenant, ids.collect(), &mut faults).await?;
        for chain::Model { sequence: number, audit_log_id, hash: written, .. } in links {
            if number != sequence + 1 {
                faults.push(format!("number {number} follows number {sequence}"));
            }
            match entries.get(&audit_log_id) {
                None => faults.push(format!("entry {audit_log_id}, number {number}, was removed")),
                Some(entry) if link(&hash, number, entry)? != written => {
                    faults.push(format!("entry {audit_log_id}, number {number}, or the chain before it was changed"));
                }
                // The hash covers milliseconds, and the service never writes anything finer.
                Some(entry) if entry.occurred_at.timestamp_subsec_nanos() % 1_000_000 != 0 => {
                    faults.push(format!("entry {audit_log_id}, number {number}, was changed"));
                }
                Some(_) => verified += 1,
            }
            (sequence, hash) = (number, written);
        }
    }
    match &head {
        None if sequence > 0 => faults.push("the head was removed".to_owned()),
        Some(head) if (head.sequence, &head.hash) != (sequence, &hash) => {
            faults.push(format!("the head is number {}, the chain ends with number {sequence}", head.sequence));
        }
        _ => {}
    }
    for (id, fault) in strays(db, tenant).await? {
        faults.push(format!("entry {id} {fault}"));
    }
    let waiting = sea_orm::PaginatorTrait::count(queue::Entity::of(tenant), db).await?;
    Ok((Verdict { tenant: name, verified, waiting, head: (sequence, hash), faults }, None))
}

/// The entries with these ids. An unreadable one is reported as a fault and does not keep the others from being
/// verified.
async fn readable_entries(
    db: &Transaction,
    tenant: &Tenant,
    ids: Vec<Uuid>,
    faults: &mut Vec<String>,
) -> Result<HashMap<Uuid, logs::Model>> {
    let by_id = |entry: logs::Model| (entry.audit_log_id, entry);
    let all = logs::Entity::of(tenant).filter(<logs::Entity as Listed>::ID.is_in(ids.iter().copied()));
    match all.all(db).await {
        Ok(entries) => return Ok(entries.into_iter().map(by_id).collect()),
        Err(error) if !is_unreadable(&error) => return Err(error.into()),
        Err(_) => {}
    }
    let mut entries = HashMap::new();
    for id in ids {
        match logs::Entity::one(tenant, id).all(db).await {
            Ok(entry) => entries.extend(entry.into_iter().map(by_id)),
            Err(error) if is_unreadable(&error) => faults.push(format!("entry {id} cannot be read")),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(entries)
}

/// Whether the error means that a row contains something the service never writes.
fn is_unreadable(error: &DbErr) -> bool {
    !matches!(error, DbErr::Conn(_) | DbErr::ConnectionAcquire(_) | DbErr::Exec(_))
}

/// Entries that are neither chained nor queued, and queued ids that have no entry or are chained already.
async fn strays(db: &Transaction, tenant: &Tenant) -> Result<Vec<(Uuid, &'static str)>> {
    const IN_CHAIN: &str =
        "EXISTS (SELECT 1 FROM audit_chain c WHERE c.tenant_id = l.tenant_id AND c.audit_log_id = l.audit_log_id)";
    const IN_QUEUE: &str =
        "EXISTS (SELECT 1 FROM audit_queue q WHERE q.tenant_id = l.tenant_id AND q.audit_log_id = l.audit_log_id)";
    const IN_LOGS: &str =
        "EXISTS (SELECT 1 FROM audit_logs e WHERE e.tenant_id = l.tenant_id AND e.audit_log_id = l.audit_log_id)";
    let questions = [
        ("audit_logs", format!("NOT {IN_CHAIN} AND NOT {IN_QUEUE}"), "was slipped in: it is not in the chain"),
        ("audit_queue", format!("NOT {IN_LOGS}"), "was removed before it was chained"),
        ("audit_queue", IN_CHAIN.to_owned(), "waits to be chained although it is"),
    ];
    let mut strays = Vec::new();
    for (table, condition, fault) in questions {
        let sql = format!("SELECT l.audit_log_id FROM {table} l WHERE l.tenant_id = $1 AND {condition}");
        let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, [tenant.as_str().into()]);
        for row in db.query_all_raw(statement).await? {
            strays.push((row.try_get_by_index(0)?, fault));
        }
    }
    Ok(strays)
}
