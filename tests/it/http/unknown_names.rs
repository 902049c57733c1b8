//! Fields and query parameters that do not exist: refused by name, with the one that was probably meant.

use serde_json::json;

use crate::harness::{
    Service,
    contract::Operation,
    contract_walk::{create_resources, operations, request},
};

#[tokio::test]
async fn an_unknown_parameter_is_400_with_the_one_that_was_meant() {
    let service = Service::start().await;
    for (path, details) in [
        ("/contacts?customerID=x", "customerID: is not a parameter of this operation; did you mean customerId?"),
        ("/contacts?customer_id=x", "customer_id: is not a parameter of this operation; did you mean customerId?"),
        ("/contacts?custmerId=x", "did you mean customerId?"),
        ("/contacts?customerIds=x", "did you mean customerId?"),
        ("/contacts?customer=x", "did you mean customerId?"),
        ("/contacts?CUSTOMER-ID=x", "did you mean customerId?"),
        ("/customers?pagesize=5", "pagesize: is not a parameter of this operation; did you mean pageSize?"),
        ("/customers?page_size=5", "did you mean pageSize?"),
        ("/customers?size=5", "did you mean pageSize?"),
        ("/customers?Page=2", "Page: is not a parameter of this operation; did you mean page?"),
        ("/customers?pages=2", "did you mean page?"),
        ("/customers?phone=%2B442079460958", "did you mean contactPhone?"),
        ("/customers?contactMail=x", "did you mean contactEmail?"),
        ("/contacts?contactPhone=1", "contactPhone: is not a parameter of this operation, which has customerId, phone"),
        ("/follow-ups?opportunityid=x", "did you mean opportunityId?"),
        ("/follow-ups?oportunityId=x", "did you mean opportunityId?"),
        ("/events?type=crm.customer.created", "did you mean types?"),
        ("/events?cursor=1", "cursor: is not a parameter of this operation, which has after, types, limit, wait"),
        ("/audit-logs?resource_type=customer", "did you mean resourceType?"),
        (
            "/audit-logs?since=2026-01-01T00:00:00Z",
            "since: is not a parameter of this operation, which has resourceType",
        ),
        ("/customers?order=name", "order: is not a parameter of this operation, which has contactPhone, contactEmail"),
        ("/customers?%70agesize=5", "pagesize: is not"),
        ("/customers?page=1&colour=red&pageSize=5", "colour: is not a parameter of this operation, which has"),
        ("/customers?page=1&pageSize", "pageSize: must be a whole number"),
        ("/customers?order", "order: is not a parameter"),
        ("/customers?filter[name]=x", "a name that was sent is not a parameter of this operation, which has"),
        ("/customers?=x", "a name that was sent is not a parameter of this operation, which has"),
        ("/customers?13812345678=x", "a name that was sent is not a parameter"),
        ("/customers?page%00=1", "a name that was sent is not a parameter"),
        ("/customers?%E9%A1%B5=1", "a name that was sent is not a parameter"),
        ("/customers?page;pageSize=1", "a name that was sent is not a parameter"),
        ("/customers/x?fields=name", "fields: is not a parameter of this operation, which has none"),
    ] {
        let reply = service.get(path).send().await.refused(400, details);
        for value in ["13812345678", "filter[", "2026-01-01", "red"] {
            assert!(!reply.text.contains(value), "{}", reply.text);
        }
    }
    let long = service.get(&format!("/customers?{}=1", "a".repeat(65))).send().await.expect(400);
    assert!(!long.text.contains("aaaaa"), "{}", long.text);
    for known in ["/customers?", "/customers?&", "/customers?&&page=1&", "/customers?p%61ge=1&page%53ize=5"] {
        service.get(known).send().await.expect(200);
    }
}

