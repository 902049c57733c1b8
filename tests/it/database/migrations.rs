//! Migrations: up, down, concurrent, and a schema newer than the binary.

use crm::database::migrate::{self, SchemaError};
use sea_orm::{ConnectionTrait, DatabaseConnection};
use serde_json::json;

use crate::harness::{AMPLE, PII_KEYS, Service, TestDatabase, on_postgres, run_crm, sql::column, start_and_stop};

#[tokio::test]
async fn up_down_and_up_again_leave_a_working_schema() {
    let database = TestDatabase::new().await;
    let url = database.parsed_url();
    migrate::up(&url, None, AMPLE).await.unwrap();
    let all = migrate::status(&url).await.unwrap();
    assert!(all.len() > 2 && all.iter().all(|step| step.applied));
    for left in (0..all.len()).rev() {
        migrate::down(&url, 1, AMPLE).await.unwrap();
        let applied = migrate::status(&url).await.unwrap().iter().filter(|step| step.applied).count();
        assert_eq!(applied, left);
    }
    migrate::up(&url, Some(2), AMPLE).await.unwrap();
    assert_eq!(migrate::status(&url).await.unwrap().iter().filter(|step| step.applied).count(), 2);
    let service = Service::on(database, &[]).await;
    service.create("/customers", json!({ "name": "x" })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_migrations_all_succeed() {
    let database = TestDatabase::new().await;
    let url = database.parsed_url();
    let tasks: Vec<_> = (0..6)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { migrate::up(&url, None, AMPLE).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    migrate::check(&url).await.unwrap();
}

/// `CREATE INDEX CONCURRENTLY` that is cut off leaves an index by which nothing is found. SQLite leaves none.
#[tokio::test]
async fn an_index_whose_creation_was_cut_off_is_made_anew() {
    if !on_postgres() {
        return;
    }
    let database = TestDatabase::new().await;
    let (url, connection) = (database.parsed_url(), database.connect().await);
    migrate::up(&url, None, AMPLE).await.unwrap();
    let indexes = "SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema() ORDER BY indexname";
    let all: Vec<String> = column(&connection, indexes).await;
    let names: Vec<String> = migrate::status(&url).await.unwrap().into_iter().map(|step| step.name).collect();
    let before = names.iter().position(|name| name.ends_with("_list_indexes")).unwrap();
    migrate::down(&url, u32::try_from(names.len() - before).unwrap(), AMPLE).await.unwrap();
    let (kept, tables): (Vec<String>, Vec<String>) = (
        column(&connection, indexes).await,
        column(&connection, "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()").await,
    );
    let mut left = 0;
    for index in all.iter().filter(|index| !kept.contains(index)) {
        // CREATE INDEX name ON schema.table USING …
        let words: Vec<&str> =
            index.trim_start_matches("CREATE UNIQUE ").trim_start_matches("CREATE ").split(' ').collect();
        let (name, table) = (words[1], words[3].rsplit('.').next().unwrap());
        if tables.iter().any(|one| one == table) {
            let unfinished = format!(
                "CREATE INDEX {name} ON {table} (tenant_id); \
                 UPDATE pg_catalog.pg_index SET indisvalid = false WHERE indexrelid = '{name}'::regclass"
            );
            connection.execute_unprepared(&unfinished).await.unwrap();
            left += 1;
        }
    }
    assert!(left > 10, "{left}");
    migrate::up(&url, None, AMPLE).await.unwrap();
    assert_eq!(column::<String>(&connection, indexes).await, all);
    let invalid = "SELECT indexrelid::regclass::text FROM pg_catalog.pg_index WHERE NOT indisvalid";
    assert_eq!(column::<String>(&connection, invalid).await, Vec::<String>::new());
}

async fn apply_unknown(connection: &DatabaseConnection, name: &str) {
    let applied = format!("INSERT INTO seaql_migrations (version, applied_at) VALUES ('{name}', 0)");
    connection.execute_unprepared(&applied).await.unwrap();
}

fn assert_newer(refused: Result<(), SchemaError>, name: &str) {
    let error = refused.unwrap_err();
    assert!(matches!(error, SchemaError::Newer(_)), "{error}");
    assert!(error.to_string().contains(name), "{error}");
}

#[tokio::test]
async fn an_outdated_schema_is_named_and_a_contracted_one_refused() {
    let database = TestDatabase::new().await;
    let url = database.parsed_url();
    migrate::up(&url, Some(3), AMPLE).await.unwrap();
    let behind = migrate::check(&url).await.unwrap_err();
    let pending = migrate::status(&url).await.unwrap().len() - 3;
    assert!(matches!(&behind, SchemaError::Behind(missing) if missing.len() == pending), "{behind}");
    assert!(behind.to_string().contains("m20261122_000005_idempotent"), "{behind}");

    migrate::up(&url, None, AMPLE).await.unwrap();
    let connection = database.connect().await;
    apply_unknown(&connection, "m29990101_000001_future").await;
    // What only adds to the schema is in nobody's way, but for changing it.
    migrate::check(&url).await.unwrap();
    migrate::up_to_date(&url, AMPLE).await.unwrap();
    let variables = [("CRM_DATABASE_URL", &*database.url()), ("CRM_PII_KEYS", PII_KEYS)];
    let started = start_and_stop(&variables);
    assert_eq!(started.code, Some(0), "{started:?}");
    let warnings = started.logged("the database is newer than this program");
    assert!(!warnings.is_empty() && warnings[0]["migrations"] == "m29990101_000001_future", "{started:?}");
    let status = run_crm(&["migrate", "status"], &variables);
    assert!(status.stdout.ends_with("\nnewer   m29990101_000001_future\n"), "{status:?}");
    for refused in [migrate::up(&url, None, AMPLE).await, migrate::down(&url, 1, AMPLE).await] {
        assert_newer(refused, "m29990101_000001_future");
    }
    apply_unknown(&connection, "m29990101_000002_contract_future").await;
    for refused in
        [migrate::up(&url, None, AMPLE).await, migrate::down(&url, 1, AMPLE).await, migrate::check(&url).await]
    {
        assert_newer(refused, "m29990101_000002_contract_future");
    }
}
