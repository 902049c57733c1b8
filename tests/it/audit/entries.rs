//! The audit trail: what its entries say, that a change and its entry are one, and how the trail is read.

use crm::{
    change::{Change, Intent},
    customers::Customer,
    error::ApiError,
    http::show::Show,
    kind::CUSTOMERS,
};
use futures_util::FutureExt;
use sea_orm::{ConnectionTrait, sea_query::LockType};
use serde_json::{Value, json};

use crate::harness::{Call, FAR, SECRET, Service, caller, id, sign_hs256};

const STRANGER: &str = "019aa5c8-7d40-7c1e-b3a2-5f0e6d1c2b3a";

/// Of the personal data that a test sends: none may stand in the trail.
const CANARIES: [&str; 6] = ["canary", "Canary", "13812345678", "13898765432", "138", "example.com"];

/// The entries about a resource, oldest first.
async fn about(service: &Service, resource: &str) -> Vec<Value> {
    let mut entries = service.trail(&format!("resourceId={resource}")).await;
    entries.reverse();
    entries
}

/// The entries' actions and resources, in any order.
pub fn deeds(entries: &[Value]) -> Vec<(String, String, String)> {
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    let mut deeds: Vec<_> = entries
        .iter()
        .map(|entry| (text(entry, "action"), text(entry, "resourceType"), text(entry, "resourceId")))
        .collect();
    deeds.sort();
    deeds
}

/// One of them.
pub fn deed(action: &str, kind: &str, id: &str) -> (String, String, String) {
    (action.to_owned(), kind.to_owned(), id.to_owned())
}

fn change(field: &str, old: Value, new: Value) -> Value {
    json!({ "field": field, "old": old, "new": new })
}

#[tokio::test]
async fn an_entry_says_who_did_what_to_what_in_words_and_in_values() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let body = json!({ "customerId": customer, "title": "Licence", "stage": 3, "amountCents": 100, "currency": "EUR" });
    let opportunity = id(&service.create("/opportunities", body).await, "opportunityId");
    let path = format!("/opportunities/{opportunity}");
    service.pass(1000);
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

    let entries = about(&service, &opportunity).await;
    let [created, won, paid, deleted] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!(created["summary"], "created the opportunity");
    let fact = |entry: &Value, field: &str| {
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
        assert_eq!(fact(created, field), change(field, Value::Null, json!(value)));
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
    assert_eq!(fact(deleted, "amountCents"), change("amountCents", json!("250"), Value::Null));
}

#[tokio::test]
async fn an_actor_without_a_subject_is_its_client_or_unknown_and_never_lost() {
    let service = Service::start().await;
    for (claims, actor) in [
        (json!({ "exp": FAR, "client_id": "erp" }), "erp"),
        (json!({ "exp": FAR, "azp": "portal" }), "portal"),
        (json!({ "exp": FAR }), "unknown"),
    ] {
        let token = sign_hs256(&claims, SECRET);
        let made = service.post("/customers", json!({ "name": "x" })).token(&token).send().await.expect(201);
        let entries = about(&service, &id(&made.body, "customerId")).await;
        assert_eq!(entries[0]["actor"], actor);
    }
}

#[tokio::test]
async fn personal_data_and_free_text_is_named_and_never_shown() {
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
    // Looked for by what is in the query, and refused with it in the body.
    service.read("/customers?contactPhone=13898765432&contactEmail=other.canary@example.com").await;
    service.get("/customers?contactPhone=13898765432").claims(json!({ "scope": "crm:write" })).send().await.expect(403);
    service.delete(&format!("/customers/{customer}")).send().await.expect(204);
    service.app.write_notes().await.unwrap();
    let whole = service.get("/audit-logs?pageSize=100").send().await.expect(200);
    assert!(whole.body["total"].as_u64().unwrap() > 18, "{}", whole.text);
    // Ids and instants are digits that nobody chose.
    let text = fields_but_ids(&whole.body);
    for canary in CANARIES {
        assert!(!text.contains(canary), "{canary} stands in {text}");
    }
}