#[tokio::test]
async fn every_operation_refuses_an_unknown_parameter_and_does_nothing() {
    let service = Service::start().await;
    let ids = create_resources(&service).await;
    for stripped in [false, true] {
        for operation in operations(&service) {
            let call = || {
                let call = request(&service, &operation, &ids).query("dryRun=true");
                if stripped { call.without_prefix() } else { call }
            };
            if !operation.is_secured() {
                // Whoever watches may add what its tools add.
                call().send().await.expect(200);
                continue;
            }
            call().send().await.refused(400, "dryRun: is not a parameter of this operation");
            // 401 and 403 come first.
            call().without("Authorization").send().await.expect(401);
            call().claims(json!({ "scope": "crm:none" })).send().await.expect(403);
        }
    }
    // Nothing was changed, and no request id was used up.
    for operation in operations(&service).into_iter().filter(Operation::is_secured) {
        request(&service, &operation, &ids)
            .request_id(&operation.template)
            .query("dryRun=true")
            .send()
            .await
            .expect(400);
        let status = operation.success();
        request(&service, &operation, &ids).send().await.expect(status);
    }
}

#[tokio::test]
async fn every_declared_parameter_is_known() {
    let service = Service::start().await;
    let ids = create_resources(&service).await;
    let mut count = 0;
    for operation in operations(&service) {
        for parameter in operation.definition["parameters"].as_array().unwrap() {
            let Some(name) = parameter["name"].as_str().filter(|_| parameter["in"] == "query") else { continue };
            count += 1;
            let reply = request(&service, &operation, &ids).query(&format!("{name}=")).send_unchecked().await;
            assert!(!reply.text.contains("is not a parameter"), "{} {name}: {}", operation.template, reply.text);
        }
    }
    assert!(count > 20, "only {count} parameters");
}

#[tokio::test]
async fn head_knows_the_parameters_of_get() {
    let service = Service::start().await;
    let head = |path: &str| service.call(poem::http::Method::HEAD, path);
    head("/customers?page=1").send().await.expect(200);
    head("/customers?pagesize=1").send_unchecked().await.expect(400);
}

#[tokio::test]
async fn an_unknown_field_is_400_by_name_with_the_one_that_was_meant() {
    let service = Service::start().await;
    for (field, details) in [
        ("__proto__", "__proto__: is not a field of this body, which has name, contactPhone, contactEmail"),
        ("constructor", "constructor: is not a field of this body"),
        ("$where", "$where: is not a field"),
        ("@type", "a name that was sent is not a field of this body, which has name"),
        ("x-internal", "x-internal: is not a field"),
        ("a.b", "a.b: is not a field"),
        ("_", "a name that was sent is not a field"),
        ("contactphone", "contactphone: is not a field of this body; did you mean contactPhone?"),
        ("contact_phone", "did you mean contactPhone?"),
        ("ContactEmail", "did you mean contactEmail?"),
        ("contactEmial", "did you mean contactEmail?"),
        ("phone", "phone: is not a field of this body; did you mean contactPhone?"),
        ("mail", "did you mean contactEmail?"),
        ("nam", "did you mean name?"),
        ("Name", "did you mean name?"),
        ("line2", "line2: is not a field"),
        ("13812345678", "a name that was sent is not a field"),
        ("+86 138 1234 5678", "a name that was sent is not a field"),
        ("p13812345678", "a name that was sent is not a field"),
        ("li.lei@example.com", "a name that was sent is not a field"),
        ("Li Lei", "a name that was sent is not a field"),
        ("李雷", "a name that was sent is not a field"),
        ("", "a name that was sent is not a field"),
        ("na`me", "a name that was sent is not a field of this body, which has name, contactPhone"),
        ("a, expected `b`", "a name that was sent is not a field of this body, which has name, contactPhone"),
        ("name\u{0}", "a name that was sent is not a field"),
        ("\u{202e}name", "a name that was sent is not a field"),
    ] {
        let mut body = json!({ "name": "x" });
        body[field] = json!("a value");
        let reply = service.post("/customers", body).send().await.refused(400, details);
        for value in ["1381234", "lei@", "Li Lei", "李雷", "a value", "expected"] {
            assert!(!reply.text.contains(value), "{}", reply.text);
        }
    }
    let mut body = json!({ "name": "x" });
    body["a".repeat(65)] = json!(1);
    let long = service.post("/customers", body).send().await.expect(400);
    assert!(!long.text.contains("aaaaa"), "{}", long.text);
    let customer = service.customer().await;
    let erasure = service.post(&format!("/customers/{customer}/erasure"), json!({ "followups": "erase" }));
    erasure.send().await.refused(400, "followups: is not a field of this body; did you mean followUps?");
}
