//! Internal errors: the common body, and nothing of their cause.

use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::harness::Service;

#[tokio::test]
async fn a_database_error_is_500_reveals_nothing_and_writes_nothing() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let database = service.database.connect().await;
    database.execute_unprepared("ALTER TABLE customers RENAME COLUMN name TO title").await.unwrap();
    for reply in [
        service.get("/customers").send().await,
        service.get(&format!("/customers/{customer}")).send().await,
        service.post("/customers", json!({ "name": "x" })).request_id("reused").send().await,
    ] {
        let reply = reply.expect(500);
        assert_eq!((&reply.body["code"], &reply.body["details"]), (&json!("INTERNAL_ERROR"), &Value::Null));
        for internal in ["name", "customers", "SQL", "column", "sqlx"] {
            assert!(!reply.text.contains(internal), "{}", reply.text);
        }
    }
    database.execute_unprepared("ALTER TABLE customers RENAME COLUMN title TO name").await.unwrap();
    service.post("/customers", json!({ "name": "x" })).request_id("reused").send().await.expect(201);
    assert_eq!(service.read("/customers").await["total"], 2);
}

#[tokio::test]
async fn a_failing_change_does_not_affect_others_in_its_commit() {
    let service = Service::start().await;
    let database = service.database.connect().await;
    database.execute_unprepared("ALTER TABLE contacts RENAME COLUMN name TO title").await.unwrap();
    let customer = service.customer().await;
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        good.push(service.post("/customers", json!({ "name": "x" })).send());
        bad.push(service.post("/contacts", json!({ "name": "x", "customerId": customer })).send());
    }
    let (good, bad) = futures_util::join!(futures_util::future::join_all(good), futures_util::future::join_all(bad));
    good.into_iter().for_each(|reply| drop(reply.expect(201)));
    bad.into_iter().for_each(|reply| drop(reply.expect(500)));
    assert_eq!(service.read("/customers").await["total"], 21);
}

#[tokio::test]
async fn a_panic_in_a_change_is_500_and_later_changes_succeed() {
    use crm::{
        change::{Change, Intent},
        customers::CUSTOMERS,
        error::{ErrorKind, Result},
    };
    use futures_util::FutureExt;

    let service = Service::start().await;
    let intent = Intent::inherent(crate::harness::caller(&service).await, CUSTOMERS, service.app.new_id());
    let outcome: Result<()> =
        service.app.changes().apply(intent, |_: &mut Change<'_>| async { panic!("a secret") }.boxed()).await;
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Internal);
    service.post("/customers", json!({ "name": "x" })).send().await.expect(201);
}

#[tokio::test]
async fn a_panic_in_an_operation_is_500_with_the_common_error_body() {
    let fails = poem::endpoint::make(|_| async {
        panic!("a secret");
        #[expect(unreachable_code, reason = "gives the endpoint its type")]
        Ok::<_, poem::Error>(())
    });
    let service = Service::start().await.with_operations(fails);
    let reply = service.get("/customers").request_id("mine").send().await.expect(500);
    assert_eq!(reply.header("Content-Type"), "application/json");
    assert_eq!(
        reply.body,
        json!({
            "code": "INTERNAL_ERROR",
            "message": "The service failed to answer this request.",
            "details": null,
            "requestId": "mine",
            "resource": null,
        })
    );
}

#[tokio::test]
async fn errors_of_the_framework_get_the_common_error_body() {
    for (status, code) in [
        (400, "BAD_REQUEST"),
        (406, "BAD_REQUEST"),
        (413, "PAYLOAD_TOO_LARGE"),
        (429, "TOO_MANY_REQUESTS"),
        (502, "INTERNAL_ERROR"),
        (503, "SERVICE_UNAVAILABLE"),
    ] {
        let status = poem::http::StatusCode::from_u16(status).unwrap();
        let answers =
            poem::endpoint::make_sync(move |_| poem::Response::builder().status(status).body("internal text"));
        let service = Service::start().await.with_operations(answers);
        let reply = service.get("/elsewhere").send().await;
        assert_eq!((&reply.body["code"], &reply.body["details"]), (&json!(code), &Value::Null));
        let may_retry = reply.status == 429 || reply.status == 503;
        assert_eq!(reply.header("Retry-After"), if may_retry { "1" } else { "" });
    }
}
