//! Follow-ups and what they refer to.

use serde_json::{Value, json};

use crate::harness::{Service, UNKNOWN_ID, fields};

struct Pairs {
    customers: [String; 2],
    contacts: [String; 2],
    opportunities: [String; 2],
}

/// Two customers with a contact and an opportunity each.
async fn pairs(service: &Service) -> Pairs {
    let customers = [service.customer().await, service.customer().await];
    let contacts = [service.contact(&customers[0]).await, service.contact(&customers[1]).await];
    let opportunities = [service.opportunity(&customers[0]).await, service.opportunity(&customers[1]).await];
    Pairs { customers, contacts, opportunities }
}

#[tokio::test]
async fn a_follow_up_without_references_is_a_note_with_every_field() {
    let service = Service::start().await;
    let created = service.create("/follow-ups", json!({ "content": "Called.\n\tWill call again." })).await;
    assert_eq!(
        created,
        json!({
            "followUpId": created["followUpId"],
            "tenantId": "default",
            "customerId": null,
            "opportunityId": null,
            "contactId": null,
            "content": "Called.\n\tWill call again.",
            "followUpType": "note",
            "createdAt": "2026-01-31T09:30:00.125Z",
            "updatedAt": "2026-01-31T09:30:00.125Z",
        })
    );
}

#[tokio::test]
async fn the_customer_is_derived_from_the_opportunity_or_the_contact() {
    let service = Service::start().await;
    let Pairs { customers, contacts, opportunities } = pairs(&service).await;
    for about in [
        json!({ "content": "x", "opportunityId": opportunities[1] }),
        json!({ "content": "x", "contactId": contacts[1] }),
        json!({ "content": "x", "contactId": contacts[1], "opportunityId": opportunities[1], "customerId": null }),
    ] {
        assert_eq!(service.create("/follow-ups", about).await["customerId"], json!(customers[1]));
    }
}

#[tokio::test]
async fn contradictory_or_unknown_references_are_400_by_name() {
    let service = Service::start().await;
    let Pairs { customers, contacts, opportunities } = pairs(&service).await;
    for (about, details) in [
        (json!({ "customerId": customers[0], "opportunityId": opportunities[1] }), "opportunityId: belongs to another"),
        (json!({ "customerId": customers[0], "contactId": contacts[1] }), "contactId: belongs to another"),
        (json!({ "contactId": contacts[1], "opportunityId": opportunities[0] }), "contactId: belongs to another"),
        (json!({ "customerId": UNKNOWN_ID }), "customerId: must be the id of an existing"),
        (json!({ "opportunityId": UNKNOWN_ID }), "opportunityId: must be the id of an existing"),
        (json!({ "contactId": UNKNOWN_ID }), "contactId: must be the id of an existing"),
    ] {
        let mut body = about;
        body["content"] = json!("x");
        service.post("/follow-ups", body).send().await.refused(400, details);
    }
    assert_eq!(service.read("/follow-ups").await["total"], 0);
}

#[tokio::test]
async fn a_patch_keeps_all_references_to_one_customer() {
    let service = Service::start().await;
    let Pairs { customers, contacts, opportunities } = pairs(&service).await;
    let about = service.follow_up(json!({ "content": "x", "opportunityId": opportunities[0] })).await;
    let path = format!("/follow-ups/{about}");
    for (body, details) in [
        (json!({ "contactId": contacts[1] }), "contactId: belongs to another"),
        (json!({ "customerId": customers[1] }), "opportunityId: belongs to another"),
        (json!({ "customerId": null }), "customerId: must not be null"),
        (json!({ "opportunityId": opportunities[1] }), "opportunityId: belongs to another"),
    ] {
        service.patch(&path, body).send().await.refused(400, details);
    }
    let changed = service.patch(&path, json!({ "contactId": contacts[0] })).send().await.expect(200).body;
    assert_eq!(changed["contactId"], json!(contacts[0]));

    let moved = json!({ "customerId": customers[1], "opportunityId": opportunities[1], "contactId": null });
    let moved = service.patch(&path, moved).send().await.expect(200).body;
    assert_eq!((&moved["customerId"], &moved["contactId"]), (&json!(customers[1]), &Value::Null));

    let alone = json!({ "customerId": null, "opportunityId": null });
    let alone = service.patch(&path, alone).send().await.expect(200).body;
    assert_eq!((&alone["customerId"], &alone["opportunityId"]), (&Value::Null, &Value::Null));

    let again = service.patch(&path, json!({ "contactId": contacts[0] })).send().await.expect(200).body;
    assert_eq!(again["customerId"], json!(customers[0]), "not derived from the contact");
}

#[tokio::test]
async fn a_list_is_filtered_by_customer_by_opportunity_or_by_both() {
    let service = Service::start().await;
    let Pairs { customers, contacts, opportunities } = pairs(&service).await;
    let of_opportunity = service.follow_up(json!({ "content": "x", "opportunityId": opportunities[0] })).await;
    service.advance(1);
    let of_contact = service.follow_up(json!({ "content": "x", "contactId": contacts[0] })).await;
    service.follow_up(json!({ "content": "x" })).await;
    let (customer, opportunity) = (&customers[0], &opportunities[0]);
    for (query, expected) in [
        (format!("customerId={customer}"), vec![&of_contact, &of_opportunity]),
        (format!("opportunityId={opportunity}"), vec![&of_opportunity]),
        (format!("customerId={customer}&opportunityId={opportunity}"), vec![&of_opportunity]),
        (format!("customerId={}&opportunityId={opportunity}", customers[1]), vec![]),
    ] {
        let list = service.read(&format!("/follow-ups?{query}")).await;
        assert_eq!(fields(&list, "followUpId"), expected, "{query}");
        assert_eq!(list["total"], expected.len(), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_changes_of_one_follow_up_are_all_kept() {
    let service = Service::start().await;
    let Pairs { customers, contacts, opportunities } = pairs(&service).await;
    let path = format!("/follow-ups/{}", service.follow_up(json!({ "content": "x" })).await);
    let changes = [
        json!({ "content": "changed" }),
        json!({ "followUpType": "visit" }),
        json!({ "contactId": contacts[0] }),
        json!({ "opportunityId": opportunities[0] }),
    ];
    for reply in futures_util::future::join_all(changes.map(|body| service.patch(&path, body).send())).await {
        reply.expect(200);
    }
    let now = service.read(&path).await;
    assert_eq!(now["content"], "changed");
    assert_eq!(now["followUpType"], "visit");
    assert_eq!((&now["contactId"], &now["opportunityId"]), (&json!(contacts[0]), &json!(opportunities[0])));
    assert_eq!(now["customerId"], json!(customers[0]));
}
