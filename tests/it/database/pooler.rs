//! PgBouncer between the service and PostgreSQL, in session mode and in transaction mode. `make outages` runs this,
//! with servers of its own.

use serde_json::{Value, json};

use super::outages::assert_locked_table_is_503;
use crate::harness::{
    Client, Load, Process, WriteHistory, assert_durable, id,
    postgres::{PgBouncer, PostgresServer},
    within,
};

async fn ask(client: &mut Client, method: &str, path: &str, request_id: &str, body: Value) -> (u16, Value) {
    let answer = client.call(method, path, request_id, &body).await;
    (answer.status, answer.body)
}

/// Creates, reads, lists, changes, duplicates and deletes one of each resource.
async fn use_every_resource(client: &mut Client, turn: &str) {
    let created = ask(client, "POST", "/customers", turn, json!({ "name": "x", "contactPhone": "13812345678" })).await;
    assert_eq!(created.0, 201, "{}", created.1);
    let customer = id(&created.1, "customerId");
    let resources = [
        ("/contacts", "contactId", json!({ "customerId": customer, "name": "x", "isPrimary": true }), "name"),
        ("/opportunities", "opportunityId", json!({ "customerId": customer, "title": "x" }), "title"),
        ("/follow-ups", "followUpId", json!({ "customerId": customer, "content": "x" }), "content"),
    ];
    let mut paths = vec![format!("/customers/{customer}")];
    for (list, field, body, text) in resources {
        let request = format!("{turn}-{field}");
        let created = ask(client, "POST", list, &request, body.clone()).await;
        assert_eq!(created.0, 201, "{}", created.1);
        let again = ask(client, "POST", list, &request, body).await;
        assert_eq!(again.0, 409, "{}", again.1);
        let path = format!("{list}/{}", id(&created.1, field));
        for (request, new) in [("one", "a"), ("two", "b"), ("three", "c")] {
            let request = format!("{turn}-{request}-{field}");
            let changed = ask(client, "PATCH", &path, &request, json!({ text: new })).await;
            assert_eq!((changed.0, changed.1[text].as_str()), (200, Some(new)), "{}", changed.1);
            assert_eq!(ask(client, "PATCH", &path, &request, json!({ text: new })).await.0, 409);
        }
        let listed = ask(client, "GET", &format!("{list}?customerId={customer}&pageSize=1"), "look", Value::Null).await;
        assert_eq!((listed.0, &listed.1["total"]), (200, &json!(1)), "{list}: {}", listed.1);
        assert_eq!(ask(client, "GET", list, "look", Value::Null).await.0, 200);
        paths.push(path);
    }
    let found = ask(client, "GET", "/customers?contactPhone=138-1234-5678", "look", Value::Null).await;
    assert_eq!(found.1["total"], 1, "{}", found.1);
    let events = ask(client, "GET", "/events?wait=5", "look", Value::Null).await;
    assert_eq!(events.0, 200, "{}", events.1);
    for path in paths.iter().rev() {
        assert_eq!(ask(client, "GET", path, "look", Value::Null).await.0, 200, "{path}");
        assert_eq!(ask(client, "DELETE", path, "gone", Value::Null).await.0, 204, "{path}");
        assert_eq!(ask(client, "GET", path, "look", Value::Null).await.0, 404, "{path}");
    }
}

async fn assert_works_behind_pgbouncer(mode: &str) {
    let Some(server) = PostgresServer::start().await else { return };
    let Some(pooler) = PgBouncer::start(&server, mode).await else { return };
    // In session mode each connection of the service occupies one of PgBouncer's five.
    let connections = if mode == "session" { "5" } else { "24" };
    let (url, direct) = (server.url_through(pooler.port()), server.url());
    let variables = [
        ("CRM_MIGRATE_URL", direct.as_str()),
        ("CRM_DATABASE_POOLER", mode),
        ("CRM_DATABASE_CONNECTIONS", connections),
    ];
    let (process, history) = (Process::at(&url, &variables), WriteHistory::default());
    let mut client = process.client().await;
    let load = Load::start(&process, &history, 8);
    load.until_acknowledged(400).await;
    assert_eq!(history.count(503), 0, "{}", history.summary());
    assert_locked_table_is_503(13, &server, &process, &history).await;
    within(10, "reads again", async || client.get("/customers").await.status == 200).await;
    within(10, "writes again", async || history.write(&mut client, 0).await == 201).await;
    load.until_acknowledged(100).await;
    load.stop().await;
    assert_durable(&history, &process, &direct).await;
    assert_eq!(process.stop().await, Some(0));
    // The second process meets what the first one left in PgBouncer's connections.
    for turn in ["a", "b"] {
        let process = Process::at(&url, &variables);
        use_every_resource(&mut process.client().await, turn).await;
        assert_eq!(process.stop().await, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PgBouncer, takes half a minute: make outages"]
async fn behind_pgbouncer_in_session_mode_everything_works() {
    assert_works_behind_pgbouncer("session").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PgBouncer, takes half a minute: make outages"]
async fn behind_pgbouncer_in_transaction_mode_everything_works() {
    assert_works_behind_pgbouncer("transaction").await;
}
