//! Audit entries: what they say, that they are committed with the change, and how they are read.

use crm::{
    change::{Change, Intent},
    customers::{CUSTOMERS, Customer},
    error::Error,
    resource::Projection,
};
use futures_util::FutureExt;
use sea_orm::{ConnectionTrait, sea_query::LockType};
use serde_json::{Value, json};

use crate::harness::{
    Call, FAR_FUTURE, SECRET, Service, UNKNOWN_ID,
    audit::{action, actions},
    caller, id, last_page, sign_hs256, token,
};

/// Parts of the personal data and free text that a test sends: none may be in the trail.
const CANARIES: [&str; 6] = ["canary", "Canary", "13812345678", "13898765432", "138", "example.com"];

/// The entries of a resource, oldest first.
async fn entries_of(service: &Service, resource: &str) -> Vec<Value> {
    let mut entries = service.trail(&format!("resourceId={resource}")).await;
    entries.reverse();
    entries
}

fn change(field: &str, old: Value, new: Value) -> Value {
    json!({ "field": field, "old": old, "new": new })
}

#[tokio::test]
async fn an_entry_names_actor_action_resource_and_changes() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let body = json!({ "customerId": customer, "title": "Licence", "stage": 3, "amountCents": 100, "currency": "EUR" });
    let opportunity = id(&service.create("/opportunities", body).await, "opportunityId");
    let path = format!("/opportunities/{opportunity}");
    service.advance(1000);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    service
        .patch(&path, json!({ "stage": 5 }))
        .claims(json!({ "sub": "zhang", "client_id": "erp", "azp": "portal" }))
        .request_id("won")
        .header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"))
        .send()
        .await
        .expect(200);
    let azp = json!({ "azp": "portal" });
    service.patch(&path, json!({ "amountCents": 250, "currency": "JPY" })).claims(azp).send().await.expect(200);
    service.delete(&path).claims(json!({ "client_id": "erp" })).send().await.expect(204);

    let entries = entries_of(&service, &opportunity).await;
    let [created, won, paid, deleted] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!(created["summary"], "created the opportunity");
    let change_of = |entry: &Value, field: &str| {
        let changes = entry["changes"].as_array().unwrap().clone();
        changes.into_iter().find(|change| change["field"] == field).unwrap()
    };
    for (field, value) in [
        ("customerId", customer.as_str()),
        ("amountCents", "100"),
        ("currency", "EUR"),
        ("stage", "Proposal"),
        ("status", "Open"),
    ] {
        assert_eq!(change_of(created, field), change(field, Value::Null, json!(value)));
    }
    let mut won = won.clone();
    id(&won, "auditLogId");
    won["auditLogId"] = Value::Null;
    assert_eq!(
        won,
        json!({
            "auditLogId": null,
            "tenantId": "default",
            "occurredAt": "2026-01-31T09:30:01.125Z",
            "actor": "zhang",
            "client": "erp",
            "action": "update",
            "resourceType": "opportunity",
            "resourceId": opportunity,
            "requestId": "won",
            "traceId": trace,
            "changes": [
                change("stage", json!("Proposal"), json!("Won")),
                change("status", json!("Open"), json!("Won")),
            ],
            "summary": "changed stage from Proposal to Won, changed status from Open to Won",
            "sequence": null,
            "hash": null,
        })
    );
    assert_eq!((&paid["actor"], &paid["client"]), (&json!("tester"), &json!("portal")));
    let paid_changes =
        [change("amountCents", json!("100"), json!("250")), change("currency", json!("EUR"), json!("JPY"))];
    assert_eq!(paid["changes"], json!(paid_changes));
    assert_eq!(deleted["summary"], "deleted the opportunity");
    assert_eq!(change_of(deleted, "amountCents"), change("amountCents", json!("250"), Value::Null));
}