/// Everything in the entries that a person's data could be in.
fn fields_but_ids(list: &Value) -> String {
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
async fn what_goes_or_changes_along_has_entries_of_its_own_in_the_same_request() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let (first, second) = (service.contact(&customer).await, service.contact(&customer).await);
    let opportunity = service.opportunity(&customer).await;
    let on_both = service.follow_up(json!({ "content": "x", "contactId": first, "opportunityId": opportunity })).await;
    let on_first = service.follow_up(json!({ "content": "x", "contactId": first })).await;
    let on_customer = service.follow_up(json!({ "content": "x", "customerId": customer })).await;
    let untouched = service.customer().await;
    service.contact(&untouched).await;
    let left = async |call: Call<'_>, request_id: &str| {
        call.request_id(request_id).send().await;
        let entries = service.trail("").await;
        let entries = entries.into_iter().filter(|entry| entry["requestId"] == request_id);
        entries.collect::<Vec<_>>()
    };

    let primary = json!({ "isPrimary": true });
    let entries = left(service.patch(&format!("/contacts/{first}"), primary.clone()), "one").await;
    assert_eq!(deeds(&entries), [deed("update", "contact", &first)]);
    let entries = left(service.patch(&format!("/contacts/{second}"), primary), "other").await;
    assert_eq!(deeds(&entries), [deed("update", "contact", &first), deed("update", "contact", &second)]);
    let demoted = entries.iter().find(|entry| entry["resourceId"] == json!(first)).unwrap();
    assert_eq!(demoted["changes"], json!([change("isPrimary", json!("true"), json!("false"))]));
    let third = json!({ "customerId": customer, "name": "x", "isPrimary": true });
    let entries = left(service.post("/contacts", third), "third").await;
    let third = entries.iter().find(|entry| entry["action"] == "create").unwrap();
    let third = id(third, "resourceId");
    assert_eq!(deeds(&entries), [deed("create", "contact", &third), deed("update", "contact", &second)]);

    let entries = left(service.delete(&format!("/opportunities/{opportunity}")), "opportunity").await;
    assert_eq!(deeds(&entries), [deed("delete", "opportunity", &opportunity), deed("update", "followUp", &on_both)]);
    let cleared = entries.iter().find(|entry| entry["action"] == "update").unwrap();
    assert_eq!(cleared["changes"], json!([change("opportunityId", json!(opportunity), Value::Null)]));
    let entries = left(service.delete(&format!("/contacts/{first}")), "contact").await;
    let mut expected = vec![
        deed("delete", "contact", &first),
        deed("update", "followUp", &on_both),
        deed("update", "followUp", &on_first),
    ];
    expected.sort();
    assert_eq!(deeds(&entries), expected);

    let opportunity = service.opportunity(&customer).await;
    let entries = left(service.delete(&format!("/customers/{customer}")), "customer").await;
    let mut expected = vec![
        deed("delete", "contact", &second),
        deed("delete", "contact", &third),
        deed("delete", "customer", &customer),
        deed("delete", "followUp", &on_both),
        deed("delete", "followUp", &on_first),
        deed("delete", "followUp", &on_customer),
        deed("delete", "opportunity", &opportunity),
    ];
    expected.sort();
    assert_eq!(deeds(&entries), expected);
}

