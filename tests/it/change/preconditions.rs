//! Conditional changes: one of a version that its client has not seen is refused, and changes nothing.

use crm::events::outbox;
use poem::http::Method;
use serde_json::{Value, json};

use crate::harness::{
    Call, Reply, Service, UNKNOWN_ID,
    contract::Operation,
    contract_walk::{ResourceIds, changing_body, create_resources, operations, path},
    id,
};

/// The operations with this method on one resource.
pub fn of_one(service: &Service, method: &Method) -> Vec<Operation> {
    let resources = service.contract.resources();
    let is_of_one = |operation: &Operation| {
        operation.method == method
            && resources.iter().any(|(list, id)| operation.template == format!("{list}/{{{id}}}"))
    };
    let found: Vec<_> = operations(service).into_iter().filter(is_of_one).collect();
    assert_eq!(found.len(), resources.len(), "{method}");
    found
}

/// The version in an entity tag.
pub fn version(reply: &Reply) -> i64 {
    let tag = reply.header("ETag").trim_matches('"').trim_end_matches("-m");
    tag.parse().unwrap_or_else(|_| panic!("no version: {reply:?}"))
}

/// All events that were committed.
async fn events(service: &Service) -> Value {
    outbox::assign_positions(service.app.database()).await.unwrap();
    let events = service.read("/events?limit=1000").await["data"].clone();
    assert!(!events.as_array().unwrap().is_empty());
    events
}

/// What a refused change must leave as it is: the trail, the feed, and the resource.
async fn snapshot(service: &Service, path: &str) -> (Vec<Value>, Value, Value) {
    (service.trail("").await, events(service).await, service.read(path).await)
}

pub async fn tag(service: &Service, path: &str) -> String {
    service.get(path).send().await.expect(200).header("ETag").to_owned()
}

/// Scopes with which personal data is shown in clear, and masked.
pub const CLEAR: &str = "crm:read crm:write crm:pii:read";
pub const MASKED: &str = "crm:read crm:write";

#[tokio::test]
async fn every_reply_of_one_resource_carries_its_version_and_no_other_reply_does() {
    let service = Service::start().await;
    let ids = create_resources(&service).await;
    let (reads, deletes) = (of_one(&service, &Method::GET), of_one(&service, &Method::DELETE));
    for (number, operation) in of_one(&service, &Method::PATCH).into_iter().enumerate() {
        let path = path(&operation, &ids);
        let list = path.rsplit_once('/').unwrap().0;
        let read = service.get(&path).send().await.expect(200);
        let same = service.patch(&path, json!({})).send().await.expect(200);
        let changed =
            service.patch(&path, changing_body(&service, &operation, &ids)).request_id(&format!("id-{number}"));
        let changed = changed.send().await.expect(200);
        assert_eq!(same.header("ETag"), read.header("ETag"), "{path}: nothing was changed");
        assert!(version(&changed) > version(&read), "{path}");
        assert_eq!(changed.header("ETag"), tag(&service, &path).await);
        let last = events(&service).await.as_array().unwrap().last().unwrap().clone();
        assert_eq!(version(&changed), last["data"]["version"].as_i64().unwrap(), "{path}: {last}");
        for reply in [&read, &same, &changed] {
            assert_eq!(reply.header("Cache-Control"), "private, no-cache");
            assert_eq!(reply.header("Vary"), "Authorization, X-Tenant-Id");
        }
        let duplicate = service.patch(&path, json!({})).request_id(&format!("id-{number}")).send().await.expect(409);
        let list = service.get(list).send().await.expect(200);
        let erased = path.starts_with("/customers").then(|| service.post(&format!("{path}/erasure"), json!({})));
        let certificate = match erased {
            Some(call) => Some(call.send().await.expect(201)),
            None => None,
        };
        for reply in [Some(duplicate), Some(list), certificate].into_iter().flatten() {
            assert_eq!((reply.header("ETag"), reply.header("Cache-Control")), ("", "no-store"), "{path}");
        }
    }
    for operation in deletes {
        let reply = service.delete(&path(&operation, &ids)).send().await.expect(204);
        assert_eq!((reply.header("ETag"), reply.header("Cache-Control")), ("", "no-store"));
    }
    assert!(reads.iter().all(|read| !read.definition["responses"]["304"].is_null()));
}

