//! Contended rows on PostgreSQL: changes of one row wait for each other, and a row that another session locks delays no
//! other. `make outages` runs this, with a server of its own.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::harness::{Client, Process, WriteHistory, assert_durable, id, postgres::PostgresServer, variable, within};

/// Numbers requests, because each needs an id of its own.
static REQUESTS: AtomicUsize = AtomicUsize::new(0);

/// Creates a resource, and returns its id.
async fn create(client: &mut Client, path: &str, body: Value, field: &str) -> String {
    let request = format!("create-{}", REQUESTS.fetch_add(1, Ordering::SeqCst));
    let answer = client.call("POST", path, &request, &body).await;
    assert_eq!(answer.status, 201, "{path}: {}", answer.body);
    id(&answer.body, field)
}

/// Sends a change through each client at once, and returns the statuses.
async fn patch_at_once(clients: &mut [Client], path: &str, body: impl Fn(usize) -> Value) -> Vec<u16> {
    let number = REQUESTS.fetch_add(1, Ordering::SeqCst);
    let sent = clients.iter_mut().enumerate().map(|(index, client)| {
        let (request, body) = (format!("hot-{number}-{index}"), body(index));
        async move {
            let answer = client.call("PATCH", path, &request, &body).await;
            assert!(answer.status == 200 || answer.status == 503, "{} {}", answer.status, answer.body);
            answer.status
        }
    });
    join_all(sent).await
}

async fn clients(process: &Process, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(process.client().await);
    }
    clients
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: make outages"]
async fn all_64_concurrent_changes_of_one_row_succeed() {
    let rounds = variable("TEST_ROUNDS").map_or(8, |text| text.parse().unwrap());
    let Some(server) = PostgresServer::start().await else { return };
    let process = Process::at(&server.url(), &[]);
    let mut clients = clients(&process, 64).await;
    let client = &mut clients[0];
    let customer = create(client, "/customers", json!({ "name": "x" }), "customerId").await;
    let of = |more: Value| {
        let mut body = json!({ "customerId": customer });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let mut contacts = Vec::new();
    let mut opportunities = Vec::new();
    for _ in 0..2 {
        contacts.push(create(client, "/contacts", of(json!({ "name": "x" })), "contactId").await);
        opportunities.push(create(client, "/opportunities", of(json!({ "title": "x" })), "opportunityId").await);
    }
    let follow_up = create(client, "/follow-ups", of(json!({ "content": "x" })), "followUpId").await;
    let paths = [
        format!("/customers/{customer}"),
        format!("/contacts/{}", contacts[0]),
        format!("/opportunities/{}", opportunities[0]),
        format!("/follow-ups/{follow_up}"),
    ];
    let [the_customer, the_contact, the_opportunity, the_follow_up] = &paths;
    let number = |index: usize| format!("n{index}");
    type Body<'b> = Box<dyn Fn(usize) -> Value + 'b>;
    let changes: [(&str, &String, Body<'_>); 8] = [
        ("a customer's name", the_customer, Box::new(|n| json!({ "name": number(n) }))),
        ("a contact's name", the_contact, Box::new(|n| json!({ "name": number(n) }))),
        ("a contact's rank", the_contact, Box::new(|n| json!({ "isPrimary": n % 2 == 0, "name": number(n) }))),
        ("an opportunity's title", the_opportunity, Box::new(|n| json!({ "title": number(n) }))),
        ("an opportunity's stage", the_opportunity, Box::new(|n| json!({ "stage": n % 7 }))),
        ("a follow-up's content", the_follow_up, Box::new(|n| json!({ "content": number(n) }))),
        ("a follow-up's opportunity", the_follow_up, Box::new(|n| json!({ "opportunityId": opportunities[n % 2] }))),
        (
            "a follow-up's contact",
            the_follow_up,
            Box::new(|n| json!({ "contactId": contacts[n % 2], "content": number(n) })),
        ),
    ];
    let mut wrong = Vec::new();
    for (what, path, body) in &changes {
        let start = Instant::now();
        let mut refused = 0;
        for _ in 0..rounds {
            let statuses = patch_at_once(&mut clients, path, body).await;
            refused += statuses.iter().filter(|status| **status != 200).count();
        }
        eprintln!("{what}: {refused} refused in {rounds} rounds, {:?}", start.elapsed());
        if refused > 0 {
            wrong.push(format!("{what}: {refused}"));
        }
    }
    assert!(wrong.is_empty(), "of {} changes each, refused were: {wrong:?}", rounds * 64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: make outages"]
async fn a_row_locked_elsewhere_is_503_in_time_and_blocks_no_other() {
    let Some(server) = PostgresServer::start().await else { return };
    let process = Process::at(&server.url(), &[]);
    let mut client = process.client().await;
    let customer = create(&mut client, "/customers", json!({ "name": "x" }), "customerId").await;
    let lock = format!("SELECT 1 FROM customers WHERE customer_id = '{customer}' FOR UPDATE");
    let locking = server.hold(&lock).await;
    // They arrive over three seconds, so that some come while others wait.
    let mut waiting = Vec::new();
    for number in 0..60 {
        let (mut client, customer) = (process.client().await, customer.clone());
        waiting.push(tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(50 * number)).await;
            let request = format!("hot-{number}");
            if number % 2 == 0 {
                client.call("PATCH", &format!("/customers/{customer}"), &request, &json!({ "name": request })).await
            } else {
                let body = json!({ "customerId": customer, "name": request });
                client.call("POST", "/contacts", &request, &body).await
            }
        }));
    }
    let history = WriteHistory::default();
    let (mut others, start) = (0, Instant::now());
    while start.elapsed() < Duration::from_secs(13) {
        assert_eq!(history.write(&mut client, 0).await, 201, "another customer, after {:?}", start.elapsed());
        assert_eq!(client.get(&format!("/customers/{customer}")).await.status, 200);
        assert_eq!(client.get("/contacts").await.status, 200);
        others += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for answer in waiting {
        let answer = answer.await.unwrap();
        assert_eq!(answer.status, 503, "the row is locked");
    }
    eprintln!("{others} others meanwhile; {}", history.summary());
    locking.execute_unprepared("ROLLBACK").await.unwrap();
    let path = format!("/customers/{customer}");
    within(10, "the row is free", async || {
        let request = history.new_request_id();
        client.call("PATCH", &path, &request, &json!({ "name": request })).await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: make outages"]
async fn a_statement_cancelled_by_the_server_is_503() {
    let Some(server) = PostgresServer::start().await else { return };
    server.run(&["ALTER ROLE postgres SET statement_timeout = '400ms'"]).await;
    let (url, history) = (server.url(), WriteHistory::default());
    let process = Process::at(&url, &[]);
    let mut client = process.client().await;
    assert_eq!(history.write(&mut client, 0).await, 201);
    for table in ["customers", "audit_logs", "outbox", "idempotent"] {
        let mode = if table == "customers" { "ACCESS EXCLUSIVE" } else { "SHARE ROW EXCLUSIVE" };
        let locking = server.hold(&format!("LOCK TABLE {table} IN {mode} MODE")).await;
        assert_eq!(history.write(&mut client, 0).await, 503, "{table} is locked");
        let read = client.get("/customers").await.status;
        assert_eq!(read, if table == "customers" { 503 } else { 200 }, "{table} is locked");
        locking.execute_unprepared("ROLLBACK").await.unwrap();
        within(10, "writes again", async || history.write(&mut client, 0).await == 201).await;
    }
    assert_durable(&history, &process, &url).await;
}
