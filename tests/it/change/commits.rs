//! A 2xx of a write means that COMMIT returned: every step of every write is made to fail, and what was answered is held
//! against what is kept.

use crm::database::Failure;
use poem::http::Method;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use serde_json::json;

use crate::harness::{
    Call, Reply, Service,
    contract::Operation,
    contract_walk::{World, effective_body, operations, request, world},
};

/// What a change leaves behind besides its rows, and the rows.
const TABLES: [&str; 7] =
    ["idempotent", "audit_logs", "outbox", "customers", "contacts", "opportunities", "follow_ups"];

/// More steps than any write has.
const MANY: u64 = 200;

#[tokio::test]
async fn whichever_step_of_a_write_fails_once_it_is_done_whole_or_not_at_all() {
    each_step_of_each_write_fails(|number| number..=number, Failure::NotDone).await;
}

#[tokio::test]
async fn whichever_step_of_a_write_fails_and_all_behind_it_nothing_is_done() {
    each_step_of_each_write_fails(|number| number..=u64::MAX, Failure::NotDone).await;
}

#[tokio::test]
async fn a_write_of_which_an_answer_is_lost_is_done_whole_or_not_at_all() {
    each_step_of_each_write_fails(|number| number..=number, Failure::AnswerLost).await;
}

async fn each_step_of_each_write_fails(failing: impl Fn(u64) -> std::ops::RangeInclusive<u64>, failure: Failure) {
    let service = Service::start().await;
    let connection = service.database.connect().await;
    let writes = || operations(&service).into_iter().filter(|operation| operation.method != Method::GET);
    assert!(writes().count() >= 12, "a walk past nothing shows nothing");
    for operation in writes() {
        let what = format!("{} {}", operation.method, operation.template);
        let mut refused = 0;
        for number in 1.. {
            assert!(number < MANY, "{what} never succeeds");
            let world = world(&service).await;
            let call = || write(&service, &operation, &world, &format!("{what} {number}"));
            let before = kept(&connection).await;
            service.app.database().steps().fail(failing(number), failure);
            let reply = call().send().await;
            let taken = service.app.database().steps().stop_failing();
            let after = kept(&connection).await;
            if reply.status.is_success() {
                changed_whole(&what, &operation, &before, &after);
                if taken < number {
                    break;
                }
                // The connection was lost before COMMIT, and a fresh one did it.
                continue;
            }
            refused += 1;
            is_unavailable(&what, &reply);
            let again = call().send().await;
            if before == after {
                again.expect(operation.success());
            } else {
                assert_eq!(failure, Failure::AnswerLost, "{what}: step {number} was not done, but something is");
                assert!(reply.body["details"].as_str().unwrap().contains("not known"), "{}", reply.text);
                changed_whole(&what, &operation, &before, &after);
                again.expect(if operation.has_body() { 409 } else { 404 });
                assert_eq!(kept(&connection).await, after, "{what}: done twice");
            }
            service.customer().await;
        }
        assert!(refused > 0, "{what}: no step failed");
    }
    assert_eq!(service.app.database().health().writes(), Ok(()));
}

fn write<'s>(service: &'s Service, operation: &Operation, world: &World, request_id: &str) -> Call<'s> {
    let request_id: String = request_id.chars().filter(char::is_ascii_alphanumeric).collect();
    let call = request(service, operation, world).request_id(&request_id);
    match operation.method {
        Method::PATCH => call.json(&effective_body(service, operation, world)),
        _ => call,
    }
}

fn is_unavailable(what: &str, reply: &Reply) {
    assert_eq!(reply.status, 503, "{what}: {}", reply.text);
    assert_eq!(reply.body["code"], json!("SERVICE_UNAVAILABLE"));
    assert_eq!(reply.header("Retry-After"), "1");
}

/// Fails unless the claim (where there is one), the audit entry, the event and the row are all there.
fn changed_whole(what: &str, operation: &Operation, before: &[Vec<String>], after: &[Vec<String>]) {
    let changed: Vec<bool> = before.iter().zip(after).map(|(before, after)| before != after).collect();
    assert_eq!(changed[..3], [operation.has_body(), true, true], "{what}: claim, audit entry, event");
    assert!(changed[3..].contains(&true), "{what}: no row was changed");
}

/// All rows of the tables, as text.
async fn kept(connection: &DatabaseConnection) -> Vec<Vec<String>> {
    let mut tables = Vec::new();
    for table in TABLES {
        let row = match connection.get_database_backend() {
            DbBackend::Postgres => "t::text".to_owned(),
            _ => texts(connection, &format!("SELECT 'quote(' || name || ')' FROM pragma_table_info('{table}')"))
                .await
                .join(" || ',' || "),
        };
        let mut rows = texts(connection, &format!("SELECT {row} FROM {table} t")).await;
        rows.sort();
        tables.push(rows);
    }
    tables
}

async fn texts(connection: &DatabaseConnection, sql: &str) -> Vec<String> {
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let rows = connection.query_all_raw(statement).await.unwrap();
    rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}
