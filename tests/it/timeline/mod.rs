//! Timelines: what happened to a customer.

mod filling;
mod histories;
mod pages;

use crm::{
    service::resources::owned_tables,
    timeline::fill::{self, Step},
};
use sea_orm::{ConnectionTrait, DatabaseConnection};
use serde_json::{Value, json};

use crate::harness::{Service, sql::scalar};

/// What the timeline of a customer holds, newest first: types, the resource and the summary.
async fn items(service: &Service, customer: &str) -> Vec<Value> {
    let page = service.read(&format!("/customers/{customer}/timeline?limit=100")).await;
    assert_eq!(page["nextCursor"], Value::Null, "more than a page");
    page["data"].as_array().unwrap().clone()
}

/// The types and the sentence of each item.
async fn told(service: &Service, customer: &str) -> Vec<(Value, String)> {
    let told = |item: &Value| (item["types"].clone(), item["summary"].as_str().unwrap().to_owned());
    items(service, customer).await.iter().map(told).collect()
}

async fn count(connection: &DatabaseConnection, table: &str) -> i64 {
    scalar(connection, &format!("SELECT count(*) FROM {table}")).await
}

/// Works off all that the release before has left, and all that was there before.
async fn fill_all(service: &Service) {
    let database = service.app.database();
    while fill::work_off(database, &owned_tables()).await.unwrap() {}
    while fill::step(database, &owned_tables()).await.unwrap() != Step::Done {}
}

async fn remove_all(service: &Service) {
    while fill::remove(service.app.database()).await.unwrap() {}
}

/// As if timelines began to be kept now: nothing is in them, and all entries are to be gone through.
async fn begin_anew(connection: &DatabaseConnection) {
    for sql in ["DELETE FROM timeline", "INSERT INTO timeline_builds (id, tenant_id) VALUES (1, '')"] {
        connection.execute_unprepared(sql).await.unwrap();
    }
}

fn types(names: &[&str]) -> Value {
    json!(names)
}