#[tokio::test]
async fn without_a_subject_the_actor_is_the_client_or_unknown() {
    let service = Service::start().await;
    for (claims, actor) in [
        (json!({ "exp": FAR_FUTURE, "client_id": "erp" }), "erp"),
        (json!({ "exp": FAR_FUTURE, "azp": "portal" }), "portal"),
        (json!({ "exp": FAR_FUTURE }), "unknown"),
    ] {
        let token = sign_hs256(&claims, SECRET);
        let made = service.post("/customers", json!({ "name": "x" })).token(&token).send().await.expect(201);
        let entries = entries_of(&service, &id(&made.body, "customerId")).await;
        assert_eq!(entries[0]["actor"], actor);
    }
}

#[tokio::test]
async fn personal_data_and_free_text_appear_by_field_name_only() {
    let service = Service::start().await;
    let body = json!({ "name": "Canary", "contactPhone": "13812345678", "contactEmail": "canary@example.com" });
    let customer = id(&service.create("/customers", body).await, "customerId");
    let body = json!({ "customerId": customer, "name": "Canary", "phone": "13812345678", "email": "c@example.com" });
    let contact = id(&service.create("/contacts", body).await, "contactId");
    let body = json!({ "customerId": customer, "title": "Canary" });
    let opportunity = id(&service.create("/opportunities", body).await, "opportunityId");
    let follow_up = service.follow_up(json!({ "content": "Canary", "contactId": contact })).await;

    for (path, fields) in [
        (format!("/customers/{customer}"), &["name", "contactPhone", "contactEmail"][..]),
        (format!("/contacts/{contact}"), &["name", "phone", "email"]),
        (format!("/opportunities/{opportunity}"), &["title"]),
        (format!("/follow-ups/{follow_up}"), &["content"]),
    ] {
        for field in fields {
            let changed = match field.to_lowercase() {
                name if name.ends_with("phone") => json!("13898765432"),
                name if name.ends_with("email") => json!("other.canary@example.com"),
                _ => json!("another Canary"),
            };
            service.patch(&path, json!({ *field: changed })).send().await.expect(200);
            let entry = service.trail("action=update").await.remove(0);
            assert_eq!(entry["changes"], json!([change(field, Value::Null, Value::Null)]));
            assert_eq!(entry["summary"], format!("changed {field}"));
        }
        for field in fields.iter().filter(|field| field.to_lowercase().ends_with("phone")) {
            service.patch(&path, json!({ *field: null })).send().await.expect(200);
            let entry = service.trail("action=update").await.remove(0);
            assert_eq!(entry["changes"], json!([change(field, Value::Null, Value::Null)]));
            assert_eq!(entry["summary"], format!("cleared {field}"));
        }
    }
    service.read("/contacts").await;
    // A search by personal data, and one that is refused.
    service.read("/customers?contactPhone=13898765432&contactEmail=other.canary@example.com").await;
    service.get("/customers?contactPhone=13898765432").claims(json!({ "scope": "crm:write" })).send().await.expect(403);
    service.delete(&format!("/customers/{customer}")).send().await.expect(204);
    service.remove_deleted().await;
    service.app.audit_queue().flush(service.app.database()).await.unwrap();
    let whole = service.get("/audit-logs?pageSize=100").send().await.expect(200);
    assert!(whole.body["total"].as_u64().unwrap() > 18, "{}", whole.text);
    // Ids and timestamps may contain the digits of a canary by chance.
    let text = without_ids_and_timestamps(&whole.body);
    for canary in CANARIES {
        assert!(!text.contains(canary), "{canary} is in {text}");
    }
}

fn without_ids_and_timestamps(list: &Value) -> String {
    let mut list = list.clone();
    for entry in list["data"].as_array_mut().unwrap() {
        let summary = entry["summary"].as_str().unwrap().split(": ").next().unwrap().to_owned();
        entry["summary"] = json!(summary);
        for field in ["auditLogId", "resourceId", "traceId", "occurredAt"] {
            entry[field] = Value::Null;
        }
        for change in entry["changes"].as_array_mut().unwrap() {
            if change["field"] == "customerId" || change["field"] == "contactId" {
                (change["old"], change["new"]) = (Value::Null, Value::Null);
            }
        }
    }
    list.to_string()
}

