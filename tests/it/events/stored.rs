//! Events written around the service, and what a process of the release before does with them.

use chrono::{DateTime, TimeDelta, Utc};
use crm::{
    app::App,
    events::{event::NewEvent, outbox},
};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, SqliteTransactionMode, Statement, TransactionOptions,
    TransactionTrait,
};
use serde_json::json;
use uuid::Uuid;

use crate::harness::{START, Service, on_postgres, sql::column};

/// The tables that a backup of the events consists of.
const TABLES: [&str; 6] = ["outbox", "outbox_head", "outbox_purged", "feed_events", "feed_tenants", "feed_head"];

/// The event with this number, which is its id and that of its resource.
pub fn event(tenant: &str, event_type: &str, number: u128, text: &str) -> NewEvent {
    let data = json!({ "tenantId": tenant, "version": 1, "changedFields": [], "resource": { "text": text } });
    NewEvent {
        tenant: tenant.to_owned(),
        id: Uuid::from_u128(number),
        event_type: event_type.to_owned(),
        aggregate: Uuid::from_u128(number),
        version: 1,
        at: instant(0),
        trace_id: "0af7651916cd43dd8448eb211c80319c".to_owned(),
        data: data.to_string(),
    }
}

/// An instant, so many seconds after the one at which the clock starts.
pub fn instant(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(START).unwrap() + TimeDelta::seconds(seconds)
}

/// Writes events that have no positions yet.
pub async fn insert(db: &DatabaseConnection, events: Vec<NewEvent>) {
    for insertion in outbox::insertions(events) {
        db.execute_raw(insertion.statement(db.get_database_backend())).await.unwrap();
    }
}

/// Writes events that have no positions yet, with the numbers from `first`.
pub async fn write(db: &DatabaseConnection, tenant: &str, first: u128, count: u128) {
    let events = (first..first + count).map(|number| event(tenant, "crm.customer.created", number, ""));
    insert(db, events.collect()).await;
}

/// Writes events, and gives them positions.
pub async fn put(app: &App, db: &DatabaseConnection, events: Vec<NewEvent>) {
    insert(db, events).await;
    outbox::assign_positions(app.database()).await.unwrap();
}

/// Assigns positions as the release before did, in one batch; returns how many.
pub async fn assign_as_before(db: &DatabaseConnection) -> u64 {
    let transaction = begin(db).await;
    let lock = if on_postgres() { " FOR UPDATE" } else { "" };
    let head: Vec<i64> = column(&transaction, &format!("SELECT position FROM outbox_head WHERE id = 1{lock}")).await;
    assert_eq!(head.len(), 1);
    let order = "UPDATE outbox SET position = n.n + (SELECT position FROM outbox_head WHERE id = 1) \
         FROM (SELECT seq, row_number() OVER (ORDER BY seq) AS n FROM \
         (SELECT seq FROM outbox WHERE position IS NULL ORDER BY seq LIMIT 1000) AS unordered) AS n \
         WHERE outbox.seq = n.seq";
    let ordered = transaction.execute_unprepared(order).await.unwrap().rows_affected();
    let moved = format!("UPDATE outbox_head SET position = position + {ordered} WHERE id = 1");
    transaction.execute_unprepared(&moved).await.unwrap();
    transaction.commit().await.unwrap();
    ordered
}

/// Deletes the events from before an instant as the release before did.
pub async fn purge_as_before(db: &DatabaseConnection, due: DateTime<Utc>) {
    let transaction = begin(db).await;
    let oldest = "SELECT seq FROM outbox WHERE position IS NOT NULL AND occurred_at < $1 ORDER BY position LIMIT 1000";
    let remember = format!(
        "INSERT INTO outbox_purged (tenant_id, position) \
         SELECT tenant_id, max(position) FROM outbox WHERE seq IN ({oldest}) GROUP BY tenant_id \
         ON CONFLICT (tenant_id) DO UPDATE SET position = excluded.position"
    );
    for sql in [remember, format!("DELETE FROM outbox WHERE seq IN ({oldest})")] {
        let statement = Statement::from_sql_and_values(transaction.get_database_backend(), sql, [due.into()]);
        transaction.execute_raw(statement).await.unwrap();
    }
    transaction.commit().await.unwrap();
}

async fn begin(db: &DatabaseConnection) -> DatabaseTransaction {
    if on_postgres() {
        return db.begin().await.unwrap();
    }
    let options =
        TransactionOptions { sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate), ..Default::default() };
    db.begin_with_options(options).await.unwrap()
}

/// Keeps what the tables of the events hold.
pub async fn back_up(db: &DatabaseConnection) {
    back_up_tables(db, &TABLES).await;
}

/// The same of these tables.
pub async fn back_up_tables(db: &DatabaseConnection, tables: &[&str]) {
    for table in tables {
        db.execute_unprepared(&format!("DROP TABLE IF EXISTS backup_{table}")).await.unwrap();
        db.execute_unprepared(&format!("CREATE TABLE backup_{table} AS SELECT * FROM {table}")).await.unwrap();
    }
}

/// Restores what they held.
pub async fn restore(db: &DatabaseConnection) {
    restore_tables(db, &TABLES).await;
}

/// The same of these tables, in this order.
pub async fn restore_tables(db: &DatabaseConnection, tables: &[&str]) {
    for table in tables {
        db.execute_unprepared(&format!("DELETE FROM {table}")).await.unwrap();
        db.execute_unprepared(&format!("INSERT INTO {table} SELECT * FROM backup_{table}")).await.unwrap();
    }
}

/// The numbers of a tenant's events that have positions in the outbox, in that order.
pub async fn ordered(db: &DatabaseConnection, tenant: &str) -> Vec<u128> {
    let sql =
        format!("SELECT event_id FROM outbox WHERE tenant_id = '{tenant}' AND position IS NOT NULL ORDER BY position");
    column::<Uuid>(db, &sql).await.into_iter().map(|id| id.as_u128()).collect()
}

/// The positions of a tenant's events in its feed, with their numbers.
pub async fn fed(db: &DatabaseConnection, tenant: &str) -> Vec<(i64, u128)> {
    let sql = |what| format!("SELECT {what} FROM feed_events WHERE tenant_id = '{tenant}' ORDER BY position");
    let positions = column::<i64>(db, &sql("position")).await;
    let ids = column::<Uuid>(db, &sql("event_id")).await;
    positions.into_iter().zip(ids.into_iter().map(|id| id.as_u128())).collect()
}

/// The numbers of the events on a page.
pub fn numbers(page: &serde_json::Value) -> Vec<u128> {
    let events = page["data"].as_array().unwrap().iter();
    events.map(|event| event["eventId"].as_str().unwrap().parse::<Uuid>().unwrap().as_u128()).collect()
}

/// A page of a tenant's feed.
pub async fn page(service: &Service, tenant: &str, query: &str) -> serde_json::Value {
    service.get(&format!("/events?{query}")).tenant(tenant).send().await.expect(200).body
}
