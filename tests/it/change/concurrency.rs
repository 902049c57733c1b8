//! Many clients at once on the same few resources.

use futures_util::future::join_all;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Value, json};

use crate::harness::Service;

struct Resources {
    customers: Vec<String>,
    contacts: Vec<String>,
    opportunities: Vec<String>,
    follow_ups: Vec<String>,
}

/// Three customers, each with three contacts, opportunities and follow-ups.
async fn resources(service: &Service) -> Resources {
    let mut resources = Resources { customers: vec![], contacts: vec![], opportunities: vec![], follow_ups: vec![] };
    for _ in 0..3 {
        let customer = service.customer().await;
        for _ in 0..3 {
            let contact = service.contact(&customer).await;
            let opportunity = service.opportunity(&customer).await;
            let about = json!({ "content": "x", "contactId": contact, "opportunityId": opportunity });
            resources.follow_ups.push(service.follow_up(about).await);
            resources.contacts.push(contact);
            resources.opportunities.push(opportunity);
        }
        resources.customers.push(customer);
    }
    resources
}

/// Sends one of ten kinds of requests, and returns the status.
async fn act(service: &Service, resources: &Resources, kind: u8, one: usize, other: usize) -> u16 {
    let customer = &resources.customers[one % 3];
    let contact = &resources.contacts[one % 9];
    let opportunity = &resources.opportunities[other % 9];
    let follow_up = format!("/follow-ups/{}", resources.follow_ups[other % 9]);
    let call = match kind {
        0 => service.patch(&format!("/contacts/{contact}"), json!({ "isPrimary": true })),
        1 => service.patch(&format!("/contacts/{contact}"), json!({ "name": format!("name {other}") })),
        2 => service.patch(&format!("/opportunities/{opportunity}"), json!({ "stage": one % 7 })),
        3 => service.patch(&follow_up, json!({ "contactId": contact, "opportunityId": null })),
        4 => service.patch(&follow_up, json!({ "customerId": customer, "contactId": null, "opportunityId": null })),
        5 => service.post("/follow-ups", json!({ "content": "x", "opportunityId": opportunity })),
        6 => service.post("/contacts", json!({ "customerId": customer, "name": "x", "isPrimary": true })),
        7 if one == 0 => service.delete(&format!("/customers/{customer}")),
        7 => service.delete(&format!("/contacts/{contact}")),
        8 => service.delete(&format!("/opportunities/{opportunity}")),
        _ => service.delete(&follow_up),
    };
    call.send().await.status.as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_changes_never_deadlock_or_leave_broken_references() {
    let mut runner = TestRunner::deterministic();
    for _round in 0..4 {
        let service = Service::start().await;
        let resources = resources(&service).await;
        let scripts = prop::collection::vec((0_u8..10, 0_usize..18, 0_usize..18), 12);
        let clients = (0..12).map(|_| {
            let script = scripts.new_tree(&mut runner).unwrap().current();
            let (service, resources) = (&service, &resources);
            async move {
                let mut statuses = Vec::new();
                for (kind, one, other) in script {
                    statuses.push(act(service, resources, kind, one, other).await);
                }
                statuses
            }
        });
        let statuses: Vec<u16> = join_all(clients.collect::<Vec<_>>()).await.concat();
        assert!(statuses.iter().all(|status| *status < 500), "{statuses:?}");
        assert!(statuses.iter().any(|status| *status < 300), "{statuses:?}");
        assert_consistent(&service).await;
    }
}

/// Fails unless each customer has at most one primary contact, and references exist and belong to one customer.
async fn assert_consistent(service: &Service) {
    let all = |path: &'static str| async move {
        let list = service.read(&format!("{path}?pageSize=100")).await;
        assert_eq!(list["total"], list["data"].as_array().unwrap().len());
        list["data"].as_array().unwrap().clone()
    };
    let (contacts, opportunities) = (all("/contacts").await, all("/opportunities").await);
    for customer in all("/customers").await {
        let primary =
            |contact: &&Value| contact["customerId"] == customer["customerId"] && contact["isPrimary"] == true;
        assert!(contacts.iter().filter(primary).count() <= 1);
    }
    for follow_up in all("/follow-ups").await {
        for (field, others) in [("contactId", &contacts), ("opportunityId", &opportunities)] {
            let known = others
                .iter()
                .any(|other| other[field] == follow_up[field] && other["customerId"] == follow_up["customerId"]);
            assert!(follow_up[field].is_null() || known, "{follow_up}");
        }
    }
}