#[tokio::test]
async fn a_masked_reply_has_a_tag_of_its_own_if_there_is_anything_to_mask() {
    let service = Service::start().await;
    let ids = create_resources(&service).await;
    for operation in of_one(&service, &Method::PATCH) {
        let path = path(&operation, &ids);
        let has_personal_data = path.starts_with("/customers") || path.starts_with("/contacts");
        let clear = tag(&service, &path).await;
        let masked = match has_personal_data {
            true => format!("\"{}-m\"", clear.trim_matches('"')),
            false => clear.clone(),
        };
        for (scope, expected) in [(CLEAR, &clear), (MASKED, &masked)] {
            let read = service.get(&path).claims(json!({ "scope": scope })).send().await.expect(200);
            let same = service.patch(&path, json!({})).claims(json!({ "scope": scope })).send().await.expect(200);
            let other = service
                .patch(&path, json!({}))
                .claims(json!({ "scope": scope }))
                .header("If-Match", "\"0\"")
                .send()
                .await;
            for reply in [read, same, other.expect(412)] {
                assert_eq!(reply.header("ETag"), expected, "{path} with {scope}");
            }
        }
        // Who may only write sees no more of it than what it wrote.
        let blind =
            service.patch(&path, changing_body(&service, &operation, &ids)).claims(json!({ "scope": "crm:write" }));
        let blind = blind.header("If-Match", &masked).send().await.expect(200);
        assert_eq!(blind.header("ETag").ends_with("-m\""), has_personal_data, "{path}");
    }
    let shown = Service::with(&[("CRM_PII_DISPLAY", "clear")]).await;
    let path = format!("/customers/{}", shown.customer().await);
    let reply = shown.get(&path).claims(json!({ "scope": "crm:read" })).send().await.expect(200);
    assert_eq!(reply.header("ETag"), "\"1\"", "the service leaves masking to others");
}

/// What may be sent as `If-Match` for a resource in version 3, and the answer to a PATCH with it.
const FORMS: [(&[&str], u16); 40] = [
    (&["\"3\""], 200),
    (&["\"3-m\""], 200),
    (&["*"], 200),
    (&[" \"3\" "], 200),
    (&["\"1\", \"3\""], 200),
    (&["\"1\",\"3\",\"bogus\""], 200),
    (&["\"a,b\", \"3\""], 200),
    (&["W/\"3\", \"3\""], 200),
    (&[", ,\"3\" ,"], 200),
    (&["\"1\"", "\"3-m\""], 200),
    (&["", "\"3\""], 200),
    (&["\"1\""], 412),
    (&["\"2-m\""], 412),
    (&["\"4\""], 412),
    (&["\"bogus\""], 412),
    (&["\"\""], 412),
    (&["W/\"3\""], 412),
    (&["W/\"3-m\", W/\"3\""], 412),
    (&["\"03\""], 412),
    (&["\"+3\""], 412),
    (&["\"-3\""], 412),
    (&["\"3.0\""], 412),
    (&["\"3-M\""], 412),
    (&["\"3-m-m\""], 412),
    (&["\"3,3\""], 412),
    (&["\"*\""], 412),
    (&["\"99999999999999999999999\""], 412),
    (&["\"1\"", "\"2\""], 412),
    (&[""], 400),
    (&[","], 400),
    (&["3"], 400),
    (&["bogus"], 400),
    (&["\"3"], 400),
    (&["3\""], 400),
    (&["'3'"], 400),
    (&["\"3\" \"1\""], 400),
    (&["\"two words\""], 400),
    (&["w/\"3\""], 400),
    (&["*, \"3\""], 400),
    (&["*", "*"], 400),
];

