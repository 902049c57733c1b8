//! A client that has what a reply would show is told so.

use poem::http::Method;
use serde_json::{Value, json};

use super::preconditions::{CLEAR, MASKED, in_version_3, of_one, with_lines};
use crate::harness::{Service, contract_walk::path, id};

#[tokio::test]
async fn a_client_that_has_what_is_shown_is_answered_304() {
    let service = Service::start().await;
    let ids = in_version_3(&service).await;
    for operation in of_one(&service, &Method::GET) {
        let path = path(&operation, &ids);
        for (lines, status) in [
            (&["\"3\""][..], 304),
            (&["W/\"3\""], 304),
            (&["*"], 304),
            (&["\"1\", \"3\""], 304),
            (&["\"bogus\"", "W/\"3\""], 304),
            (&["\"2\""], 200),
            (&["\"03\""], 200),
            (&["\"bogus\""], 200),
            (&["\"\""], 200),
            (&["3"], 400),
            (&[""], 400),
            (&["*, \"3\""], 400),
        ] {
            let reply = with_lines(service.get(&path), "If-None-Match", lines).send().await;
            assert_eq!(reply.status, status, "{path} {lines:?}: {}", reply.text);
            assert_eq!(reply.header("ETag"), if status == 400 { "" } else { "\"3\"" });
            if status == 304 {
                assert_eq!((reply.text.as_str(), reply.header("Content-Type")), ("", ""));
                assert_eq!(reply.header("Cache-Control"), "private, no-cache");
                assert_eq!(reply.header("Vary"), "Authorization, X-Tenant-Id");
            }
        }
        // In a condition of a GET, the view counts; and `If-Match` is none of them.
        let has_personal_data = path.starts_with("/customers") || path.starts_with("/contacts");
        for (scope, known, status) in [(MASKED, "\"3-m\"", 304), (MASKED, "\"3\"", 200), (CLEAR, "\"3-m\"", 200)] {
            let status = if has_personal_data {
                status
            } else if known == "\"3\"" {
                304
            } else {
                200
            };
            let call = service.get(&path).claims(json!({ "scope": scope })).header("If-None-Match", known);
            call.send().await.expect(status);
        }
        service.get(&path).header("If-Match", "\"0\"").send().await.expect(200);
        service.patch(&path, json!({})).header("If-None-Match", "*").send().await.expect(200);
        let head = service.call(Method::HEAD, &path).header("If-None-Match", "\"3\"").send_unchecked().await;
        assert_eq!((head.status.as_u16(), head.header("ETag")), (304, "\"3\""));
        let elsewhere = service.get(&path).tenant("other").header("If-None-Match", "*");
        elsewhere.send().await.expect(404);
    }
    let list = service.get("/customers").header("If-None-Match", "*").send().await.expect(200);
    assert_eq!(list.header("ETag"), "");
}

#[tokio::test]
async fn only_a_reply_that_shows_personal_data_is_recorded_as_a_reading() {
    let service = Service::start().await;
    let body = json!({ "name": "Acme", "contactPhone": "13812345678" });
    let path = format!("/customers/{}", id(&service.create("/customers", body).await, "customerId"));
    let readings = async || {
        service.app.audit_queue().flush(service.app.database()).await.unwrap();
        service.trail("action=read").await.len()
    };
    service.get(&path).send().await.expect(200);
    assert_eq!(readings().await, 1);
    service.get(&path).header("If-None-Match", "\"1\"").send().await.expect(304);
    service.patch(&path, json!({})).header("If-Match", "\"2\"").send().await.expect(412);
    assert_eq!(readings().await, 1);
    service.get(&path).header("If-None-Match", "\"1-m\"").send().await.expect(200);
    assert_eq!(readings().await, 2);
}

#[tokio::test]
async fn a_reference_that_is_being_cleared_is_never_answered_304() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let opportunity = service.opportunity(&customer).await;
    let about = json!({ "content": "x", "customerId": customer, "opportunityId": opportunity });
    let path = format!("/follow-ups/{}", service.follow_up(about).await);
    let known = |tag: &'static str| service.get(&path).header("If-None-Match", tag);
    known("\"1\"").send().await.expect(304);
    service.delete(&format!("/opportunities/{opportunity}")).send().await.expect(204);
    let shown = known("\"1\"").send().await.expect(200);
    assert_eq!((&shown.body["opportunityId"], shown.header("ETag")), (&Value::Null, "\"1\""));
    known("*").send().await.expect(304);
    service.remove_deleted().await;
    let cleared = known("\"1\"").send().await.expect(200);
    assert_eq!((&cleared.body["opportunityId"], cleared.header("ETag")), (&Value::Null, "\"2\""));
    known("\"2\"").send().await.expect(304);
}
