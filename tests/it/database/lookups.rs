//! Rows that several requests look up at once: each is answered with its own.

use futures_util::future::join_all;
use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::json;

use crate::harness::{Service, on_postgres};

const TENANTS: usize = 4;
const CUSTOMERS: usize = 8;
/// How often each is looked up at once, by its own tenant and by another.
const TIMES: usize = 6;

/// A customer, whose name says whose and which it is.
async fn create(service: &Service, tenant: usize, number: usize) -> String {
    let body = json!({ "name": format!("{tenant}-{number}") });
    let reply = service.post("/customers", body).tenant(&format!("tenant{tenant}")).send().await.expect(201);
    reply.body["customerId"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_request_is_answered_with_the_row_that_it_asks_for() {
    let service = Service::start().await;
    let mut customers = Vec::new();
    for number in 0..TENANTS * CUSTOMERS {
        let tenant = number % TENANTS;
        customers.push((tenant, number, create(&service, tenant, number).await));
    }
    service.forget_what_is_kept().await;
    let get =
        |tenant: usize, id: &str| service.get(&format!("/customers/{id}")).tenant(&format!("tenant{tenant}")).send();
    let lookups = (0..TIMES).flat_map(|time| {
        customers.iter().map(move |(tenant, number, id)| async move {
            // Every other time another tenant asks, who has no such customer.
            let asking = (tenant + time % 2) % TENANTS;
            (asking == *tenant, *tenant, *number, get(asking, id).await)
        })
    });
    for (is_own, tenant, number, reply) in join_all(lookups).await {
        match is_own {
            true => assert_eq!(reply.expect(200).body["name"], format!("{tenant}-{number}")),
            false => drop(reply.expect(404)),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_answered_before_is_seen_by_who_looks_up_after() {
    let service = Service::start().await;
    let customers = join_all((0..CUSTOMERS).map(|number| create(&service, 0, number))).await;
    let rounds = customers.iter().map(async |id| {
        let path = format!("/customers/{id}");
        for round in 0..20 {
            let name = format!("round {round}");
            service.patch(&path, json!({ "name": name })).tenant("tenant0").send().await.expect(200);
            let read = service.get(&path).tenant("tenant0").send().await.expect(200);
            assert_eq!(read.body["name"], name);
        }
    });
    join_all(rounds).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn where_rows_cannot_be_read_everybody_is_told_so() {
    if !on_postgres() {
        return;
    }
    let service = Service::start().await;
    let customer = create(&service, 0, 0).await;
    let get = || service.get(&format!("/customers/{customer}")).tenant("tenant0").send_unchecked();
    let connection = service.database.connect().await;
    connection.execute_unprepared("ALTER TABLE customers RENAME TO away").await.unwrap();
    for reply in join_all((0..40).map(|_| get())).await {
        assert!(reply.status.is_server_error(), "{}", reply.text);
    }
    connection.execute_unprepared("ALTER TABLE away RENAME TO customers").await.unwrap();
    for reply in join_all((0..40).map(|_| get())).await {
        reply.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_waits_for_a_locked_table_keeps_no_other_tenant_waiting() {
    if !on_postgres() {
        return;
    }
    let service = Service::start().await;
    let customer = create(&service, 0, 0).await;
    let body = json!({ "customerId": create(&service, 1, 0).await, "name": "Li Lei" });
    let contact = service.post("/contacts", body).tenant("tenant1").send().await.expect(201);
    let contact = contact.body["contactId"].as_str().unwrap();
    let connection = service.database.connect().await;
    let held = connection.begin().await.unwrap();
    held.execute_unprepared("LOCK TABLE customers IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let (customer, contact) = (format!("/customers/{customer}"), format!("/contacts/{contact}"));
    let blocked = join_all((0..8).map(|_| service.get(&customer).tenant("tenant0").send()));
    let others = async {
        for reply in join_all((0..8).map(|_| service.get(&contact).tenant("tenant1").send())).await {
            reply.expect(200);
        }
        held.rollback().await.unwrap();
    };
    let (blocked, ()) = tokio::join!(blocked, others);
    for reply in blocked {
        reply.expect(200);
    }
}
