//! Changes that are committed together: what is wrong with one of them, the others do not notice.

use std::sync::{Arc, Mutex};

use crm::database::Failure;
use futures_util::future::join_all;
use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::json;

use crate::harness::{Service, metrics::Scrape, on_postgres, sql::scalar};

/// How many changes wait at once: enough for some of them to be committed together.
const CHANGES: usize = 48;

/// Has the database refuse new customers of this name, when the claim of the request and other rows are written.
const REFUSE_NEW: [&str; 2] = [
    "CREATE TRIGGER refuse BEFORE INSERT ON customers WHEN NEW.name = 'Refused' \
     BEGIN INSERT INTO idempotent (tenant_id) VALUES (NULL); END",
    "ALTER TABLE customers ADD CONSTRAINT refuse CHECK (name <> 'Refused')",
];
const ACCEPT_NEW: [&str; 2] = ["DROP TRIGGER refuse", "ALTER TABLE customers DROP CONSTRAINT refuse"];

/// Has the database leave customers as they are that are to get this name.
const IGNORE: [&str; 2] = [
    "CREATE TRIGGER ignore BEFORE UPDATE ON customers WHEN NEW.name = 'Refused' BEGIN SELECT RAISE(IGNORE); END",
    "CREATE RULE ignore AS ON UPDATE TO customers WHERE NEW.name = 'Refused' DO INSTEAD NOTHING",
];
const CHANGE: [&str; 2] = ["DROP TRIGGER ignore", "DROP RULE ignore ON customers"];

/// Whether the change with this number is one that fails.
fn fails(number: usize) -> bool {
    number % 7 == 3
}

async fn run(service: &Service, sql: [&str; 2]) {
    service.database.connect().await.execute_unprepared(sql[usize::from(on_postgres())]).await.unwrap();
}

