//! A tenant that leaves: all that is kept of it is deleted, in steps. Its audit trail stays for as long as it must, and says
//! that this was done; it holds no personal data.
//!
//! Nothing is published about it: the events of a tenant that is gone are nobody's.

use sea_orm::{ConnectionTrait, Statement};

use crate::{
    app::App,
    audit::{AuditAction, AuditEntry, AuditedAction, entry, field_change::FieldChange},
    auth::Actor,
    database::{Database, Transaction, counts::fold},
    error::{ErrorKind, Result},
    events::outbox,
    values::Tenant,
};

/// Rows per transaction.
const ROWS: u64 = 500;
/// How often to begin again, where rows were written in the meantime.
const PASSES: u32 = 5;

/// The tables with a tenant's rows, besides those of its events and of the audit trail, with what else their keys have
/// besides the tenant: those that refer to others first.
const TABLES: [(&str, &str); 17] = [
    ("deletions", "resource_id"),
    ("follow_ups", "follow_up_id"),
    ("contacts", "contact_id"),
    ("opportunities", "opportunity_id"),
    ("opportunity_stages", "opportunity_id, entered_at"),
    ("customers", "customer_id"),
    ("erasures", "erasure_id"),
    ("idempotent", "request_id"),
    ("inbox_events", "consumer, sender, event_id"),
    ("inbox", "consumer, event_id"),
    ("timeline", "customer_id, occurred_at, audit_log_id"),
    ("timeline_queue", "occurred_at, audit_log_id"),
    ("timeline_starts", "tenant_id"),
    ("timeline_removals", "customer_id"),
    ("search_documents", "resource_id"),
    ("search_queue", "resource_id"),
    ("search_builds", "tenant_id"),
];

/// The tables of its events, once these are gone.
const EVENT_TABLES: [&str; 5] =
    ["outbox_held", "feed_events", "feed_tenants", "outbox_purged", "resource_changes_purged"];

/// How many rows of a tenant there are.
///
/// # Errors
/// A database error.
pub async fn count(database: &Database, tenant: &Tenant) -> Result<u64> {
    let mut rows = 0;
    for table in TABLES.iter().map(|(table, _)| *table).chain(["outbox"]) {
        let sql = format!("SELECT count(*) FROM {table} WHERE tenant_id = $1");
        let db = database.read();
        let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, [tenant.as_str().into()]);
        let count = db.query_one_raw(statement).await?.map(|row| row.try_get_by_index::<i64>(0)).transpose()?;
        rows += u64::try_from(count.unwrap_or_default()).unwrap_or_default();
    }
    Ok(rows)
}

/// Deletes all that is kept of a tenant, except its audit trail. `progress` is called with the number of rows deleted so far.
/// Returns how many there were, and how many are left, because they were written in the meantime.
///
/// # Errors
/// A database error. What was deleted until then stays deleted.
pub async fn erase(app: &App, tenant: &Tenant, progress: &dyn Fn(u64)) -> Result<(u64, u64)> {
    let mut deleted = 0;
    let left = delete(app.database(), tenant, &mut deleted, progress).await;
    // Whatever came in the way, the trail says what is gone.
    let noted = note(app, tenant, deleted, matches!(left, Ok(0))).await;
    let left = left?;
    noted.map(|()| (deleted, left))
}

/// Deletes all in some passes; returns how many rows are left then.
async fn delete(database: &Database, tenant: &Tenant, deleted: &mut u64, progress: &dyn Fn(u64)) -> Result<u64> {
    let mut left = count(database, tenant).await?;
    for _pass in 0..PASSES {
        if left == 0 {
            break;
        }
        for (table, key) in TABLES {
            let sql = format!(
                "DELETE FROM {table} WHERE tenant_id = $1 AND ({key}) IN \
                 (SELECT {key} FROM {table} WHERE tenant_id = $1 LIMIT {ROWS})"
            );
            match repeat(database, tenant, &[sql], deleted, progress).await {
                // Somebody has just written what refers to these rows: they are left for the next pass.
                Err(error) if error.kind() == ErrorKind::Invalid => {}
                done => done?,
            }
        }
        // Events of before are in the feed then, and can go with their places there.
        outbox::assign_positions(database).await?;
        repeat(database, tenant, &events(), deleted, progress).await?;
        left = count(database, tenant).await?;
    }
    repeat(database, tenant, &[changes()], &mut 0, &|_| {}).await?;
    // Its lists are empty, and so are their counters, and those of its pipeline.
    fold::fold(database, Some(tenant)).await?;
    Ok(left)
}

