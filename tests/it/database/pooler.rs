//! The service on PostgreSQL behind PgBouncer, which gives each session or each transaction one of a few connections.
//! `make outages` runs this, with servers of its own.

use std::time::Duration;

use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::harness::{
    Client, Load, Process, Told, id, kept,
    postgres::{Bouncer, Cluster},
    within,
};

async fn ask(client: &mut Client, method: &str, path: &str, request_id: &str, body: Value) -> (u16, Value) {
    let answer = client.ask(method, path, request_id, &body).await.expect("the connection broke").promised();
    (answer.status, answer.body)
}

/// One of each resource: made, shown, listed, changed, refused as a duplicate, deleted.
async fn every_resource(client: &mut Client, turn: &str) {
    let made = ask(client, "POST", "/customers", turn, json!({ "name": "x", "contactPhone": "13812345678" })).await;
    assert_eq!(made.0, 201, "{}", made.1);
    let customer = id(&made.1, "customerId");
    let resources = [
        ("/contacts", "contactId", json!({ "customerId": customer, "name": "x", "isPrimary": true }), "name"),
        ("/opportunities", "opportunityId", json!({ "customerId": customer, "title": "x" }), "title"),
        ("/follow-ups", "followUpId", json!({ "customerId": customer, "content": "x" }), "content"),
    ];
    let mut paths = vec![format!("/customers/{customer}")];
    for (list, field, body, text) in resources {
        let request = format!("{turn}-{field}");
        let made = ask(client, "POST", list, &request, body.clone()).await;
        assert_eq!(made.0, 201, "{}", made.1);
        let again = ask(client, "POST", list, &request, body).await;
        assert_eq!(again.0, 409, "{}", again.1);
        let path = format!("{list}/{}", id(&made.1, field));
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

async fn behind_pgbouncer(mode: &str) {
    let Some(cluster) = Cluster::start().await else { return };
    let Some(bouncer) = Bouncer::start(&cluster, mode).await else { return };
    // A session keeps its connection: there may not be more of them than PgBouncer has.
    let own = if mode == "session" { "5" } else { "24" };
    let (url, direct) = (cluster.url_through(bouncer.port()), cluster.url());
    let variables =
        [("CRM_MIGRATE_URL", direct.as_str()), ("CRM_DATABASE_POOLER", mode), ("CRM_DATABASE_CONNECTIONS", own)];
    let (process, told) = (Process::at(&url, &variables), Told::default());
    let mut client = process.client().await;
    let load = Load::start(&process, &told, 8);
    load.until_acknowledged(400).await;
    assert_eq!(told.count(503), 0, "{}", told.summary());
    // The limits hold here too.
    let stranger = cluster.session().await;
    stranger.execute_unprepared("BEGIN").await.unwrap();
    stranger.execute_unprepared("LOCK TABLE customers IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let released = async {
        tokio::time::sleep(Duration::from_secs(13)).await;
        stranger.execute_unprepared("ROLLBACK").await.unwrap();
    };
    let asked = async {
        let mut more = process.client().await;
        let (read, written) = tokio::join!(client.get("/customers"), told.write(&mut more, 0));
        assert_eq!((read.status, written), (503, 503));
    };
    tokio::join!(released, asked);
    within(10, "reads again", async || client.get("/customers").await.status == 200).await;
    within(10, "writes again", async || told.write(&mut client, 0).await == 201).await;
    load.until_acknowledged(100).await;
    load.end().await;
    kept(&told, &process, &direct).await;
    assert_eq!(process.stop().await, Some(0));
    // What sessions left behind is met by the next ones.
    for turn in ["a", "b"] {
        let process = Process::at(&url, &variables);
        every_resource(&mut process.client().await, turn).await;
        assert_eq!(process.stop().await, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PgBouncer, takes half a minute: make outages"]
async fn behind_pgbouncer_that_pools_sessions_everything_works() {
    behind_pgbouncer("session").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PgBouncer, takes half a minute: make outages"]
async fn behind_pgbouncer_that_pools_transactions_everything_works() {
    behind_pgbouncer("transaction").await;
}
