//! The schema guards against bugs by constraints and serves lists and searches by indexes; writes are durable.

use crm::{change::Intent, customers::CUSTOMERS, pii::PiiField, service::resources::pii_tables};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use serde_json::json;

use crate::harness::{
    Service, TestDatabase, UNKNOWN_ID, caller,
    sql::{plan, scalar, table, uuid_literal},
    within,
};

/// Fails unless a constraint rejects the statement.
async fn assert_rejected(database: &DatabaseConnection, sql: &str) {
    let outcome = database.execute_unprepared(sql).await;
    let error = outcome.expect_err(sql).to_string().to_lowercase();
    assert!(error.contains("constraint"), "{sql}: {error}");
}

#[tokio::test]
async fn the_schema_rejects_references_across_tenants_and_customers() {
    let service = Service::start().await;
    let (one, other) = (service.customer().await, service.customer().await);
    let contact = service.contact(&one).await;
    let opportunity = service.opportunity(&one).await;
    let follow_up =
        service.follow_up(json!({ "content": "x", "contactId": contact, "opportunityId": opportunity })).await;
    let database = service.database.connect().await;
    let [other, opportunity, contact, follow_up] = [other, opportunity, contact, follow_up].map(|id| uuid_literal(&id));
    for sql in [
        format!("UPDATE contacts SET tenant_id = 'b' WHERE contact_id = {contact}"),
        format!("UPDATE opportunities SET tenant_id = 'b' WHERE opportunity_id = {opportunity}"),
        format!("UPDATE follow_ups SET tenant_id = 'b' WHERE follow_up_id = {follow_up}"),
        format!("UPDATE follow_ups SET customer_id = {other} WHERE follow_up_id = {follow_up}"),
        format!("UPDATE follow_ups SET customer_id = NULL WHERE follow_up_id = {follow_up}"),
        format!(
            "UPDATE follow_ups SET opportunity_id = NULL, contact_id = {opportunity} WHERE follow_up_id = {follow_up}"
        ),
        format!("UPDATE opportunities SET customer_id = {other} WHERE opportunity_id = {opportunity}"),
        "DELETE FROM customers".to_owned(),
        "DELETE FROM contacts".to_owned(),
        "DELETE FROM opportunities".to_owned(),
    ] {
        assert_rejected(&database, &sql).await;
    }
}

#[tokio::test]
async fn the_schema_enforces_one_primary_contact_and_status_by_stage() {
    let service = Service::start().await;
    let customer = service.customer().await;
    service.contact(&customer).await;
    service.contact(&customer).await;
    service.opportunity(&customer).await;
    let database = service.database.connect().await;
    assert_rejected(&database, "UPDATE contacts SET is_primary = TRUE").await;
    for wrong in [
        "status = 1",
        "stage = 5",
        "stage = 6, status = 1",
        "stage = 7, status = 0",
        "stage = -1",
        "stage = 3",
        "last_open_stage = 5",
        "amount_cents = -1",
        "amount_cents = 9007199254740992",
    ] {
        assert_rejected(&database, &format!("UPDATE opportunities SET {wrong}")).await;
    }
    // A move is later than what came before: the stage history has one place for each instant.
    let moved = "UPDATE opportunities SET stage = 6, status = 2, updated_at = '2100-01-01 00:00:00+00:00'";
    database.execute_unprepared(moved).await.unwrap();
    assert_rejected(&database, "UPDATE customers SET status = 2").await;
}

