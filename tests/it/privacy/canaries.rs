//! After an erasure nothing of a person is left, whichever byte of the database or the log one looks at: not in rows, search
//! indexes, stored events, claims, SQLite's write-ahead log or its free pages.

use crm::audit::chain;
use serde_json::{Value, json};

use super::erasure::{complete, events};
use crate::harness::{Log, Service, StoredPii, id, stored_bytes};

/// Words that name the person or are in what was said of it, and in nothing else.
const WORDS: [&str; 7] = ["waxwing", "Waxwing", "WAXWING", "finchnest", "FINCHNEST", "siskin", "redpoll"];

/// Everything that gives the person away: those words, phone numbers in each spelling and masked.
fn canaries() -> Vec<String> {
    let phones = ["13977712345", "139-7771-2345", "139 7771 2345", "+8613977712345", "139****2345", "+86 139****2345"];
    let others = ["13977754321", "139****4321", "w***@", "+8613977754321"];
    WORDS.into_iter().chain(phones).chain(others).map(str::to_owned).collect()
}

/// Which canaries are in these bytes, with what is around them.
fn found(bytes: &[u8], canaries: &[String]) -> Vec<String> {
    let around = |at: usize, canary: &String| {
        let text = String::from_utf8_lossy(&bytes[at.saturating_sub(80)..bytes.len().min(at + 40)]).into_owned();
        format!("{canary}: {text}")
    };
    let first = |canary: &String| {
        let mut windows = bytes.windows(canary.len());
        windows.position(|window| window == canary.as_bytes()).map(|at| around(at, canary))
    };
    canaries.iter().filter_map(first).collect()
}

/// The person as a customer with contacts and follow-ups, changed again and again, some of it deleted.
async fn person(service: &Service) -> String {
    let body =
        json!({ "name": "Waxwing", "contactPhone": "139-7771-2345", "contactEmail": "Waxwing@FINCHNEST.example" });
    let customer = id(&service.create("/customers", body).await, "customerId");
    for phone in ["139 7771 2345", "+86 13977712345", "13977712345"] {
        let body = json!({ "name": format!("WAXWING {phone}"), "contactPhone": phone, "contactEmail": "waxwing@finchnest.example" });
        service.patch(&format!("/customers/{customer}"), body).send().await.expect(200);
    }
    let mut contacts = Vec::new();
    for number in 0..4 {
        let body = json!({ "customerId": customer, "name": format!("waxwing {number} siskin"), "phone": "13977754321",
            "email": "Waxwing@finchnest.example" });
        contacts.push(id(&service.create("/contacts", body).await, "contactId"));
        let content = format!("redpoll {}", "and so on ".repeat(number * 300));
        let body = json!({ "customerId": customer, "contactId": contacts[number], "content": content, "followUpType": "siskin" });
        let follow_up = service.follow_up(body).await;
        let body = json!({ "content": "redpoll again" });
        service.patch(&format!("/follow-ups/{follow_up}"), body).send().await.expect(200);
        if number == 3 {
            service.delete(&format!("/follow-ups/{follow_up}")).send().await.expect(204);
        }
    }
    // One is removed, one is deleted and its row still there.
    service.delete(&format!("/contacts/{}", contacts[0])).send().await.expect(204);
    service.remove_deleted().await;
    service.delete(&format!("/contacts/{}", contacts[1])).send().await.expect(204);
    customer
}

/// Others, before and behind it, so that pages are split and merged.
async fn others(service: &Service, count: usize) {
    let mut last = String::new();
    for number in 0..count {
        let phone = format!("1381234{number:04}");
        let body = json!({ "name": format!("Another {number}"), "contactPhone": phone, "contactEmail": "a@b.example" });
        let made = service.post("/customers", body).send_unchecked().await.expect(201).body;
        let customer = id(&made, "customerId");
        let body = json!({ "customerId": customer, "content": "Called ".repeat(number % 700) + "." });
        service.post("/follow-ups", body).send_unchecked().await.expect(201);
        if number % 3 == 0 && !last.is_empty() {
            let body = json!({ "name": format!("Another {number} {}", "again ".repeat(number % 30)) });
            service.patch(&format!("/customers/{last}"), body).send_unchecked().await.expect(200);
        }
        last = customer;
    }
}

#[tokio::test]
async fn no_byte_of_an_erased_person_is_left_anywhere() {
    let log = Log::of_this_process("trace,sqlx=trace,hyper=trace,poem=trace,sea_orm=trace");
    for encryption in ["on", "off"] {
        let service = Service::with(&[("CRM_PII_ENCRYPTION", encryption)]).await;
        others(&service, 60).await;
        let customer = person(&service).await;
        others(&service, 60).await;
        let phone = StoredPii::new("customers", "contact_phone", &customer);
        let connection = service.database.connect().await;
        let mut canaries = canaries();
        canaries.extend(phone.read(&connection).await);
        canaries.extend(phone.blind_index(&connection).await);
        drop(connection);
        events(&service).await;
        assert!(found(&stored_bytes(&service.database).await, &canaries).len() > 10, "the search does not find");

        let body = json!({ "followUps": "erase" });
        let certificate = service.post(&format!("/customers/{customer}/erasure"), body).send().await.expect(201).body;
        complete(&service).await;
        chain::link_entries(service.app.database()).await.unwrap();
        let certificate = match certificate["completedAt"] {
            Value::Null => service.read(&format!("/customers/{customer}/erasure")).await,
            _ => certificate,
        };
        assert!(certificate["completedAt"].is_string(), "{certificate}");
        assert_eq!(found(&stored_bytes(&service.database).await, &canaries), Vec::<String>::new(), "{encryption}");
        assert_eq!(found(log.text().as_bytes(), &canaries), Vec::<String>::new());
        // Nor after others went on, and at the end.
        others(&service, 20).await;
        service.app.database().close().await.unwrap();
        assert_eq!(found(&stored_bytes(&service.database).await, &canaries), Vec::<String>::new(), "{encryption}");
    }
}