pub fn with_lines<'s>(call: Call<'s>, name: &str, lines: &[&str]) -> Call<'s> {
    lines.iter().fold(call, |call, line| call.add_header(name, line.as_bytes()))
}

/// The ids of resources that have version 3 each.
pub async fn in_version_3(service: &Service) -> ResourceIds {
    let mut ids = create_resources(service).await;
    // The contract's example of an opportunity may be made in more than one step.
    let body = json!({ "customerId": ids["customerId"], "title": "Licence" });
    ids.insert("opportunityId".to_owned(), id(&service.create("/opportunities", body).await, "opportunityId"));
    for operation in of_one(service, &Method::PATCH) {
        let path = path(&operation, &ids);
        while version(&service.get(&path).send().await) < 3 {
            let field = if path.starts_with("/opp") {
                "title"
            } else if path.starts_with("/foll") {
                "content"
            } else {
                "name"
            };
            let body = json!({ field: format!("after {}", tag(service, &path).await.replace('"', "")) });
            service.patch(&path, body).send().await.expect(200);
        }
        assert_eq!(tag(service, &path).await, "\"3\"", "{path}");
    }
    ids
}

#[tokio::test]
async fn a_change_takes_place_only_in_a_version_that_it_names() {
    let service = Service::start().await;
    let ids = in_version_3(&service).await;
    for operation in of_one(&service, &Method::PATCH) {
        let path = path(&operation, &ids);
        let before = snapshot(&service, &path).await;
        for (number, (lines, status)) in FORMS.iter().enumerate() {
            let request_id = format!("{}-{number}", operation.template.replace(['/', '{', '}'], "-"));
            let body = if *status == 200 { json!({}) } else { changing_body(&service, &operation, &ids) };
            let call = with_lines(service.patch(&path, body), "If-Match", lines).request_id(&request_id);
            let reply = call.send().await;
            assert_eq!(reply.status, *status, "{path} {lines:?}: {}", reply.text);
            if reply.status != 200 {
                reply.refused(*status, "If-Match: ");
                service.patch(&path, json!({})).request_id(&request_id).send().await.expect(200);
            } else {
                service.patch(&path, json!({})).request_id(&request_id).send().await.expect(409);
            }
            assert_eq!(tag(&service, &path).await, "\"3\"");
        }
        let after = snapshot(&service, &path).await;
        let refused = |entry: &Value| entry["action"] == "refuse" || entry["action"] == "read";
        let (trail, _): (Vec<_>, Vec<_>) = after.0.into_iter().partition(|entry| !refused(entry));
        let (former, _): (Vec<_>, Vec<_>) = before.0.into_iter().partition(|entry| !refused(entry));
        assert_eq!((trail, after.1, after.2), (former, before.1, before.2), "{path}");
    }
}

#[tokio::test]
async fn a_deletion_takes_place_only_in_a_version_that_it_names() {
    let service = Service::start().await;
    let ids = in_version_3(&service).await;
    for operation in of_one(&service, &Method::DELETE) {
        let path = path(&operation, &ids);
        for (lines, status) in FORMS.iter().filter(|(_, status)| *status != 200) {
            let reply = with_lines(service.delete(&path), "If-Match", lines).send().await;
            assert_eq!(reply.status, *status, "{path} {lines:?}: {}", reply.text);
            assert_eq!(reply.header("ETag"), if *status == 412 { "\"3\"" } else { "" });
            service.get(&path).send().await.expect(200);
        }
        let form = if path.starts_with("/contacts") { "*" } else { "\"2\", \"3-m\"" };
        service.delete(&path).header("If-Match", form).send().await.expect(204);
        service.delete(&path).header("If-Match", form).send().await.expect(404);
    }
}