#[tokio::test]
async fn every_list_reads_its_page_in_order_from_an_index() {
    let service = Service::start().await;
    let database = service.database.connect().await;
    let id = uuid_literal(UNKNOWN_ID);
    for (list, key) in service.contract.resources() {
        let table = table(&list);
        let parameters = service.contract.parameters(&list);
        let references = parameters.iter().filter_map(|name| name.strip_suffix("Id"));
        // By a contact no list is filtered: it is how follow-ups are found when their contact is deleted.
        let more = if list == "/follow-ups" { &["", "contact"][..] } else { &[""] };
        for filter in references.chain(more.iter().copied()) {
            let and = if filter.is_empty() { String::new() } else { format!("AND {filter}_id = {id}") };
            let query = format!(
                "SELECT * FROM {table} WHERE tenant_id = 'a' {and} ORDER BY created_at DESC, {key} DESC LIMIT 20"
            );
            let plan = plan(&database, &query).await;
            let index = if filter.is_empty() { format!("{table}_newest") } else { format!("{table}_of_{filter}") };
            assert!(plan.contains(&index), "{query}\n{plan}");
            assert!(!plan.contains("TEMP B-TREE") && !plan.contains("Sort"), "{query}\n{plan}");
        }
    }
}

#[tokio::test]
async fn every_pii_search_uses_its_index() {
    let service = Service::start().await;
    let database = service.database.connect().await;
    let columns = pii_tables().into_iter().flat_map(|table| table.columns.iter().map(move |field| (table.id, field)));
    for (key, PiiField { table, name: column, indexed, base, .. }) in columns {
        let by_index = |indexes: &str| format!("{column}_index IN ({indexes})");
        let found = |indexes: &str| match base {
            None => by_index(indexes),
            Some(base) => format!(
                "{key} IN (SELECT {key} FROM {table} WHERE tenant_id = 'a' AND {} UNION SELECT {key} FROM {table} \
                 WHERE tenant_id = 'a' AND {base} IN ({indexes}) AND {indexed} = {column}_index)",
                by_index(indexes)
            ),
        };
        // During a key rotation a value has an index under each key.
        for indexes in ["'x'", "'x', 'y'"] {
            let query = format!(
                "SELECT * FROM {table} WHERE tenant_id = 'a' AND {} \
                 ORDER BY COALESCE(created_at, created_at) DESC, {key} DESC LIMIT 20",
                found(indexes)
            );
            let plan = plan(&database, &query).await;
            let indexes = [Some(format!("{table}_by_{column}")), base.map(|_| format!("{table}_by_{column}_base"))];
            for index in indexes.into_iter().flatten() {
                assert!(plan.contains(&index), "{query}\n{plan}");
            }
            assert!(!plan.contains("SCAN") && !plan.contains("Seq Scan"), "{query}\n{plan}");
        }
    }
}

#[tokio::test]
async fn sqlite_syncs_each_commit_and_enforces_foreign_keys() {
    let service = Service::on(TestDatabase::sqlite(), &[]).await;
    service.customer().await;
    let caller = caller(&service).await;
    let pragma = |name: &'static str| {
        let intent = Intent::inherent(caller.clone(), CUSTOMERS, service.app.new_id());
        service.app.changes().apply(intent, move |change| {
            Box::pin(async move {
                let statement = Statement::from_string(DbBackend::Sqlite, format!("PRAGMA {name}"));
                let row = change.db().query_one_raw(statement).await?.unwrap();
                let number = |_| row.try_get_by_index::<i64>(0).map(|number| number.to_string());
                Ok(row.try_get_by_index::<String>(0).or_else(number)?)
            })
        })
    };
    assert_eq!(pragma("journal_mode").await.unwrap(), "wal");
    assert_eq!(pragma("synchronous").await.unwrap(), "2");
    assert_eq!(pragma("foreign_keys").await.unwrap(), "1");
}

#[tokio::test]
async fn read_connections_cannot_write() {
    let service = Service::start().await;
    service.customer().await;
    let reader = service.app.database().read();
    let statement = Statement::from_string(reader.get_database_backend(), "DELETE FROM customers");
    let error = reader.query_all_raw(statement).await.unwrap_err().to_string();
    assert!(error.contains("readonly") || error.contains("read-only"), "{error}");
    assert_eq!(service.read("/customers").await["total"], 1);
}

#[tokio::test]
async fn timestamps_are_stored_to_the_millisecond() {
    let service = Service::start().await;
    service.customer().await;
    let database = service.database.connect().await;
    let stored: sea_orm::prelude::DateTimeUtc = scalar(&database, "SELECT created_at FROM customers").await;
    assert_eq!(stored.to_rfc3339(), "2026-01-31T09:30:00.125+00:00");
}

