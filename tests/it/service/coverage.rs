//! What holds for every operation of the contract, so that a new operation is tested from the start.

use poem::http::Method;
use serde_json::{Value, json};

use crate::harness::{
    Service, UNKNOWN_ID,
    contract::{Operation, entries},
    contract_walk::{
        ResourceIds, body, changing_body, create_resources, further_scope, lower_camel, operations, path, request,
        required_scope,
    },
    last_page,
};

#[tokio::test]
async fn every_operation_succeeds_with_and_without_the_prefix() {
    let service = Service::start().await;
    for stripped in [false, true] {
        let ids = create_resources(&service).await;
        for operation in operations(&service) {
            let call = request(&service, &operation, &ids);
            let call = if stripped { call.without_prefix() } else { call };
            call.send().await.expect(operation.success());
        }
    }
}

#[tokio::test]
async fn every_operation_but_the_probes_is_401_first_without_a_token() {
    let service = Service::start().await;
    let ids = create_resources(&service).await;
    for operation in operations(&service) {
        let call = request(&service, &operation, &ids).without("Authorization");
        if !operation.is_secured() {
            assert!(["/health", "/livez", "/readyz"].contains(&operation.template.as_str()));
            call.send().await.expect(200);
            continue;
        }
        let reply = call.without("X-Request-ID").tenant("?").body("{").send().await;
        assert_eq!(reply.refused(401, "Authorization").header("WWW-Authenticate"), "Bearer");
    }
}

#[tokio::test]
async fn every_operation_is_403_without_its_scope() {
    let service = Service::start().await;
    let ids = create_resources(&service).await;
    for operation in operations(&service).into_iter().filter(Operation::is_secured) {
        let needed = required_scope(&operation);
        let other = match needed {
            // Who may only write may ask what came of it.
            "crm:read" if operation.template.starts_with("/requests") => "crm:audit:read",
            "crm:read" => "crm:write",
            _ => "crm:read",
        };
        for scope in [other, "crm:unknown", "crm:pii:read other"] {
            let call = request(&service, &operation, &ids).claims(json!({ "scope": scope }));
            call.without("X-Request-ID").body("{").send().await.refused(403, needed);
        }
    }
    for operation in operations(&service).into_iter().filter(Operation::is_secured) {
        let needed = required_scope(&operation);
        let call = |scopes: Value| request(&service, &operation, &ids).claims(json!({ "scp": scopes })).send();
        match further_scope(&operation) {
            None => drop(call(json!(["openid", needed])).await.expect(operation.success())),
            Some(further) => {
                call(json!(["openid", needed])).await.refused(403, further);
                call(json!(["openid", needed, further])).await.expect(operation.success());
            }
        }
    }
}

#[tokio::test]
async fn no_operation_shows_or_changes_data_of_another_tenant() {
    let service = Service::start().await;
    let ids = create_resources(&service).await;
    for operation in operations(&service).into_iter().filter(Operation::is_secured) {
        let reply = request(&service, &operation, &ids).tenant("other").send().await;
        match operation.method {
            _ if operation.is_about_one() => drop(reply.expect(404)),
            Method::GET if ["/audit-logs", "/events"].contains(&operation.template.as_str()) => {
                // Requests of this test in the other tenant.
                let body = reply.expect(200).body;
                let tenant = |item: &Value| item.get("tenantId").unwrap_or(&item["data"]["tenantId"]).clone();
                assert!(body["data"].as_array().unwrap().iter().all(|item| tenant(item) == "other"), "{body}");
            }
            Method::GET if operation.template == "/changes" => assert_eq!(reply.expect(200).body["data"], json!([])),
            Method::GET if operation.template == "/search" => {
                assert_eq!(reply.expect(200).body, json!({ "data": [], "complete": true }));
            }
            // The same for all.
            Method::GET if operation.template == "/pipeline/stages" => drop(reply.expect(200)),
            Method::GET if operation.template.starts_with("/pipeline/") => {
                let told = reply.expect(200).body;
                let lists = ["stages", "currencies", "data"].map(|list| &told[list]);
                assert!(lists.iter().all(|list| list.as_array().is_none_or(Vec::is_empty)), "{told}");
            }
            Method::GET => assert_eq!(reply.expect(200).body, last_page(0, vec![])),
            _ if body(&service, &operation, &ids).as_object().unwrap().keys().any(|field| ids.contains_key(field)) => {
                drop(reply.refused(400, "must be the id of an existing resource"));
            }
            _ => assert_eq!(reply.expect(201).body["tenantId"], "other"),
        }
    }
    for operation in operations(&service).into_iter().filter(|operation| operation.method == Method::GET) {
        // The other tenant's erasures were none.
        let status = if operation.template.ends_with("/erasure") { 404 } else { 200 };
        request(&service, &operation, &ids).send().await.expect(status);
    }
}