#[tokio::test]
async fn bytes_that_are_no_text_are_a_tag_like_any_other() {
    let service = Service::start().await;
    let path = format!("/customers/{}", service.customer().await);
    for (line, status) in [(&b"\"\xff\xfe\""[..], 412), (b"\xff", 400), (b"\"\xff\", \"1\"", 200), (b"\"1\"\t,", 200)] {
        let reply = service.patch(&path, json!({})).add_header("If-Match", line).send().await;
        assert_eq!(reply.status, status, "{}", reply.text);
    }
}

#[tokio::test]
async fn a_condition_is_judged_after_all_that_makes_it_void_and_before_references() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let follow_up = service.follow_up(json!({ "content": "x", "customerId": customer })).await;
    let path = format!("/follow-ups/{follow_up}");
    service.post("/customers", json!({ "name": "x" })).request_id("used").send().await.expect(201);
    let patch = |body: Value| service.patch(&path, body);
    let unknown = format!("/follow-ups/{UNKNOWN_ID}");
    let (other, malformed) = ("\"9\"", "9");
    let dangling = || json!({ "opportunityId": UNKNOWN_ID });
    let cleared = || json!({ "customerId": null, "contactId": UNKNOWN_ID });
    let calls: Vec<(Call<'_>, &str, u16, &str)> = vec![
        (patch(json!({})).without("Authorization"), malformed, 401, "Authorization"),
        (patch(json!({})).claims(json!({ "scope": "crm:read" })), malformed, 403, "crm:write"),
        (patch(json!({ "content": "" })), malformed, 400, "If-Match"),
        (patch(json!({ "content": "" })), other, 400, "content"),
        (patch(json!({})).header("Content-Type", "text/plain"), other, 415, "Content-Type"),
        (patch(json!({})).request_id("used"), other, 409, "already used"),
        (service.patch(&unknown, dangling()).request_id("used"), other, 409, "already used"),
        (service.patch(&unknown, json!({})), malformed, 400, "If-Match"),
        (service.patch(&unknown, dangling()), other, 404, ""),
        (service.patch("/follow-ups/x", json!({})), "*", 404, ""),
        (service.delete(&unknown), other, 404, ""),
        (service.delete(&unknown), "*", 404, ""),
        (service.delete(&unknown), malformed, 400, "If-Match"),
        (patch(json!({})), other, 412, "If-Match"),
        (patch(dangling()), other, 412, "If-Match"),
        (patch(cleared()), other, 412, "If-Match"),
        (patch(json!({ "customerId": UNKNOWN_ID })), other, 412, "If-Match"),
        (patch(dangling()), "\"1\"", 400, "opportunityId"),
        (patch(cleared()), "\"1\"", 400, "customerId"),
        (service.delete(&path), other, 412, "If-Match"),
    ];
    for (number, (call, condition, status, details)) in calls.into_iter().enumerate() {
        let reply = call.header("If-Match", condition).send().await;
        assert_eq!(reply.status, status, "row {number}: {}", reply.text);
        reply.refused(status, details);
    }
    assert_eq!(tag(&service, &path).await, "\"1\"");
}

#[tokio::test]
async fn what_others_change_moves_the_version_too() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let body = json!({ "customerId": customer, "name": "Li Lei", "isPrimary": true });
    let primary = format!("/contacts/{}", id(&service.create("/contacts", body.clone()).await, "contactId"));
    let seen = tag(&service, &primary).await;
    service.create("/contacts", body).await;
    let demoted = service.patch(&primary, json!({ "name": "Han" })).header("If-Match", &seen).send().await.expect(412);
    assert_eq!(demoted.header("ETag"), "\"2\"");
    service.post(&format!("/customers/{customer}/erasure"), json!({})).send().await.expect(201);
    let erased = service.patch(&primary, json!({ "name": "Han" })).header("If-Match", "\"2\"").send().await.expect(412);
    assert_eq!(
        (erased.header("ETag"), tag(&service, &format!("/customers/{customer}")).await),
        ("\"3\"", "\"2\"".to_owned())
    );
    service.patch(&primary, json!({ "name": "Han" })).header("If-Match", "\"3\"").send().await.expect(200);
}