#[tokio::test]
async fn a_change_and_its_entry_are_both_there_or_neither() {
    type Row = <Customer as Show>::Entity;
    let service = Service::start().await;
    let customer = service.customer().await;
    service.contact(&customer).await;
    service.follow_up(json!({ "content": "x", "customerId": customer })).await;
    let caller = caller(&service).await;
    let (before, trail) = (service.read("/customers").await, service.trail("").await);
    let customer_id: uuid::Uuid = customer.parse().unwrap();

    // The change itself fails once it has written.
    for fails in ["refused", "fault", "panic"] {
        let intent = Intent::unkeyed(caller.clone(), CUSTOMERS, customer_id);
        let outcome: Result<(), ApiError> = service
            .app
            .change(intent, move |change: &Change<'_>| {
                async move {
                    let row = change.lock::<Row>(change.id(), LockType::Update).await?.unwrap();
                    let mut changed = row.clone();
                    "another".clone_into(&mut changed.name);
                    change.update::<Row>(row, changed).await?;
                    match fails {
                        "refused" => Err(ApiError::bad_request("no")),
                        "fault" => Err(ApiError::internal("no")),
                        _ => panic!("no"),
                    }
                }
                .boxed()
            })
            .await;
        outcome.unwrap_err();
        assert_eq!((service.read("/customers").await, service.trail("").await), (before.clone(), trail.clone()));
    }

    // A later write of the same change fails: follow-ups are deleted before contacts.
    let database = service.database.connect().await;
    database.execute_unprepared("ALTER TABLE contacts RENAME COLUMN name TO title").await.unwrap();
    service.delete(&format!("/customers/{customer}")).send().await.expect(500);
    database.execute_unprepared("ALTER TABLE contacts RENAME COLUMN title TO name").await.unwrap();
    assert_eq!(service.read("/follow-ups").await["total"], 1);
    assert_eq!((service.read("/customers").await, service.trail("").await), (before.clone(), trail.clone()));

    // The entry cannot be written: the row is not, either.
    for table in ["audit_logs", "audit_queue"] {
        database.execute_unprepared(&format!("ALTER TABLE {table} RENAME TO away")).await.unwrap();
        let patch = json!({ "name": "another" });
        service.patch(&format!("/customers/{customer}"), patch).request_id("kept").send().await.expect(500);
        database.execute_unprepared(&format!("ALTER TABLE away RENAME TO {table}")).await.unwrap();
        assert_eq!((service.read("/customers").await, service.trail("").await), (before.clone(), trail.clone()));
    }
    let patch = json!({ "name": "another" });
    service.patch(&format!("/customers/{customer}"), patch).request_id("kept").send().await.expect(200);
    assert_eq!(service.trail("").await.len(), trail.len() + 1);
}

/// A trail of many kinds: two actors, four kinds, a second apart.
async fn varied(service: &Service) {
    for actor in ["ann", "bob"] {
        let scope = "crm:read crm:write crm:pii:read";
        let claims = json!({ "sub": actor, "scope": scope });
        let post = async |path: &str, body: Value, field: &str| {
            service.pass(1000);
            let made = service.post(path, body).claims(claims.clone()).send().await.expect(201);
            id(&made.body, field)
        };
        let customer = post("/customers", json!({ "name": "x", "contactPhone": "123456" }), "customerId").await;
        let contact = post("/contacts", json!({ "name": "x", "customerId": customer }), "contactId").await;
        post("/follow-ups", json!({ "content": "x", "contactId": contact }), "followUpId").await;
        service.pass(1000);
        let path = format!("/customers/{customer}");
        service.patch(&path, json!({ "name": "y" })).claims(claims.clone()).send().await.expect(200);
        service.get(&path).claims(claims.clone()).send().await.expect(200);
        service.get(&path).claims(json!({ "sub": actor, "scope": "crm:write" })).send().await.expect(403);
        service.app.write_notes().await.unwrap();
        service.pass(1000);
        service.delete(&format!("/contacts/{contact}")).claims(claims.clone()).send().await.expect(204);
    }
}

#[tokio::test]
async fn every_filter_and_every_combination_finds_exactly_what_it_names() {
    let service = Service::start().await;
    varied(&service).await;
    let all = service.trail("").await;
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    let customer = all.iter().find(|entry| entry["resourceType"] == "customer").unwrap()["resourceId"].clone();
    let customer = customer.as_str().unwrap();
    let middle = text(&all[all.len() / 2], "occurredAt");
    assert!(all.iter().filter(|entry| text(entry, "occurredAt") == middle).count() >= 1);
    let mut tried = 0;
    for kind in ["", "customer", "contact", "followUp", "opportunity", "nonsense"] {
        for resource in ["", customer, STRANGER, "malformed"] {
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
                        // Most of the combinations with several filters are empty for good.
                        if !expected.is_empty() || tried % 16 == 0 {
                            assert_eq!(service.trail(&query).await, expected, "{query}");
                        }
                        tried += 1;
                    }
                }
            }
        }
    }
    let at_middle = service.trail(&format!("from={middle}")).await;
    assert_eq!(text(at_middle.last().unwrap(), "occurredAt"), middle, "from is inclusive");
    // Another writing of the same instant.
    let written = middle.replace('Z', "%2B00:00");
    assert_eq!(service.trail(&format!("from={written}")).await, at_middle);
}

#[tokio::test]
async fn pages_are_newest_first_with_the_exact_total_and_the_tenants_own() {
    let service = Service::start().await;
    varied(&service).await;
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
async fn the_trail_needs_its_own_scope_and_sound_parameters() {
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
