//! Changes that are committed together: what is wrong with one of them, the others do not notice.

use futures_util::future::join_all;
use sea_orm::ConnectionTrait;
use serde_json::json;

use crate::harness::{Service, on_postgres, sql::scalar};

/// How many changes wait at once: enough for some of them to be committed together.
const CHANGES: usize = 48;

/// Has the database refuse customers of this name, when the claim of the request and other rows are written.
const REFUSE: [&str; 2] = [
    "CREATE TRIGGER refuse BEFORE INSERT ON customers WHEN NEW.name = 'Refused' \
     BEGIN INSERT INTO idempotent (tenant_id) VALUES (NULL); END",
    "ALTER TABLE customers ADD CONSTRAINT refuse CHECK (name <> 'Refused')",
];
const ACCEPT: [&str; 2] = ["DROP TRIGGER refuse", "ALTER TABLE customers DROP CONSTRAINT refuse"];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_change_that_fails_half_way_leaves_nothing_and_takes_none_with_it() {
    let service = Service::start().await;
    let connection = service.database.connect().await;
    let run = async |sql: [&str; 2]| connection.execute_unprepared(sql[usize::from(on_postgres())]).await.unwrap();
    run(REFUSE).await;
    let fails = |number: usize| number % 7 == 3;
    let create = |number: usize| {
        let name = if fails(number) { "Refused" } else { "Acme" };
        service.post("/customers", json!({ "name": name })).request_id(&format!("change-{number}")).send()
    };
    let replies = join_all((0..CHANGES).map(create)).await;
    let accepted = (0..CHANGES).filter(|number| !fails(*number)).count();
    for (number, reply) in replies.into_iter().enumerate() {
        reply.expect(if fails(number) { 500 } else { 201 });
    }
    assert_eq!(service.read("/customers").await["total"], accepted);
    for table in ["customers", "idempotent", "outbox", "search_documents"] {
        let rows: i64 = scalar(&connection, &format!("SELECT count(*) FROM {table}")).await;
        assert_eq!(rows, i64::try_from(accepted).unwrap(), "{table}");
    }

    run(ACCEPT).await;
    for number in 0..CHANGES {
        create(number).await.expect(if fails(number) { 201 } else { 409 });
    }
}

#[tokio::test]
async fn a_repeated_request_is_a_duplicate_whatever_else_is_wrong_with_it_by_now() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let path = format!("/customers/{customer}");
    let tag = service.get(&path).send().await.expect(200).header("ETag").to_owned();
    let change = || service.patch(&path, json!({ "name": "other" })).header("If-Match", &tag).request_id("a-change");
    change().send().await.expect(200);
    let contact =
        || service.post("/contacts", json!({ "customerId": customer, "name": "Li Lei" })).request_id("a-contact");
    contact().send().await.expect(201);
    // It has another version now.
    change().send().await.expect(409);
    change().request_id("another").send().await.expect(412);
    service.delete(&path).send().await.expect(204);
    // It is gone.
    change().send().await.expect(409);
    contact().send().await.expect(409);
    change().request_id("a-third").send().await.expect(404);
}