/// How many rows there are of what a change writes.
async fn rows(service: &Service) -> Vec<i64> {
    let connection = service.database.connect().await;
    let mut rows = Vec::new();
    for table in ["customers", "idempotent", "audit_logs", "outbox", "timeline", "search_documents"] {
        rows.push(scalar(&connection, &format!("SELECT count(*) FROM {table}")).await);
    }
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_create_that_fails_half_way_leaves_nothing_and_takes_none_with_it() {
    let service = Service::start().await;
    run(&service, REFUSE_NEW).await;
    let create = |number: usize| {
        let name = if fails(number) { "Refused" } else { "Acme" };
        service.post("/customers", json!({ "name": name })).request_id(&format!("change-{number}")).send()
    };
    let replies = join_all((0..CHANGES).map(create)).await;
    for (number, reply) in replies.into_iter().enumerate() {
        reply.expect(if fails(number) { 500 } else { 201 });
    }
    let accepted = i64::try_from((0..CHANGES).filter(|number| !fails(*number)).count()).unwrap();
    assert_eq!(service.read("/customers").await["total"], accepted);
    assert_eq!(rows(&service).await, [accepted; 6]);

    run(&service, ACCEPT_NEW).await;
    for number in 0..CHANGES {
        create(number).await.expect(if fails(number) { 201 } else { 409 });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_create_that_fails_half_way_takes_none_with_it_that_reads() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let mut contacts = Vec::new();
    for _ in 0..CHANGES {
        contacts.push(service.contact(&customer).await);
    }
    run(&service, REFUSE_NEW).await;
    let create = async |number: usize| {
        let name = if fails(number) { "Refused" } else { "Acme" };
        service.post("/customers", json!({ "name": name })).send().await.expect(if fails(number) { 500 } else { 201 });
    };
    // These look into the database for what they change.
    let make_primary = async |contact: &String| {
        service.patch(&format!("/contacts/{contact}"), json!({ "isPrimary": true })).send().await.expect(200);
    };
    let delete =
        async |contact: &String| drop(service.delete(&format!("/contacts/{contact}")).send().await.expect(204));
    let (primary, deleted) = contacts.split_at(CHANGES / 2);
    futures_util::join!(
        join_all((0..CHANGES).map(create)),
        join_all(primary.iter().map(make_primary)),
        join_all(deleted.iter().map(delete)),
    );
    let accepted = i64::try_from((0..CHANGES).filter(|number| !fails(*number)).count()).unwrap();
    assert_eq!(service.read("/customers").await["total"], accepted + 1);
    assert_eq!(service.read("/contacts").await["total"], primary.len());
    assert_eq!(service.read("/contacts?isPrimary=true").await["total"], 1);
    run(&service, ACCEPT_NEW).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_change_whose_row_is_not_changed_leaves_nothing_and_takes_none_with_it() {
    let service = Service::start().await;
    let mut customers = Vec::new();
    for _ in 0..CHANGES {
        customers.push(service.customer().await);
    }
    run(&service, IGNORE).await;
    let before = rows(&service).await;
    let change = |number: usize| {
        let name = if fails(number) { "Refused" } else { "other" };
        let path = format!("/customers/{}", customers[number]);
        service.patch(&path, json!({ "name": name })).request_id(&format!("change-{number}")).send()
    };
    let replies = join_all((0..CHANGES).map(change)).await;
    for (number, reply) in replies.into_iter().enumerate() {
        reply.expect(if fails(number) { 500 } else { 200 });
    }
    let accepted = i64::try_from((0..CHANGES).filter(|number| !fails(*number)).count()).unwrap();
    let written: Vec<i64> = rows(&service).await.iter().zip(before).map(|(after, before)| after - before).collect();
    assert_eq!(written, [0, accepted, accepted, accepted, accepted, 0]);

    run(&service, CHANGE).await;
    for number in 0..CHANGES {
        change(number).await.expect(if fails(number) { 200 } else { 409 });
    }
    assert_eq!(service.read("/customers?q=Refused").await["total"], CHANGES as i64 - accepted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_that_are_repeated_at_once_are_done_once_and_take_none_with_them() {
    let service = Service::start().await;
    let mut customers = Vec::new();
    for _ in 0..CHANGES / 4 {
        customers.push(service.customer().await);
    }
    let before = rows(&service).await;
    let name = |number: usize| format!("name{number:02}");
    // Each key by a create and by three changes, of which two are of the same customer.
    let request = |number: usize| {
        let (key, body) = (format!("key-{}", number % (CHANGES / 4)), json!({ "name": name(number) }));
        let call = match number * 4 / CHANGES {
            0 => service.post("/customers", body),
            round => service.patch(&format!("/customers/{}", customers[(number + round / 2) % customers.len()]), body),
        };
        call.request_id(&key).send()
    };
    let replies = join_all((0..CHANGES).map(request)).await;
    let mut done = vec![0; CHANGES / 4];
    let mut made = 0;
    for (number, reply) in replies.iter().enumerate() {
        match reply.status.as_u16() {
            201 => (made, done[number % (CHANGES / 4)]) = (made + 1, done[number % (CHANGES / 4)] + 1),
            200 => done[number % (CHANGES / 4)] += 1,
            status => assert_eq!(status, 409, "{}", reply.text),
        }
    }
    assert_eq!(done, vec![1; CHANGES / 4]);
    let accepted = i64::try_from(CHANGES / 4).unwrap();
    let written: Vec<i64> = rows(&service).await.iter().zip(before).map(|(after, before)| after - before).collect();
    assert_eq!(written, [made, accepted, accepted, accepted, accepted, made]);
    // The index of searches has those names, and no others.
    for (number, reply) in replies.iter().enumerate() {
        let found = service.read(&format!("/search?q={}", name(number))).await;
        let found: Vec<_> = found["data"].as_array().unwrap().iter().map(|found| &found["resourceId"]).collect();
        let customer = &reply.body["customerId"];
        let is_named_so = reply.status.is_success()
            && service.read(&format!("/customers/{}", customer.as_str().unwrap())).await["name"] == name(number);
        assert_eq!(found, if is_named_so { vec![customer] } else { vec![] }, "{number}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_changes_nothing_is_done_once_too_however_often_it_is_repeated_at_once() {
    let service = Service::start().await;
    let path = format!("/customers/{}", service.customer().await);
    let change = |number: usize| {
        let key = format!("key-{}", number % (CHANGES / 2));
        service.patch(&path, json!({ "name": "Acme" })).request_id(&key).send()
    };
    change(0).await.expect(200);
    let replies = join_all((0..CHANGES).map(change)).await;
    let done = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(done, CHANGES / 2 - 1, "one key was accepted before");
    assert!(replies.iter().all(|reply| reply.status == 200 || reply.status == 409));
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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_changed_at_once_is_written_by_the_same_statements() {
    let service = Service::start().await;
    let mut customers = Vec::new();
    for _ in 0..CHANGES {
        customers.push(service.customer().await);
    }
    let observed = Arc::<Mutex<Vec<String>>>::default();
    let noted = Arc::clone(&observed);
    service.app.database().statements().observe(move |statement| noted.lock().unwrap().push(statement.sql.clone()));
    for round in 0..2 {
        observed.lock().unwrap().clear();
        let change = |customer: &String| {
            let path = format!("/customers/{customer}");
            service.patch(&path, json!({ "name": format!("name {round}") })).send()
        };
        for reply in join_all(customers.iter().map(change)).await {
            reply.expect(200);
        }
    }
    let run = observed.lock().unwrap().clone();
    let count = |begin: &str| run.iter().filter(|sql| sql.starts_with(begin)).count();
    let commits = count("COMMIT");
    assert!(commits < CHANGES / 2, "{CHANGES} changes took {commits} commits");
    if !on_postgres() {
        // What is written has been kept in memory, and each is told by itself and as a part of what is written for several.
        assert_eq!(count("SELECT"), 0, "{run:?}");
        assert_eq!(count(r#"UPDATE "customers" SET"#), CHANGES);
        let together = count(r#"UPDATE "customers" AS t SET"#);
        assert!((1..=2 * commits).contains(&together), "{CHANGES} changes took {together} updates, {commits} commits");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_waits_at_once_shares_transactions() {
    let service = Service::start().await;
    let counted = |name: &str| Scrape::of(&service).sum(&format!("crm_write_group_size_{name}"), &[]);
    let before = [counted("sum"), counted("count")];
    let create = |number: usize| {
        let tenant = format!("tenant{}", number % 5);
        service.post("/customers", json!({ "name": "Acme" })).tenant(&tenant).request_id(&number.to_string()).send()
    };
    for reply in join_all((0..CHANGES).map(create)).await {
        reply.expect(201);
    }
    let [changes, commits] = [counted("sum") - before[0], counted("count") - before[1]];
    assert!(changes >= CHANGES as f64 && commits < changes / 2.0, "{changes} changes took {commits} commits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_step_fails_each_change_is_done_once() {
    for failure in [Failure::NotDone, Failure::AnswerLost] {
        let service = Service::start().await;
        let customers: Vec<String> = join_all((0..CHANGES / 2).map(|_| service.customer())).await;
        for step in 1..24 {
            let change = |number: usize| {
                let call = match customers.get(number) {
                    Some(customer) => {
                        service.patch(&format!("/customers/{customer}"), json!({ "name": step.to_string() }))
                    }
                    None => service.post("/customers", json!({ "name": step.to_string() })),
                };
                call.request_id(&format!("{step}-{number}")).send_unchecked()
            };
            let before = rows(&service).await;
            service.app.database().steps().fail(step..=step, failure);
            let first = join_all((0..CHANGES).map(change)).await;
            service.app.database().steps().stop_failing();
            for (number, reply) in first.into_iter().enumerate() {
                let again = change(number).await;
                match reply.status.as_u16() {
                    200 | 201 => again.expect(409),
                    503 if again.status == 409 => again,
                    503 => again.expect(if number < customers.len() { 200 } else { 201 }),
                    _ => reply.expect(503),
                };
            }
            let written: Vec<i64> =
                rows(&service).await.iter().zip(before).map(|(after, before)| after - before).collect();
            let (all, new) = (CHANGES as i64, (CHANGES - customers.len()) as i64);
            assert_eq!(written, [new, all, all, all, all, new], "step {step} {failure:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_change_whose_row_somebody_else_has_locked_keeps_no_other_one_waiting() {
    if !on_postgres() {
        return;
    }
    let service = Service::start().await;
    let customers: Vec<String> = join_all((0..CHANGES).map(|_| service.customer())).await;
    let elsewhere = service.database.connect().await;
    let held = elsewhere.begin().await.unwrap();
    held.execute_unprepared(&format!("SELECT 1 FROM customers WHERE customer_id = '{}' FOR UPDATE", customers[0]))
        .await
        .unwrap();
    let change =
        |number: usize| service.patch(&format!("/customers/{}", customers[number]), json!({ "name": "other" })).send();
    let waiting = change(0);
    let others = async {
        for reply in join_all((1..CHANGES).map(change)).await {
            reply.expect(200);
        }
        held.rollback().await.unwrap();
    };
    let (waited, ()) = tokio::join!(waiting, others);
    waited.expect(200);
}