#[tokio::test]
async fn a_malformed_id_is_404_exactly_like_an_unknown_one() {
    let service = Service::start().await;
    let ids = create_resources(&service).await;
    let with_id = |operation: &Operation| operation.template.contains('{');
    for operation in operations(&service).into_iter().filter(with_id) {
        let mut replies = Vec::new();
        for id in [UNKNOWN_ID, "0", "%00", "%ff", "..%2f", &UNKNOWN_ID.to_uppercase(), &UNKNOWN_ID.replace('-', "")] {
            let mut other_ids = ids.clone();
            other_ids.values_mut().for_each(|own| id.clone_into(own));
            let path = path(&operation, &other_ids);
            let call = match operation.method {
                Method::PATCH => service.patch(&path, json!({})),
                Method::POST => service.post(&path, json!({})),
                _ => service.call(operation.method.clone(), &path),
            };
            replies.push(call.request_id("the-same").send().await.expect(404).text);
        }
        replies.dedup();
        assert_eq!(replies.len(), 1, "{replies:?}");
    }
}

#[tokio::test]
async fn every_post_and_patch_without_a_valid_request_id_is_400() {
    let service = Service::start().await;
    let ids = create_resources(&service).await;
    for (number, operation) in operations(&service).into_iter().filter(Operation::has_body).enumerate() {
        let call = || request(&service, &operation, &ids);
        call().without("X-Request-ID").send().await.refused(400, "X-Request-ID: is required");
        call().request_id("").send().await.refused(400, "X-Request-ID: must be 1 to 128");
        call().request_id("with space").send().await.refused(400, "X-Request-ID: must be 1 to 128");
        call().request_id(&"x".repeat(129)).send().await.refused(400, "X-Request-ID: must be 1 to 128");
        call().add_header("X-Request-ID", b"one-more").send().await.refused(400, "X-Request-ID: must be sent once");
        let reply = call().without("X-Request-ID").add_header("X-Request-ID", b"\xff").send().await;
        reply.refused(400, "X-Request-ID: must be 1 to 128");
        let longest = format!("{number:x>128}");
        call().request_id(&longest).send().await.expect(operation.success());
    }
}

#[tokio::test]
async fn every_post_and_patch_takes_effect_once_per_request_id() {
    let service = Service::start().await;
    let ids = create_resources(&service).await;
    for (number, operation) in operations(&service).into_iter().filter(Operation::has_body).enumerate() {
        let request_id = format!("once-{number}");
        let call = || request(&service, &operation, &ids).request_id(&request_id);
        let first = call().send().await.expect(operation.success());
        let before = snapshot(&service).await;
        let second = call().send().await.refused(409, "X-Request-ID: already used");
        let path = path(&operation, &ids);
        let resource = match operation.creates() {
            true => first.header("Location"),
            // What is changed by way of a path below it.
            false => path.strip_suffix("/erasure").unwrap_or(&path),
        };
        assert!(second.header("Location").ends_with(resource), "{} is not {resource}", second.header("Location"));
        assert!(second.body["details"].as_str().unwrap().contains(resource));
        let location = second.header("Location").strip_prefix("/api/v1/crm").unwrap().to_owned();
        service.get(&location).send().await.expect(200);
        assert_eq!(snapshot(&service).await, before);
    }
}

/// The first page of every list.
async fn snapshot(service: &Service) -> Vec<Value> {
    let mut lists = Vec::new();
    for operation in service.contract.operations() {
        if operation.method == Method::GET && !operation.is_about_one() && operation.required_query().is_none() {
            let mut list = service.read(&operation.template).await;
            without_time(&mut list);
            lists.push(list);
        }
    }
    lists
}