#[tokio::test]
async fn cascaded_changes_have_their_own_entries_in_the_same_request() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let (first, second) = (service.contact(&customer).await, service.contact(&customer).await);
    let opportunity = service.opportunity(&customer).await;
    let on_both = service.follow_up(json!({ "content": "x", "contactId": first, "opportunityId": opportunity })).await;
    let on_first = service.follow_up(json!({ "content": "x", "contactId": first })).await;
    let on_customer = service.follow_up(json!({ "content": "x", "customerId": customer })).await;
    let untouched = service.customer().await;
    service.contact(&untouched).await;
    let entries_left_by = async |call: Call<'_>, request_id: &str| {
        call.request_id(request_id).send().await;
        service.remove_deleted().await;
        let entries = service.trail("").await;
        let entries = entries.into_iter().filter(|entry| entry["requestId"] == request_id);
        entries.collect::<Vec<_>>()
    };

    let primary = json!({ "isPrimary": true });
    let entries = entries_left_by(service.patch(&format!("/contacts/{first}"), primary.clone()), "one").await;
    assert_eq!(actions(&entries), [action("update", "contact", &first)]);
    let entries = entries_left_by(service.patch(&format!("/contacts/{second}"), primary), "other").await;
    assert_eq!(actions(&entries), [action("update", "contact", &first), action("update", "contact", &second)]);
    let demoted = entries.iter().find(|entry| entry["resourceId"] == json!(first)).unwrap();
    assert_eq!(demoted["changes"], json!([change("isPrimary", json!("true"), json!("false"))]));
    let third = json!({ "customerId": customer, "name": "x", "isPrimary": true });
    let entries = entries_left_by(service.post("/contacts", third), "third").await;
    let third = entries.iter().find(|entry| entry["action"] == "create").unwrap();
    let third = id(third, "resourceId");
    assert_eq!(actions(&entries), [action("create", "contact", &third), action("update", "contact", &second)]);

    let entries = entries_left_by(service.delete(&format!("/opportunities/{opportunity}")), "opportunity").await;
    assert_eq!(
        actions(&entries),
        [action("delete", "opportunity", &opportunity), action("update", "followUp", &on_both)]
    );
    let cleared = entries.iter().find(|entry| entry["action"] == "update").unwrap();
    assert_eq!(cleared["changes"], json!([change("opportunityId", json!(opportunity), Value::Null)]));
    let entries = entries_left_by(service.delete(&format!("/contacts/{first}")), "contact").await;
    let mut expected = vec![
        action("delete", "contact", &first),
        action("update", "followUp", &on_both),
        action("update", "followUp", &on_first),
    ];
    expected.sort();
    assert_eq!(actions(&entries), expected);

    let opportunity = service.opportunity(&customer).await;
    let entries = entries_left_by(service.delete(&format!("/customers/{customer}")), "customer").await;
    let mut expected = vec![
        action("delete", "contact", &second),
        action("delete", "contact", &third),
        action("delete", "customer", &customer),
        action("delete", "followUp", &on_both),
        action("delete", "followUp", &on_first),
        action("delete", "followUp", &on_customer),
        action("delete", "opportunity", &opportunity),
    ];
    expected.sort();
    assert_eq!(actions(&entries), expected);
}

