//! What is in a timeline, and how it is read.

use crm::{background, service::asyncapi};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use super::{count, fill_all, items, remove_all, told, types};
use crate::harness::{
    DAY, FAR_FUTURE, Service,
    events::assert_event_schema,
    fields, id, on_postgres,
    sql::{new_id, numbers, scalar, uuid_literal},
};

#[tokio::test]
async fn what_happens_to_a_customer_is_told_newest_first() {
    let service = Service::start().await;
    let body = json!({ "name": "Goldfinch", "contactPhone": "13812345678" });
    let customer = id(&service.create("/customers", body).await, "customerId");
    let contact = service.contact(&customer).await;
    let opportunity = service.opportunity(&customer).await;
    let path = format!("/opportunities/{opportunity}");
    for body in [json!({ "stage": 3 }), json!({ "status": 2 }), json!({ "status": 0, "title": "Other" })] {
        service.patch(&path, body).send().await.expect(200);
    }
    let about = json!({ "contactId": contact, "content": "Nightingale" });
    let follow_up = service.follow_up(about).await;
    service.patch(&format!("/customers/{customer}"), json!({ "name": "Bullfinch" })).send().await.expect(200);
    service.delete(&format!("/contacts/{contact}")).send().await.expect(204);
    service.remove_deleted().await;
    service.delete(&format!("/follow-ups/{follow_up}")).send().await.expect(204);
    let signed = json!({ "eventId": "e1", "eventType": "erp.contract.signed", "timestamp": "2026-01-31T09:30:00Z",
        "source": "erp", "traceId": "x", "data": { "tenantId": "default", "customerId": customer,
        "opportunityId": opportunity, "amount": 1 } });
    assert_event_schema(&asyncapi::document(), &signed);
    service.inbound().apply(signed.to_string().as_bytes()).await.unwrap();
    service.delete(&path).send().await.expect(204);
    service.post(&format!("/customers/{customer}/erasure"), json!({})).send().await.expect(201);

    let expected = [
        (types(&["erased"]), "erased the personal data of the customer"),
        (types(&["opportunityRemoved"]), "deleted the opportunity"),
        (types(&["stageMoved", "closed"]), "changed stage from Proposal to Won, changed status from Open to Won"),
        (types(&["contractSigned"]), "changed status from Prospect to Signed"),
        (types(&["followUpRemoved"]), "deleted the followUp"),
        (types(&["changed"]), &*format!("cleared contactId, which was {contact}")),
        (types(&["contactRemoved"]), "deleted the contact"),
        (types(&["changed"]), "changed name"),
        (types(&["followUpAdded"]), "created the followUp"),
        (
            types(&["changed", "stageMoved", "reopened"]),
            "changed title, changed stage from Lost to Proposal, changed status from Lost to Open",
        ),
        (types(&["stageMoved", "closed"]), "changed stage from Proposal to Lost, changed status from Open to Lost"),
        (types(&["stageMoved"]), "changed stage from New to Proposal"),
        (types(&["opportunityAdded"]), "created the opportunity"),
        (types(&["contactAdded"]), "created the contact"),
        (types(&["created"]), "created the customer"),
    ];
    let told = told(&service, &customer).await;
    assert_eq!(told, expected.map(|(types, summary)| (types, summary.to_owned())));

    // What the trail says of the same change, and no more.
    let trail = service.trail("").await;
    for item in items(&service, &customer).await {
        let entry = trail.iter().find(|entry| entry["auditLogId"] == item["auditLogId"]).unwrap();
        for field in ["occurredAt", "actor", "resourceType", "resourceId", "changes", "summary"] {
            assert_eq!(entry[field], item[field], "{field}");
        }
        let text = item.to_string();
        assert!(
            ["finch", "Nightingale", "1381234", "Li Lei"].iter().all(|personal| !text.contains(personal)),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_follow_up_that_moves_stands_with_both_customers() {
    let service = Service::start().await;
    let (from, to) = (service.customer().await, service.customer().await);
    let follow_up = service.follow_up(json!({ "customerId": from, "content": "x" })).await;
    let path = format!("/follow-ups/{follow_up}");
    service.patch(&path, json!({ "customerId": to })).send().await.expect(200);
    service.patch(&path, json!({ "customerId": null })).send().await.expect(200);
    service.patch(&path, json!({ "content": "of nobody" })).send().await.expect(200);
    let told_of = async |customer: &str| -> Vec<Value> {
        told(&service, customer).await.into_iter().map(|(types, _)| types).collect()
    };
    assert_eq!(told_of(&from).await, [types(&["followUpRemoved"]), types(&["followUpAdded"]), types(&["created"])]);
    assert_eq!(told_of(&to).await, [types(&["followUpRemoved"]), types(&["followUpAdded"]), types(&["created"])]);
}

#[tokio::test]
async fn an_opportunity_that_is_created_closed_is_told_as_both() {
    let service = Service::start().await;
    let customer = service.customer().await;
    service.create("/opportunities", json!({ "customerId": customer, "title": "x", "stage": 6 })).await;
    assert_eq!(told(&service, &customer).await[0].0, types(&["opportunityAdded", "closed"]));
    let closed = service.read(&format!("/customers/{customer}/timeline?types=closed")).await;
    assert_eq!(fields(&closed, "resourceType"), ["opportunity"]);
}

#[tokio::test]
async fn types_and_cursors_are_judged() {
    let service = Service::start().await;
    let (one, other) = (service.customer().await, service.customer().await);
    for _ in 0..3 {
        service.contact(&one).await;
    }
    let path = format!("/customers/{one}/timeline");
    for (query, details) in [
        ("types=wonderful", "types: must be of created, changed, "),
        ("types=", "types: "),
        ("limit=0", "limit: "),
        ("limit=101", "limit: "),
        ("after=AAAA", "after: must be the nextCursor"),
        ("page=2", "page: is not a parameter of this operation"),
    ] {
        service.get(&format!("{path}?{query}")).send().await.refused(400, details);
    }
    let first = service.read(&format!("{path}?limit=2")).await;
    let cursor = first["nextCursor"].as_str().unwrap();
    let second = service.read(&format!("{path}?limit=100&after={cursor}")).await;
    assert_eq!((fields(&first, "auditLogId").len(), fields(&second, "auditLogId").len()), (2, 2));
    assert_eq!(second["nextCursor"], Value::Null);
    // It opens this timeline alone, with these types, of this tenant.
    let after = format!("after={cursor}");
    let stranger = service.get(&format!("/customers/{other}/timeline?{after}"));
    stranger.send().await.refused(400, "after: must be the nextCursor");
    service.get(&format!("{path}?types=created&{after}")).send().await.refused(400, "after: must be the nextCursor");
    service.get(&format!("{path}?{after}")).tenant("other").send().await.refused(400, "after: must be the nextCursor");
    service.get(&path).tenant("other").send().await.expect(404);
}

#[tokio::test]
async fn a_page_of_rare_types_is_short_and_the_walk_goes_on() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let connection = service.database.connect().await;
    // The customer's creation is older than all of these.
    let at = match on_postgres() {
        true => "occurred_at + n * interval '1 second'",
        false => "strftime('%Y-%m-%dT%H:%M:%f+00:00', occurred_at, '+' || n || ' seconds')",
    };
    let many = format!(
        "INSERT INTO timeline (tenant_id, customer_id, occurred_at, audit_log_id, types, resource_type, resource_id, \
         actor, changes, summary) SELECT tenant_id, customer_id, {at}, {}, 2, resource_type, resource_id, actor, \
         '[]', 'changed name' FROM timeline, ({}) AS numbers",
        new_id(),
        numbers(10_500)
    );
    connection.execute_unprepared(&many).await.unwrap();
    let path = format!("/customers/{customer}/timeline?types=created");
    let first = service.read(&path).await;
    assert_eq!(first["data"], json!([]));
    let second = service.read(&format!("{path}&after={}", first["nextCursor"].as_str().unwrap())).await;
    assert_eq!(fields(&second, "summary"), ["created the customer"]);
    assert_eq!(second["nextCursor"], Value::Null);
    // Where enough are found, they are all there is to look at.
    let common = service.read(&format!("/customers/{customer}/timeline?types=changed,created&limit=100")).await;
    assert_eq!(fields(&common, "summary").len(), 100);
}

#[tokio::test]
async fn a_timeline_outlives_the_trail_and_ends_with_its_customer() {
    let service = Service::start().await;
    let (one, other) = (service.customer().await, service.customer().await);
    for _ in 0..5 {
        service.contact(&one).await;
    }
    let kept = items(&service, &one).await;
    crm::audit::chain::link_entries(service.app.database()).await.unwrap();
    service.advance(400 * DAY);
    background::purge(&service.app).await.unwrap();
    let everything = json!({ "scope": "crm:read crm:write", "exp": FAR_FUTURE });
    let read = async |path: &str| service.get(path).claims(everything.clone()).send().await;
    let page = read(&format!("/customers/{one}/timeline?limit=100")).await.expect(200).body;
    assert_eq!(page["data"], json!(kept));

    let connection = service.database.connect().await;
    service.delete(&format!("/customers/{one}")).claims(everything.clone()).send().await.expect(204);
    read(&format!("/customers/{one}/timeline")).await.expect(404);
    read(&format!("/customers/{one}/overview")).await.expect(404);
    service.remove_deleted().await;
    // What goes along with a customer is not told any more.
    assert_eq!(count(&connection, "timeline").await, 7);
    remove_all(&service).await;
    let left = format!("SELECT count(*) FROM timeline WHERE customer_id <> {}", uuid_literal(&other));
    assert_eq!(scalar::<i64>(&connection, &left).await, 0);
    assert_eq!((count(&connection, "timeline").await, count(&connection, "timeline_removals").await), (1, 0));
}

#[tokio::test]
async fn a_removal_of_a_large_timeline_goes_in_steps() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let connection = service.database.connect().await;
    let many = format!(
        "INSERT INTO timeline (tenant_id, customer_id, occurred_at, audit_log_id, types, resource_type, resource_id, \
         actor, changes, summary) SELECT tenant_id, customer_id, occurred_at, {}, 2, resource_type, resource_id, actor, \
         changes, summary FROM timeline, ({}) AS numbers",
        new_id(),
        numbers(1_200)
    );
    connection.execute_unprepared(&many).await.unwrap();
    service.delete(&format!("/customers/{customer}")).send().await.expect(204);
    service.remove_deleted().await;
    let mut left = Vec::new();
    while crm::timeline::fill::remove(service.app.database()).await.unwrap() {
        left.push(count(&connection, "timeline").await);
    }
    assert_eq!(left, [701, 201, 0]);
}

#[tokio::test]
async fn since_says_from_when_a_timeline_is_complete() {
    let service = Service::start().await;
    let created = service.create("/customers", json!({ "name": "Acme" })).await;
    let customer = id(&created, "customerId");
    let path = format!("/customers/{customer}/timeline");
    // Of a customer that was created since timelines are kept: from the beginning.
    assert_eq!(service.read(&path).await["since"], created["createdAt"]);

    // Timelines began later, at the first entry that the trail still had.
    let connection = service.database.connect().await;
    service.advance(60_000);
    let later = service.create("/customers", json!({ "name": "Later" })).await;
    for sql in [
        "DELETE FROM timeline_starts".to_owned(),
        format!(
            "INSERT INTO timeline_starts (tenant_id, since) SELECT tenant_id, created_at FROM customers \
             WHERE customer_id = {}",
            uuid_literal(&id(&later, "customerId"))
        ),
    ] {
        connection.execute_unprepared(&sql).await.unwrap();
    }
    assert_eq!(service.read(&path).await["since"], later["createdAt"]);

    // What the release before has written is not there yet.
    service.advance(60_000);
    let copied = "INSERT INTO audit_logs (tenant_id, audit_log_id, occurred_at, actor, action, resource_type, resource_id, \
                  request_id, trace_id, changes, summary) SELECT tenant_id, NEW_ID, occurred_at, actor, 'update', \
                  resource_type, resource_id, request_id, trace_id, '[{\"field\":\"name\",\"old\":null,\"new\":null}]', \
                  'changed name' FROM audit_logs WHERE resource_id = ID";
    let copied = copied.replace("NEW_ID", new_id()).replace("ID", &uuid_literal(&id(&later, "customerId")));
    connection.execute_unprepared(&copied).await.unwrap();
    let of_later = format!("/customers/{}/timeline", id(&later, "customerId"));
    let behind = service.read(&of_later).await;
    assert!(behind["since"].as_str().unwrap() > later["createdAt"].as_str().unwrap(), "{behind}");
    fill_all(&service).await;
    let whole = service.read(&of_later).await;
    assert_eq!(whole["since"], later["createdAt"]);
    assert_eq!(fields(&whole, "summary").len(), 2);
}