/// Takes away what is another at each instant.
fn without_time(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_time),
        Value::Object(fields) => {
            fields.retain(|name, _| !["asOf", "meanAgeSeconds"].contains(&name.as_str()));
            fields.values_mut().for_each(without_time);
        }
        _ => {}
    }
}

#[tokio::test]
async fn every_post_and_patch_accepts_only_json_objects_of_known_fields() {
    let service = Service::start().await;
    let ids = create_resources(&service).await;
    let before = snapshot(&service).await;
    for operation in operations(&service).into_iter().filter(Operation::has_body) {
        let call = || request(&service, &operation, &ids);
        for text in ["", "null", "[]", "\"x\"", "1"] {
            call().body(text).send().await.refused(400, "the body must be a JSON object");
        }
        for text in ["{", "{} x", "{\"a\":}", "{\"a\": \"\\ud800\"}", "\u{feff}\u{feff}{}"] {
            call().body(text).send().await.expect(400);
        }
        let mut with_unknown_field = body(&service, &operation, &ids);
        with_unknown_field["unknownField"] = json!(1);
        call().json(&with_unknown_field).send().await.refused(400, "unknownField: is not a field");
        call().without("Content-Type").send().await.refused(415, "Content-Type");
        call().header("Content-Type", "text/plain").send().await.refused(415, "Content-Type");
        call().header("Content-Type", "application/json; charset=utf-8").body("{").send().await.expect(400);
        let huge = format!("{{\"name\": \"{}\"}}", "x".repeat(262_144));
        call().body(huge).send().await.refused(413, "131072");
        let deep = format!("{}{}", "{\"name\":".repeat(14_000), "}".repeat(14_000));
        call().body(deep).send().await.expect(400);
    }
    assert_eq!(snapshot(&service).await, before);
}

#[tokio::test]
async fn every_field_of_the_wrong_type_is_400_by_name() {
    let service = Service::start().await;
    let ids = create_resources(&service).await;
    for operation in operations(&service).into_iter().filter(Operation::has_body) {
        let schema = service.contract.schema(operation.body_schema()).clone();
        for (name, property) in entries(&schema["properties"]) {
            for wrong in [json!({}), json!([]), json!(1.5), json!("\u{0}"), json!(""), json!(-1)] {
                let mut body = body(&service, &operation, &ids);
                body[name] = wrong;
                request(&service, &operation, &ids).json(&body).send().await.refused(400, &format!("{name}: "));
            }
            let mut body = body(&service, &operation, &ids);
            body[name] = Value::Null;
            let reply = request(&service, &operation, &ids).json(&body).send().await;
            match property["nullable"] == json!(true) {
                // A follow-up may not lose its customer while it has an opportunity.
                true if reply.status == 400 => drop(reply.refused(400, "customerId: must not be null")),
                true => drop(reply.expect(operation.success())),
                false => drop(reply.refused(400, &format!("{name}: "))),
            }
        }
        for required in schema["required"].as_array().into_iter().flatten() {
            let name = required.as_str().unwrap();
            let mut body = body(&service, &operation, &ids);
            body.as_object_mut().unwrap().remove(name);
            request(&service, &operation, &ids).json(&body).send().await.refused(400, &format!("`{name}`"));
        }
    }
}

#[tokio::test]
async fn an_empty_patch_changes_nothing_and_uses_up_its_request_id() {
    let service = Service::start().await;
    let ids = create_resources(&service).await;
    let before = snapshot(&service).await;
    service.advance(1000);
    for operation in operations(&service).into_iter().filter(|operation| operation.method == Method::PATCH) {
        let path = path(&operation, &ids);
        let request_id = format!("empty {}", operation.template).replace([' ', '/', '{', '}'], "-");
        service.patch(&path, json!({})).request_id(&request_id).send().await.expect(200);
        service.patch(&path, json!({})).request_id(&request_id).send().await.expect(409);
    }
    assert_eq!(snapshot(&service).await, before);
}

