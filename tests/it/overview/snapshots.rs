//! An overview never mixes two states, whoever writes meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::harness::{Service, id};

fn numbers(list: &Value, field: &str) -> Vec<u64> {
    list["data"].as_array().unwrap().iter().map(|item| item[field].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_contract_is_seen_whole_or_not_at_all() {
    let service = Service::start().await;
    let mut customers = Vec::new();
    for number in 0..20 {
        let customer = service.customer().await;
        let opportunity = service.opportunity(&customer).await;
        let event = json!({ "eventId": format!("e{number}"), "eventType": "erp.contract.signed", "source": "erp",
            "timestamp": "2026-01-31T09:30:00Z", "traceId": "x", "data": { "tenantId": "default",
            "customerId": customer, "opportunityId": opportunity, "amount": 1 } });
        customers.push((customer, event.to_string()));
    }
    let (inbound, mut before) = (service.inbound(), 0);
    for (customer, event) in &customers {
        let done = AtomicBool::new(false);
        let write = async {
            inbound.apply(event.as_bytes()).await.unwrap();
            done.store(true, Ordering::SeqCst);
        };
        let read = async {
            loop {
                let is_last = done.load(Ordering::SeqCst);
                let path = format!("/customers/{customer}/overview");
                let seen = service.get(&path).send_unchecked().await.expect(200).body;
                let signed = seen["customer"]["status"].as_u64().unwrap();
                let told: Vec<&Value> = seen["recent"].as_array().unwrap().iter().map(|item| &item["types"]).collect();
                assert_eq!(numbers(&seen["opportunities"], "status"), [signed]);
                assert_eq!(told.contains(&&json!(["contractSigned"])), signed == 1, "{told:?}");
                before += 1 - signed;
                if is_last {
                    assert_eq!(signed, 1);
                    return;
                }
            }
        };
        futures_util::join!(write, read);
    }
    assert!(before > 0, "nothing was read before or beside the changes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn totals_and_what_is_counted_are_of_one_instant() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let mut contacts = Vec::new();
    for number in 0..2 {
        let body = json!({ "customerId": customer, "name": format!("Li {number}"), "isPrimary": number == 0 });
        contacts.push(id(&service.create("/contacts", body).await, "contactId"));
    }
    let done = AtomicBool::new(false);
    let write = async {
        for number in 0..15 {
            service.follow_up(json!({ "customerId": customer, "content": number.to_string() })).await;
            let body = json!({ "isPrimary": true });
            let path = format!("/contacts/{}", contacts[(number + 1) % 2]);
            service.patch(&path, body).send_unchecked().await.expect(200);
            service.create("/opportunities", json!({ "customerId": customer, "title": "x" })).await;
        }
        done.store(true, Ordering::SeqCst);
    };
    let read = async {
        let mut reads = 0;
        while !done.load(Ordering::SeqCst) {
            let seen = service.read(&format!("/customers/{customer}/overview")).await;
            let number = |list: &str, field: &str| seen[list][field].as_u64().unwrap();
            for list in ["followUps", "opportunities", "contacts"] {
                assert_eq!(seen[list]["data"].as_array().unwrap().len() as u64, number(list, "total"), "{list}");
            }
            let primary: Vec<&Value> =
                seen["contacts"]["data"].as_array().unwrap().iter().map(|contact| &contact["isPrimary"]).collect();
            assert_eq!(primary, [true, false]);
            // Each follow-up comes before its opportunity.
            assert!(number("followUps", "total") >= number("opportunities", "total"));
            assert!(number("followUps", "total") <= number("opportunities", "total") + 1);
            reads += 1;
        }
        assert!(reads > 3, "{reads} reads");
    };
    futures_util::join!(write, read);
}