#[tokio::test]
async fn waiting_changes_share_a_commit_on_sqlite() {
    let service = Service::on(TestDatabase::sqlite(), &[]).await;
    service.customer().await;
    let before = commits(&service);
    let changes = (0..64).map(|_| service.post("/customers", json!({ "name": "x" })).send());
    for reply in futures_util::future::join_all(changes).await {
        reply.expect(201);
    }
    let shared = commits(&service) - before;
    assert!((1..32).contains(&shared), "{shared} commits for 64 changes");
}

/// The number of commits in the write-ahead log: of its frames, those that end a transaction hold the size of the
/// database (<https://sqlite.org/fileformat2.html#the_write_ahead_log>).
fn commits(service: &Service) -> usize {
    let TestDatabase::Sqlite { directory } = &service.database else { panic!("not on SQLite") };
    let log = std::fs::read(directory.path().join("crm.db-wal")).unwrap();
    let word = |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let page = word(&log, 8) as usize;
    let salt = &log[16..24];
    log[32..].chunks_exact(24 + page).filter(|frame| frame[8..16] == *salt && word(frame, 4) != 0).count()
}

#[tokio::test]
async fn statistics_of_the_tables_are_made_when_there_is_nothing_to_do() {
    let service = Service::on(TestDatabase::sqlite(), &[]).await;
    let database = service.database.connect().await;
    assert_eq!(statistics(&database).await, 0);
    let many = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 10000) \
                INSERT INTO customers (tenant_id, customer_id, name, status, created_at, updated_at) \
                SELECT 'default', randomblob(16), 'Acme', 0, '2026-01-31 09:30:00+00:00', '2026-01-31 09:30:00+00:00' FROM n";
    database.execute_unprepared(many).await.unwrap();
    service.customer().await;
    within(60, "there are statistics", async || statistics(&database).await > 0).await;
    // Of what is small there are none: plans that are good for two rows would be kept.
    let small = "SELECT count(*) FROM sqlite_stat1 WHERE CAST(stat AS integer) < 10000";
    assert_eq!(scalar::<i64>(&database, small).await, 0);
    // No samples of rows: an erasure would leave the names in them.
    let has_samples = "SELECT count(*) FROM sqlite_master WHERE name = 'sqlite_stat4'";
    if scalar::<i64>(&database, has_samples).await > 0 {
        assert_eq!(scalar::<i64>(&database, "SELECT count(*) FROM sqlite_stat4 WHERE tbl = 'customers'").await, 0);
    }
}

/// FTS5 deletes the part of its index that it has merged with another one by this statement, in the transaction of a change.
#[tokio::test]
async fn merging_the_index_of_the_search_does_not_read_all_of_it() {
    let service = Service::on(TestDatabase::sqlite(), &[]).await;
    let database = service.database.connect().await;
    let plan = plan(&database, "DELETE FROM search_index_data WHERE id >= 1 AND id <= 9").await;
    assert!(plan.contains("SEARCH"), "{plan}");
}

/// Whether few customers have any is found out by so many of them.
#[tokio::test]
async fn customers_with_open_opportunities_are_found_without_reading_these() {
    let service = Service::on(TestDatabase::sqlite(), &[]).await;
    let database = service.database.connect().await;
    let open = "SELECT customer_id FROM opportunities WHERE tenant_id = 'a' AND opportunities.status = 0 \
                AND opportunities.deleted_at IS NULL LIMIT 1001";
    let plan = plan(&database, open).await;
    assert!(plan.contains("COVERING INDEX opportunities_open_by_customer"), "{plan}");
}

/// Of how many indexes of customers SQLite has statistics.
async fn statistics(database: &DatabaseConnection) -> i64 {
    if scalar::<i64>(database, "SELECT count(*) FROM sqlite_master WHERE name = 'sqlite_stat1'").await == 0 {
        return 0;
    }
    scalar(database, "SELECT count(*) FROM sqlite_stat1 WHERE tbl = 'customers'").await
}