#[tokio::test]
async fn a_change_and_its_entry_are_committed_together_or_not_at_all() {
    type Row = <Customer as Projection>::Entity;
    let service = Service::start().await;
    let customer = service.customer().await;
    service.contact(&customer).await;
    service.follow_up(json!({ "content": "x", "customerId": customer })).await;
    let caller = caller(&service).await;
    let (before, trail) = (service.read("/customers").await, service.trail("").await);
    let customer_id: uuid::Uuid = customer.parse().unwrap();

    // The change fails after its first write.
    for fails in ["refused", "fault", "panic"] {
        let intent = Intent::inherent(caller.clone(), CUSTOMERS, customer_id);
        let outcome: Result<(), Error> = service
            .app
            .changes()
            .apply(intent, move |change: &mut Change<'_>| {
                async move {
                    let row = change.lock::<Row>(change.id(), LockType::Update).await?.unwrap();
                    let mut changed = row.clone();
                    "another".clone_into(&mut changed.name);
                    change.update::<Row>(row, changed).await?;
                    match fails {
                        "refused" => Err(Error::invalid("no")),
                        "fault" => Err(Error::internal("no")),
                        _ => panic!("no"),
                    }
                }
                .boxed()
            })
            .await;
        outcome.unwrap_err();
        assert_eq!((service.read("/customers").await, service.trail("").await), (before.clone(), trail.clone()));
    }

    // A later write fails: the customer is marked before the deletion is noted.
    let database = service.database.connect().await;
    database.execute_unprepared("ALTER TABLE deletions RENAME COLUMN actor TO who").await.unwrap();
    service.delete(&format!("/customers/{customer}")).send().await.expect(500);
    database.execute_unprepared("ALTER TABLE deletions RENAME COLUMN who TO actor").await.unwrap();
    assert_eq!(service.read("/follow-ups").await["total"], 1);
    assert_eq!((service.read("/customers").await, service.trail("").await), (before.clone(), trail.clone()));

    // The entry cannot be written.
    for table in ["audit_logs", "audit_queue"] {
        database.execute_unprepared(&format!("ALTER TABLE {table} RENAME TO away")).await.unwrap();
        let patch = json!({ "name": "another" });
        service.patch(&format!("/customers/{customer}"), patch).request_id("reused").send().await.expect(500);
        database.execute_unprepared(&format!("ALTER TABLE away RENAME TO {table}")).await.unwrap();
        assert_eq!((service.read("/customers").await, service.trail("").await), (before.clone(), trail.clone()));
    }
    let patch = json!({ "name": "another" });
    service.patch(&format!("/customers/{customer}"), patch).request_id("reused").send().await.expect(200);
    assert_eq!(service.trail("").await.len(), trail.len() + 1);
}

/// Leaves entries of two actors, three kinds of resources and every action, seconds apart.
async fn varied_entries(service: &Service) {
    for actor in ["ann", "bob"] {
        let scope = "crm:read crm:write crm:pii:read";
        let claims = json!({ "sub": actor, "scope": scope });
        let post = async |path: &str, body: Value, field: &str| {
            service.advance(1000);
            let made = service.post(path, body).claims(claims.clone()).send().await.expect(201);
            id(&made.body, field)
        };
        let customer = post("/customers", json!({ "name": "x", "contactPhone": "123456" }), "customerId").await;
        let contact = post("/contacts", json!({ "name": "x", "customerId": customer }), "contactId").await;
        post("/follow-ups", json!({ "content": "x", "contactId": contact }), "followUpId").await;
        service.advance(1000);
        let path = format!("/customers/{customer}");
        service.patch(&path, json!({ "name": "y" })).claims(claims.clone()).send().await.expect(200);
        service.get(&path).claims(claims.clone()).send().await.expect(200);
        service.get(&path).claims(json!({ "sub": actor, "scope": "crm:write" })).send().await.expect(403);
        service.app.audit_queue().flush(service.app.database()).await.unwrap();
        service.advance(1000);
        service.delete(&format!("/contacts/{contact}")).claims(claims.clone()).send().await.expect(204);
    }
}

