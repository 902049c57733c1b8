//! Many clients at once on the same few resources: nobody waits for ever, nothing fails, nothing is left half done.

use futures_util::future::join_all;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Value, json};

use crate::harness::Service;

/// The resources that the clients fight over.
struct Ground {
    customers: Vec<String>,
    contacts: Vec<String>,
    opportunities: Vec<String>,
    follow_ups: Vec<String>,
}

async fn ground(service: &Service) -> Ground {
    let mut ground = Ground { customers: vec![], contacts: vec![], opportunities: vec![], follow_ups: vec![] };
    for _ in 0..3 {
        let customer = service.customer().await;
        for _ in 0..3 {
            let contact = service.contact(&customer).await;
            let opportunity = service.opportunity(&customer).await;
            let about = json!({ "content": "x", "contactId": contact, "opportunityId": opportunity });
            ground.follow_ups.push(service.follow_up(about).await);
            ground.contacts.push(contact);
            ground.opportunities.push(opportunity);
        }
        ground.customers.push(customer);
    }
    ground
}

/// One request out of many kinds.
async fn act(service: &Service, ground: &Ground, kind: u8, one: usize, other: usize) -> u16 {
    let customer = &ground.customers[one % 3];
    let contact = &ground.contacts[one % 9];
    let opportunity = &ground.opportunities[other % 9];
    let follow_up = format!("/follow-ups/{}", ground.follow_ups[other % 9]);
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
async fn changes_that_meet_on_the_same_resources_neither_fail_nor_wait_in_a_circle() {
    let mut runner = TestRunner::deterministic();
    for _round in 0..4 {
        let service = Service::start().await;
        let ground = ground(&service).await;
        let scripts = prop::collection::vec((0_u8..10, 0_usize..18, 0_usize..18), 12);
        let clients = (0..12).map(|_| {
            let script = scripts.new_tree(&mut runner).unwrap().current();
            let (service, ground) = (&service, &ground);
            async move {
                let mut statuses = Vec::new();
                for (kind, one, other) in script {
                    statuses.push(act(service, ground, kind, one, other).await);
                }
                statuses
            }
        });
        let statuses: Vec<u16> = join_all(clients.collect::<Vec<_>>()).await.concat();
        assert!(statuses.iter().all(|status| *status < 500), "{statuses:?}");
        assert!(statuses.iter().any(|status| *status < 300), "{statuses:?}");
        consistent(&service).await;
    }
}

/// What must hold whatever happened: one primary a customer, references that exist and belong together.
async fn consistent(service: &Service) {
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