/// How some events go: with their places in the feed, and only once they have one. What the relay knows of them goes first.
fn events() -> [String; 3] {
    let some = format!(
        "SELECT seq FROM outbox WHERE tenant_id = $1 AND position <= (SELECT position FROM feed_head WHERE id = 1) \
         ORDER BY position LIMIT {ROWS}"
    );
    [
        format!("DELETE FROM outbox_held WHERE seq IN ({some})"),
        format!(
            "DELETE FROM feed_events WHERE tenant_id = $1 AND outbox_position IN \
             (SELECT position FROM outbox WHERE seq IN ({some}))"
        ),
        format!("DELETE FROM outbox WHERE seq IN ({some})"),
    ]
}

/// How what is known of the last changes of its resources goes, once its events are gone.
fn changes() -> String {
    format!(
        "DELETE FROM resource_changes WHERE tenant_id = $1 \
         AND resource_id IN (SELECT resource_id FROM resource_changes WHERE tenant_id = $1 LIMIT {ROWS}) \
         AND NOT EXISTS (SELECT 1 FROM outbox WHERE tenant_id = $1)"
    )
}

/// Executes statements, together in a transaction, until the last one deletes nothing more.
async fn repeat(
    database: &Database,
    tenant: &Tenant,
    statements: &[String],
    deleted: &mut u64,
    progress: &dyn Fn(u64),
) -> Result<()> {
    loop {
        let (tenant, statements) = (tenant.clone(), statements.to_vec());
        let rows = database
            .transact(move |transaction| {
                let (tenant, statements) = (tenant.clone(), statements.clone());
                Box::pin(async move { execute(transaction, &tenant, &statements).await })
            })
            .await?;
        if rows == 0 {
            return Ok(());
        }
        *deleted += rows;
        progress(*deleted);
    }
}

async fn execute(transaction: &Transaction, tenant: &Tenant, statements: &[String]) -> Result<u64> {
    let backend = transaction.get_database_backend();
    let mut rows = 0;
    for sql in statements {
        let statement = Statement::from_sql_and_values(backend, sql, [tenant.as_str().into()]);
        rows = transaction.execute_raw(statement).await?.rows_affected();
    }
    Ok(rows)
}

/// Says in the tenant's trail that it is gone, or a part of it, and deletes the last that the feed knows of it.
async fn note(app: &App, tenant: &Tenant, rows: u64, is_all: bool) -> Result<()> {
    let (request_id, trace_id) = (app.new_id().to_string(), app.new_id().simple().to_string());
    let actor = Actor { tenant: tenant.clone(), name: "operator".to_owned(), client: None, request_id, trace_id };
    let changes = vec![FieldChange { field: "rows".to_owned(), old: Some(rows.to_string()), new: None }];
    let what = if is_all { "the tenant" } else { "a part of the tenant" };
    let summary = format!("erased {what}: {rows} rows of resources, events and accepted requests");
    let action = AuditedAction { action: AuditAction::Delete, kind: None, id: None, changes, summary };
    let entries = [AuditEntry::new(app.ids(), &actor, action)?];
    let tenant = tenant.clone();
    app.database()
        .transact(move |transaction| {
            let (tenant, entries) = (tenant.clone(), entries.clone());
            Box::pin(async move {
                let statements = EVENT_TABLES.map(|table| {
                    format!(
                        "DELETE FROM {table} WHERE tenant_id = $1 \
                         AND NOT EXISTS (SELECT 1 FROM outbox WHERE tenant_id = $1)"
                    )
                });
                execute(transaction, &tenant, &statements).await?;
                entry::write(transaction, &entries);
                Ok(())
            })
        })
        .await
}
