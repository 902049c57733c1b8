//! Entries written after the reply: who read personal data in clear, and what was refused to whom.

use crm::{audit::AuditQueue, error::ErrorKind, telemetry::LogFormat};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::harness::{
    FAR_FUTURE, Log, SECRET, START, Service, TestDatabase, UNKNOWN_ID,
    audit::{action, actions},
    fields, id, sign_hs256, token,
};

/// Writes what is queued, and returns the entries with this action, newest first.
async fn written(service: &Service, action: &str) -> Vec<Value> {
    service.app.refusals().write_all();
    service.app.audit_queue().flush(service.app.database()).await.unwrap();
    service.trail(&format!("action={action}")).await
}

#[tokio::test]
async fn only_reading_personal_data_in_clear_leaves_a_read_entry() {
    let service = Service::start().await;
    let clear = json!({ "sub": "reader", "scope": "crm:read crm:write crm:pii:read" });
    let body = json!({ "name": "x", "contactPhone": "13812345678" });
    let phone_only = id(&service.create("/customers", body).await, "customerId");
    let without = service.customer().await;
    let body = json!({ "name": "x", "customerId": without, "phone": "13812345678", "email": "a@b.com" });
    let contact = id(&service.create("/contacts", body).await, "contactId");
    let bare = service.contact(&without).await;

    // Replies without personal data in clear.
    for path in [format!("/customers/{without}"), format!("/contacts/{bare}")] {
        service.get(&path).claims(clear.clone()).send().await.expect(200);
        service.patch(&path, json!({})).claims(clear.clone()).send().await.expect(200);
    }
    for path in ["/customers", "/contacts", &format!("/customers/{phone_only}"), &format!("/contacts/{contact}")] {
        service.get(path).claims(json!({ "scope": "crm:read" })).send().await.expect(200);
        service.get(path).claims(json!({})).send().await.expect(200);
        service.get(path).claims(clear.clone()).tenant("other").send().await;
    }
    for path in
        ["/contacts?page=2", "/opportunities", "/follow-ups", "/audit-logs", &format!("/customers/{UNKNOWN_ID}")]
    {
        service.get(path).send().await;
    }
    assert_eq!(written(&service, "read").await, [] as [Value; 0]);

    let names = |entry: &Value| {
        let changes = entry["changes"].as_array().unwrap();
        assert!(changes.iter().all(|change| change["old"].is_null() && change["new"].is_null()));
        changes.iter().map(|change| change["field"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let one = format!("/customers/{phone_only}");
    let other = format!("/contacts/{contact}");
    for (call, kind, id, seen) in [
        (service.get(&one), "customer", &phone_only, &["contactPhone"][..]),
        (service.get(&other), "contact", &contact, &["email", "phone"]),
        (service.get("/customers"), "customer", &phone_only, &["contactPhone"]),
        (service.get("/contacts?phone=13812345678"), "contact", &contact, &["email", "phone"]),
        (service.patch(&one, json!({})), "customer", &phone_only, &["contactPhone"]),
        (service.patch(&other, json!({})), "contact", &contact, &["email", "phone"]),
    ] {
        let before = written(&service, "read").await.len();
        call.claims(clear.clone()).request_id(&format!("read-{before}")).send().await.expect(200);
        let entries = written(&service, "read").await;
        assert_eq!(entries.len(), before + 1);
        assert_eq!(actions(&entries[..1]), [action("read", kind, id)]);
        assert_eq!(names(&entries[0]), seen);
        assert_eq!((&entries[0]["actor"], &entries[0]["tenantId"]), (&json!("reader"), &json!("default")));
        assert_eq!(entries[0]["requestId"], format!("read-{before}"));
    }

    // Several on a page leave one entry that names them all.
    let body = json!({ "name": "x", "contactEmail": "a@b.com" });
    let second = id(&service.create("/customers", body).await, "customerId");
    service.get("/customers").claims(clear.clone()).send().await.expect(200);
    let entry = written(&service, "read").await.remove(0);
    assert_eq!(
        (&entry["resourceId"], names(&entry)),
        (&Value::Null, vec!["contactEmail".into(), "contactPhone".into()])
    );
    let summary = entry["summary"].as_str().unwrap();
    assert!(summary.contains(&phone_only) && summary.contains(&second) && !summary.contains(&without), "{summary}");
}

#[tokio::test]
async fn with_clear_display_every_read_of_personal_data_is_recorded() {
    let service = Service::with(&[("CRM_PII_DISPLAY", "clear")]).await;
    let made = service.create("/customers", json!({ "name": "x", "contactPhone": "13812345678" })).await;
    let path = format!("/customers/{}", id(&made, "customerId"));
    service.get(&path).claims(json!({ "scope": "crm:read" })).send().await.expect(200);
    assert_eq!(written(&service, "read").await.len(), 1);
}

#[tokio::test]
async fn a_refusal_is_recorded_in_the_tenant_of_the_token() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let path = format!("/customers/{customer}");
    let narrow = json!({ "sub": "narrow", "tenant_id": "own", "scope": "crm:read" });
    let strange = json!({ "sub": "strange", "tenant_id": ["own", "second"] });
    for (call, refusal, kind, id) in [
        (service.delete(&path).claims(narrow.clone()), "DELETE /customers/{customer_id}: 403", "customer", &*customer),
        (service.get("/audit-logs").claims(narrow.clone()), "GET /audit-logs: 403", "", ""),
        (service.get("/contacts").claims(strange).tenant("default"), "GET /contacts: 403", "contact", ""),
    ] {
        call.request_id("refused").header("traceparent", "").send().await.expect(403);
        service.app.audit_queue().flush(service.app.database()).await.unwrap();
        let reader = json!({ "exp": FAR_FUTURE, "scope": "crm:audit:read" });
        let list = service.get("/audit-logs?action=refuse").tenant("own").claims(reader).send().await.expect(200).body;
        let entry = &list["data"][0];
        let summary = entry["summary"].as_str().unwrap();
        assert!(summary.starts_with("was refused ") && summary.contains(refusal), "{summary}");
        assert_eq!(actions(std::slice::from_ref(entry)), [action("refuse", kind, id)]);
        assert_eq!((&entry["tenantId"], &entry["requestId"]), (&json!("own"), &json!("refused")));
        assert!(["narrow", "strange"].contains(&entry["actor"].as_str().unwrap()));
    }
    assert_eq!(written(&service, "refuse").await, [] as [Value; 0], "recorded in a tenant that the tokens do not name");
    let reader = json!({ "scope": "crm:audit:read" });
    let own = service.get("/audit-logs").tenant("own").claims(reader).send().await.expect(200).body;
    assert_eq!(own["total"], 3);
}

#[tokio::test]
async fn a_duplicate_is_recorded_on_the_resource_of_the_first_request() {
    let service = Service::start().await;
    let body = json!({ "name": "x" });
    let made = service.post("/customers", body.clone()).request_id("once").send().await.expect(201);
    let customer = id(&made.body, "customerId");
    service.post("/customers", body.clone()).request_id("once").send().await.expect(409);
    service.patch(&format!("/opportunities/{UNKNOWN_ID}"), json!({})).request_id("once").send().await.expect(409);
    let entries = written(&service, "refuse").await;
    assert_eq!(actions(&entries), [action("refuse", "customer", &customer), action("refuse", "customer", &customer)]);
    assert!(entries[1]["summary"].as_str().unwrap().contains("POST /customers: 409"));
}

#[tokio::test]
async fn anonymous_and_invalid_requests_leave_no_entry() {
    let service = Service::start().await;
    let good = token(json!({ "sub": "x" }));
    let forged = sign_hs256(&json!({ "sub": "x", "exp": FAR_FUTURE }), "another secret, longer than 32 bytes");
    let expired = sign_hs256(&json!({ "sub": "late", "exp": START / 1000 - 3600 }), SECRET);
    service.get("/customers").without("Authorization").send().await.expect(401);
    for token in [&good[..good.len() - 4], "garbled", &forged, &expired] {
        service.get("/customers").token(token).send().await.expect(401);
    }
    service.app.refusals().write_all();
    service.get("/customers").add_header("Authorization", b"Bearer x").send().await.expect(401);
    service.get(&format!("/customers/{UNKNOWN_ID}")).send().await.expect(404);
    service.post("/customers", json!({})).send().await.expect(400);
    service.get("/customers").tenant("?").send().await.expect(400);
    service.call(poem::http::Method::PUT, "/customers").send().await.expect(405);
    service.post("/customers", json!({})).header("Content-Type", "text/plain").send().await.expect(415);
    assert_eq!(service.app.audit_queue().flush(service.app.database()).await.unwrap(), 0);
    assert_eq!(service.trail("").await, [] as [Value; 0]);
}

/// The logged numbers of dropped entries.
fn dropped(log: &Log) -> Vec<u64> {
    log.lines().iter().filter_map(|line| line["lost"].as_u64()).collect()
}

#[tokio::test]
async fn entries_beyond_the_queue_limit_are_dropped_and_counted() {
    let (log, _guard) = Log::of_this_thread("info", LogFormat::Json);
    let service = Service::with_audit_queue(TestDatabase::migrated().await, &[], AuditQueue::with_capacity(3)).await;
    let made = service.create("/customers", json!({ "name": "x", "contactPhone": "13812345678" })).await;
    let path = format!("/customers/{}", id(&made, "customerId"));
    // The queue is not emptied meanwhile: a request that waited for room would hang.
    for number in 0..10 {
        assert_eq!(service.get(&path).request_id(&format!("read-{number}")).send().await.expect(200).body, made);
    }
    for _ in 0..5 {
        service.delete(&path).claims(json!({ "scope": "crm:read" })).send().await.expect(403);
    }
    assert_eq!(dropped(&log), [] as [u64; 0]);
    // Of the refusals, one was to be recorded at once; the others are counted.
    assert_eq!(service.app.audit_queue().flush(service.app.database()).await.unwrap(), 3);
    assert_eq!(dropped(&log), [8]);
    assert_eq!(service.app.audit_queue().flush(service.app.database()).await.unwrap(), 0);
    assert_eq!(dropped(&log), [8], "counted again");
    let list = json!({ "data": service.trail("action=read").await });
    assert_eq!(fields(&list, "requestId"), ["read-2", "read-1", "read-0"]);

    // A batch that the database rejects is counted too.
    service.get(&path).send().await.expect(200);
    let database = service.database.connect().await;
    database.execute_unprepared("ALTER TABLE audit_queue RENAME TO away").await.unwrap();
    assert_eq!(service.app.audit_queue().flush(service.app.database()).await.unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(dropped(&log), [8, 1]);
}
