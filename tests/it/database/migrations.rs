//! Migrations: up, down, concurrent, and a schema newer than the binary.

use crm::database::migrate::{self, SchemaError};
use sea_orm::ConnectionTrait;
use serde_json::json;

use crate::harness::{AMPLE, Service, TestDatabase};

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

#[tokio::test]
async fn an_outdated_schema_is_named_and_a_newer_one_refused() {
    let database = TestDatabase::new().await;
    let url = database.parsed_url();
    migrate::up(&url, Some(3), AMPLE).await.unwrap();
    let behind = migrate::check(&url).await.unwrap_err();
    let pending = migrate::status(&url).await.unwrap().len() - 3;
    assert!(matches!(&behind, SchemaError::Behind(missing) if missing.len() == pending), "{behind}");
    assert!(behind.to_string().contains("m20261122_000005_idempotent"), "{behind}");

    migrate::up(&url, None, AMPLE).await.unwrap();
    let connection = database.connect().await;
    let from_the_future = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m29990101_000001_future', 0)";
    connection.execute_unprepared(from_the_future).await.unwrap();
    for refused in
        [migrate::up(&url, None, AMPLE).await, migrate::down(&url, 1, AMPLE).await, migrate::check(&url).await]
    {
        let error = refused.unwrap_err();
        assert!(matches!(error, SchemaError::Newer(_)), "{error}");
        assert!(error.to_string().contains("m29990101_000001_future"), "{error}");
    }
}