#[tokio::test]
async fn a_deleted_resource_is_404_for_every_operation() {
    let service = Service::start().await;
    let ids = create_resources(&service).await;
    for operation in operations(&service).into_iter().filter(|operation| operation.method == Method::DELETE) {
        let path = path(&operation, &ids);
        assert_eq!(service.delete(&path).send().await.expect(204).text, "");
        service.delete(&path).send().await.expect(404);
        service.get(&path).send().await.expect(404);
        service.patch(&path, json!({})).send().await.expect(404);
    }
}

#[tokio::test]
async fn every_effective_change_leaves_exactly_one_audit_entry() {
    let service = Service::start().await;
    let ids = create_resources(&service).await;
    let changing: Vec<Operation> =
        operations(&service).into_iter().filter(|operation| operation.method != Method::GET).collect();
    assert!(changing.len() >= 12, "operations are missing");
    for (number, operation) in changing.into_iter().enumerate() {
        let request_id = format!("walk-{number}");
        let what = format!("{} {}", operation.method, operation.template);
        let call = || {
            let call = request(&service, &operation, &ids).request_id(&request_id);
            let call = match operation.method {
                Method::PATCH => call.json(&changing_body(&service, &operation, &ids)),
                _ => call,
            };
            call.claims(json!({ "sub": "walker", "client_id": "walk", "scope": "crm:read crm:write crm:pii:erase" }))
        };

        let before = service.trail("").await;
        if operation.has_body() {
            call().json(&json!({ "unknownField": 1 })).send().await.expect(400);
        }
        if operation.template.contains('{') {
            let unknown: ResourceIds = ids.keys().map(|name| (name.clone(), "unknown".to_owned())).collect();
            let path = path(&operation, &unknown);
            let not_found = service.call(operation.method.clone(), &path).request_id("not-found").json(&json!({}));
            not_found.send().await.expect(404);
        }
        service.app.audit_queue().flush(service.app.database()).await.unwrap();
        assert_eq!(service.trail("").await, before, "{what}: a refused request left an entry");

        let reply = call().send().await.expect(operation.success());
        let (id_field, id) = match operation.method {
            Method::POST => entries(&reply.body).iter().next().map(|(name, id)| (name.clone(), id.clone())).unwrap(),
            _ => {
                let parameter = operation.template.rsplit('/').next().unwrap().trim_matches(['{', '}']);
                (lower_camel(parameter), json!(ids[&lower_camel(parameter)]))
            }
        };
        let action = match operation.method {
            Method::POST => "create",
            Method::PATCH => "update",
            _ => "delete",
        };
        let of_resource = service.trail(&format!("resourceId={}", id.as_str().unwrap())).await;
        let (left, former): (Vec<_>, Vec<_>) =
            of_resource.iter().partition(|entry| entry["requestId"] == json!(request_id));
        // How an erasure ended has an entry of its own.
        let left: Vec<_> =
            left.into_iter().filter(|entry| entry["resourceType"] != "erasure" || entry["action"] == action).collect();
        assert_eq!(left.len(), 1, "{what}: {left:?}");
        assert!(former.iter().all(|entry| before.contains(entry)), "{what}: {former:?}");
        for (field, expected) in [
            ("action", json!(action)),
            ("resourceType", json!(id_field.strip_suffix("Id").unwrap())),
            ("resourceId", id.clone()),
            ("actor", json!("walker")),
            ("client", json!("walk")),
            ("tenantId", json!("default")),
        ] {
            assert_eq!(left[0][field], expected, "{what}: {field}");
        }
        assert!(!left[0]["changes"].as_array().unwrap().is_empty(), "{what}: {left:?}");

        let before = service.trail("").await;
        match operation.method {
            Method::DELETE => drop(call().send().await.expect(404)),
            _ => drop(call().send().await.expect(409)),
        }
        if operation.method == Method::PATCH {
            call().request_id(&format!("{request_id}-empty")).json(&json!({})).send().await.expect(200);
        }
        assert_eq!(service.trail("").await, before, "{what}: a request that changes nothing left an entry");
        service.app.audit_queue().flush(service.app.database()).await.unwrap();
        for entry in service.trail("").await.into_iter().filter(|entry| !before.contains(entry)) {
            assert!(entry["action"] == "refuse" || entry["action"] == "read", "{what}: {entry}");
        }
    }
}