#[tokio::test]
async fn every_combination_of_filters_finds_exactly_the_matching_entries() {
    let service = Service::start().await;
    varied_entries(&service).await;
    let all = service.trail("").await;
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    let customer = all.iter().find(|entry| entry["resourceType"] == "customer").unwrap()["resourceId"].clone();
    let customer = customer.as_str().unwrap();
    let middle = text(&all[all.len() / 2], "occurredAt");
    let auditor = token(json!({ "scope": "crm:audit:read" }));
    for kind in ["", "customer", "contact", "followUp", "opportunity", "nonsense"] {
        for resource in ["", customer, UNKNOWN_ID, "malformed"] {
            for actor in ["", "ann", "Ann"] {
                for action in ["", "create", "update", "delete", "read", "refuse"] {
                    for bound in ["", "from", "to", "both"] {
                        let mut query = String::new();
                        let filters =
                            [("resourceType", kind), ("resourceId", resource), ("actor", actor), ("action", action)];
                        for (name, value) in filters.into_iter().filter(|(_, value)| !value.is_empty()) {
                            query += &format!("{name}={value}&");
                        }
                        let (from, to) = (matches!(bound, "from" | "both"), matches!(bound, "to" | "both"));
                        if from {
                            query += &format!("from={middle}&");
                        }
                        let end = text(&all[1], "occurredAt");
                        let end = if bound == "both" { &end } else { &middle };
                        if to {
                            query += &format!("to={end}&");
                        }
                        let expected = all.iter().filter(|entry| {
                            let fits = |(name, value): (&str, &str)| value.is_empty() || text(entry, name) == value;
                            let at = text(entry, "occurredAt");
                            filters.into_iter().all(fits) && (!from || at >= middle) && (!to || at < *end)
                        });
                        let expected: Vec<_> = expected.cloned().collect();
                        // Unchecked, because there are 1728 of them.
                        let call = service.get(&format!("/audit-logs?pageSize=100&{query}")).token(&auditor);
                        let list = call.send_unchecked().await.expect(200).body;
                        assert_eq!(list, last_page(0, expected), "{query}");
                    }
                }
            }
        }
    }
    let at_middle = service.trail(&format!("from={middle}")).await;
    assert_eq!(text(at_middle.last().unwrap(), "occurredAt"), middle, "from is inclusive");
    // The same instant in another notation.
    for offset in ["%2B00:00", "+00:00"] {
        let with_offset = middle.replace('Z', offset);
        assert_eq!(service.trail(&format!("from={with_offset}")).await, at_middle);
    }
}

#[tokio::test]
async fn pages_are_newest_first_with_the_exact_total_of_the_tenant() {
    let service = Service::start().await;
    varied_entries(&service).await;
    service.post("/customers", json!({ "name": "x" })).tenant("other").send().await.expect(201);
    let all = service.trail("").await;
    let order: Vec<_> =
        all.iter().map(|entry| (entry["occurredAt"].to_string(), entry["auditLogId"].to_string())).collect();
    assert!(order.is_sorted_by(|a, b| a > b), "{order:?}");
    assert!(all.iter().all(|entry| entry["tenantId"] == "default"));
    for size in [1, 3, 7] {
        let mut paged = Vec::new();
        for page in 1..=all.len().div_ceil(size) + 1 {
            let list = service.read(&format!("/audit-logs?pageSize={size}&page={page}")).await;
            assert_eq!(list["total"], all.len());
            paged.extend(list["data"].as_array().unwrap().clone());
        }
        assert_eq!(paged, all);
    }
}

#[tokio::test]
async fn reading_needs_its_own_scope_and_valid_parameters() {
    let service = Service::start().await;
    for claims in [json!({ "scope": "crm:read crm:write crm:pii:read" }), json!({ "scope": "crm:audit" })] {
        service.get("/audit-logs").claims(claims).send().await.refused(403, "crm:audit:read");
    }
    service.get("/audit-logs").claims(json!({ "scope": "crm:audit:read" })).send().await.expect(200);
    for (query, details) in [
        ("action=Create", "action: must be create, update, delete, read or refuse"),
        ("action=", "action: must be"),
        ("action=create&action=create", "action: must be sent once"),
        ("from=yesterday", "from: must be an RFC 3339 timestamp"),
        ("from=2026-01-31", "from: must be"),
        ("to=", "to: must be"),
        ("to=2026-01-31T09:30:00", "to: must be"),
        ("from=2026-01-31T09:30:00Z&from=2026-01-31T09:30:00Z", "from: must be sent once"),
        ("to=2026-01-31T09:30:00Z&to=2026-01-31T09:30:00Z", "to: must be sent once"),
        ("actor=a&actor=b", "actor: must be sent once"),
        ("resourceType=a&resourceType=b", "resourceType: must be sent once"),
        ("resourceId=a&resourceId=b", "resourceId: must be sent once"),
        ("page=0", "page: must be"),
        ("pageSize=101", "pageSize: must be"),
    ] {
        service.get(&format!("/audit-logs?{query}")).send().await.refused(400, details);
    }
    for query in ["actor=", "actor=%00", "resourceType=%00", "resourceId=%00", "actor=%F0%9F%92%A9"] {
        assert_eq!(service.trail(query).await, [] as [Value; 0]);
    }
}
