//! The schema: up, down, up again, several processes at once, and a database from the future.

use std::time::Duration;

use crm::database::migrate::{self, SchemaError};
use sea_orm::ConnectionTrait;
use serde_json::json;

use crate::harness::{Service, TestDatabase};

/// Longer than any migration takes.
const WAIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn up_down_and_up_again_leave_a_working_schema() {
    let database = TestDatabase::new().await;
    let url = database.parsed_url();
    migrate::up(&url, None, WAIT).await.unwrap();
    let all = migrate::status(&url).await.unwrap();
    assert!(all.len() == 10 && all.iter().all(|step| step.applied));
    for left in (0..all.len()).rev() {
        migrate::down(&url, 1, WAIT).await.unwrap();
        let applied = migrate::status(&url).await.unwrap().iter().filter(|step| step.applied).count();
        assert_eq!(applied, left);
    }
    migrate::up(&url, Some(2), WAIT).await.unwrap();
    assert_eq!(migrate::status(&url).await.unwrap().iter().filter(|step| step.applied).count(), 2);
    let service = Service::on(database, &[]).await;
    service.create("/customers", json!({ "name": "x" })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_processes_may_migrate_at_once() {
    let database = TestDatabase::new().await;
    let url = database.parsed_url();
    let tasks: Vec<_> = (0..6)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { migrate::up(&url, None, WAIT).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    migrate::check(&url).await.unwrap();
}

#[tokio::test]
async fn a_database_that_is_behind_is_named_and_one_that_is_newer_refused() {
    let database = TestDatabase::new().await;
    let url = database.parsed_url();
    migrate::up(&url, Some(3), WAIT).await.unwrap();
    let behind = migrate::check(&url).await.unwrap_err();
    assert!(matches!(&behind, SchemaError::Behind(missing) if missing.len() == 7), "{behind}");
    assert!(behind.to_string().contains("m20261122_000005_idempotent"), "{behind}");

    migrate::up(&url, None, WAIT).await.unwrap();
    let connection = database.connect().await;
    let from_the_future = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m29990101_000001_future', 0)";
    connection.execute_unprepared(from_the_future).await.unwrap();
    for refused in [migrate::up(&url, None, WAIT).await, migrate::down(&url, 1, WAIT).await, migrate::check(&url).await]
    {
        let error = refused.unwrap_err();
        assert!(matches!(error, SchemaError::Newer(_)), "{error}");
        assert!(error.to_string().contains("m29990101_000001_future"), "{error}");
    }
}
