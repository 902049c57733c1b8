//! A 2xx of a write means that COMMIT returned: each step of each write is made to fail, and the answer is compared
//! with what is stored.

use crm::{database::Failure, service::resources::resources};
use poem::http::Method;
use sea_orm::{DatabaseConnection, DbBackend};
use serde_json::json;

use crate::harness::{
    Call, Reply, Service,
    contract::Operation,
    contract_walk::{ResourceIds, changing_body, create_resources, operations, request},
    sql::column,
};

/// The tables that changes write.
fn written_tables() -> Vec<String> {
    let beside = ["idempotent", "audit_logs", "outbox"].map(str::to_owned);
    let resources = resources().map(|resource| resource.kind.collection.replace('-', "_"));
    beside.into_iter().chain(resources).collect()
}

/// More steps than any write has.
const MOST_STEPS: u64 = 200;

#[tokio::test]
async fn a_write_with_one_failing_step_is_done_completely_or_not_at_all() {
    fail_each_step_of_each_write(|number| number..=number, Failure::NotDone).await;
}

#[tokio::test]
async fn a_write_that_fails_from_any_step_on_is_not_done_at_all() {
    fail_each_step_of_each_write(|number| number..=u64::MAX, Failure::NotDone).await;
}

#[tokio::test]
async fn a_write_with_a_lost_answer_is_done_completely_or_not_at_all() {
    fail_each_step_of_each_write(|number| number..=number, Failure::AnswerLost).await;
}

async fn fail_each_step_of_each_write(failing: impl Fn(u64) -> std::ops::RangeInclusive<u64>, failure: Failure) {
    let service = Service::start().await;
    let connection = service.database.connect().await;
    let writes = || operations(&service).into_iter().filter(|operation| operation.method != Method::GET);
    assert!(writes().count() >= 12, "operations are missing");
    for operation in writes() {
        let what = format!("{} {}", operation.method, operation.template);
        let mut refused = 0;
        for number in 1.. {
            assert!(number < MOST_STEPS, "{what} never succeeds");
            let ids = create_resources(&service).await;
            let call = || write(&service, &operation, &ids, &key(&what, number));
            let before = snapshot(&connection).await;
            service.app.database().steps().fail(failing(number), failure);
            let reply = call().send().await;
            let taken = service.app.database().steps().stop_failing();
            let after = snapshot(&connection).await;
            if reply.status.is_success() {
                assert_complete(&what, &operation, &before, &after);
                if taken < number {
                    break;
                }
                // It was repeated on a new connection, because the old one was lost before COMMIT.
                continue;
            }
            refused += 1;
            assert_unavailable(&what, &reply);
            let receipt = service.get(&format!("/requests/{}", key(&what, number))).send().await;
            let committed = before != after && operation.has_body();
            assert_eq!(receipt.status, if committed { 200 } else { 404 }, "{what}: step {number}");
            let again = call().send().await;
            if before == after {
                again.expect(operation.success());
            } else {
                assert_eq!(failure, Failure::AnswerLost, "{what}: step {number} failed, but something is stored");
                assert!(reply.body["details"].as_str().unwrap().contains("not known"), "{}", reply.text);
                assert_complete(&what, &operation, &before, &after);
                let again = again.expect(if operation.has_body() { 409 } else { 404 });
                assert_eq!(again.body["resource"], receipt.body["resource"], "{what}");
                assert_eq!(snapshot(&connection).await, after, "{what}: done twice");
            }
            service.customer().await;
        }
        assert!(refused > 0, "{what}: no step failed");
    }
    assert_eq!(service.app.database().health().writes(), Ok(()));
}

/// The id of a request that is sent again.
fn key(what: &str, number: u64) -> String {
    format!("{what} {number}").chars().filter(char::is_ascii_alphanumeric).collect()
}

fn write<'s>(service: &'s Service, operation: &Operation, ids: &ResourceIds, request_id: &str) -> Call<'s> {
    let call = request(service, operation, ids).request_id(request_id);
    match operation.method {
        Method::PATCH => call.json(&changing_body(service, operation, ids)),
        _ => call,
    }
}

fn assert_unavailable(what: &str, reply: &Reply) {
    assert_eq!(reply.status, 503, "{what}: {}", reply.text);
    assert_eq!(reply.body["code"], json!("SERVICE_UNAVAILABLE"));
    assert_eq!(reply.header("Retry-After"), "1");
}

/// Fails unless a claim (if the operation has one), an audit entry, an event and a row were written.
fn assert_complete(what: &str, operation: &Operation, before: &[Vec<String>], after: &[Vec<String>]) {
    let changed: Vec<bool> = before.iter().zip(after).map(|(before, after)| before != after).collect();
    assert_eq!(changed[..3], [operation.has_body(), true, true], "{what}: claim, audit entry, event");
    assert!(changed[3..].contains(&true), "{what}: no row was changed");
}

/// All rows of each table, as text.
async fn snapshot(connection: &DatabaseConnection) -> Vec<Vec<String>> {
    let mut tables = Vec::new();
    for table in written_tables() {
        let row = match connection.get_database_backend() {
            DbBackend::Postgres => "t::text".to_owned(),
            _ => {
                let columns = format!("SELECT 'quote(' || name || ')' FROM pragma_table_info('{table}')");
                column::<String>(connection, &columns).await.join(" || ',' || ")
            }
        };
        let mut rows = column::<String>(connection, &format!("SELECT {row} FROM {table} t")).await;
        rows.sort();
        tables.push(rows);
    }
    tables
}
