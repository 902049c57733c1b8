//! What an erasure leaves of a customer, and of all that was said about it.

use std::time::{Duration, Instant};

use crm::{
    database::Failure,
    privacy::{self, ErasureStep, LogEmptying},
    service::asyncapi,
};
use futures_util::future::join_all;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::harness::{
    Process, Service, TestDatabase, UNKNOWN_ID,
    events::assert_event_schema,
    id, on_postgres,
    sql::{column, new_id, numbers, scalar},
    within,
};

/// Goes on with the erasures that are under way, as the service does in the background.
pub async fn complete(service: &Service) {
    let mut log = LogEmptying::default();
    for _ in 0..10_000 {
        let pending = privacy::pending(service.app.changes(), None, &mut log).await.unwrap();
        if pending.is_empty() {
            return;
        }
        for erasure in pending {
            assert_ne!(privacy::run(service.app.changes(), &erasure, &mut log).await.unwrap(), ErasureStep::Elsewhere);
        }
    }
    panic!("an erasure does not come to an end");
}

/// All events of the tenant.
pub async fn events(service: &Service) -> Vec<Value> {
    crm::events::outbox::assign_positions(service.app.database()).await.unwrap();
    let list = service.read("/events?limit=1000").await;
    assert_eq!(list["gaps"], json!([]));
    list["data"].as_array().unwrap().clone()
}

fn about<'e>(events: &'e [Value], id: &str) -> Vec<&'e Value> {
    let is_about = |event: &&Value| event["data"]["resource"].as_object().unwrap().values().next() == Some(&json!(id));
    events.iter().filter(is_about).collect()
}

async fn erase(service: &Service, customer: &str, body: Value) -> Value {
    let reply = service.post(&format!("/customers/{customer}/erasure"), body).send().await.expect(201);
    assert_eq!(reply.header("Location"), format!("/api/v1/crm/customers/{customer}/erasure"));
    reply.body
}

async fn customer(service: &Service, name: &str) -> String {
    let body = json!({ "name": name, "contactPhone": "13812345678", "contactEmail": "li@lei.example" });
    id(&service.create("/customers", body).await, "customerId")
}

async fn contact(service: &Service, customer: &str, name: &str) -> String {
    let body = json!({ "customerId": customer, "name": name, "phone": "13987654321", "email": "han@mei.example",
        "isPrimary": true });
    id(&service.create("/contacts", body).await, "contactId")
}

#[tokio::test]
async fn an_erased_customer_and_its_contacts_keep_all_but_personal_data() {
    let service = Service::start().await;
    let (erased, other) = (customer(&service, "Li Lei").await, customer(&service, "Another").await);
    let contact = contact(&service, &erased, "Han Mei").await;
    let opportunity = service.opportunity(&erased).await;
    let follow_up = service.follow_up(json!({ "customerId": erased, "content": "Called", "contactId": contact })).await;
    service.patch(&format!("/customers/{erased}"), json!({ "name": "Li Lei II" })).send().await.expect(200);
    let before = events(&service).await;
    let was = service.read(&format!("/customers/{erased}")).await;

    let certificate = erase(&service, &erased, json!({})).await;
    assert_eq!(certificate["counts"], json!({ "customers": 1, "contacts": 1, "followUps": 0, "events": 3 }));
    for (field, expected) in [
        ("customerId", json!(erased)),
        ("tenantId", json!("default")),
        ("actor", json!("tester")),
        ("followUps", json!("keep")),
        ("at", was["createdAt"].clone()),
        ("completedAt", was["createdAt"].clone()),
    ] {
        assert_eq!(certificate[field], expected, "{field}");
    }
    assert_eq!(service.read(&format!("/customers/{erased}/erasure")).await, certificate);

    let is = service.read(&format!("/customers/{erased}")).await;
    assert_eq!(is["name"], "erased");
    assert!(is["contactPhone"].is_null() && is["contactEmail"].is_null(), "{is}");
    assert_eq!((&is["status"], &is["createdAt"]), (&was["status"], &was["createdAt"]));
    assert_ne!(is["updatedAt"], was["updatedAt"]);
    let of_contact = service.read(&format!("/contacts/{contact}")).await;
    assert_eq!(of_contact["name"], "erased");
    assert!(of_contact["phone"].is_null() && of_contact["email"].is_null() && of_contact["isPrimary"] == true);
    assert_eq!(service.read(&format!("/opportunities/{opportunity}")).await["title"], "Licence");
    assert_eq!(service.read(&format!("/follow-ups/{follow_up}")).await["content"], "Called");
    for search in ["/customers?contactEmail=li@lei.example", "/contacts?phone=13987654321"] {
        let found = service.read(search).await;
        assert_eq!(found["total"], u64::from(search.starts_with("/customers")), "only the other customer: {found}");
    }
    assert_eq!(service.read(&format!("/customers/{other}")).await["contactPhone"], "13812345678");

    let after = events(&service).await;
    let keys = |events: &[Value]| -> Vec<Value> {
        let key =
            |event: &Value| json!([event["eventId"], event["eventType"], event["timestamp"], event["data"]["version"]]);
        events.iter().map(key).collect()
    };
    assert_eq!(keys(&after[..before.len()]), keys(&before), "order, ids and versions stay");
    let document = asyncapi::document();
    after.iter().for_each(|event| assert_event_schema(&document, event));
    let new: Vec<&str> = after[before.len()..].iter().map(|event| event["eventType"].as_str().unwrap()).collect();
    assert_eq!(new, ["crm.customer.erased", "crm.contact.updated"]);
    for (resource, count) in [(&erased, 3), (&contact, 2)] {
        let about = about(&after, resource);
        assert_eq!(about.len(), count);
        for event in about {
            let resource = &event["data"]["resource"];
            assert_eq!(resource["name"], "erased", "{event}");
            for field in ["contactPhone", "contactEmail", "phone", "email"] {
                assert!(resource[field].is_null(), "{event}");
            }
        }
    }
    assert_eq!(about(&after, &other), about(&before, &other));
    assert_eq!(about(&after, &follow_up), about(&before, &follow_up));
    let wrong =
        "SELECT count(*) FROM outbox o JOIN feed_events f ON f.seq = o.seq WHERE f.bytes <> octet_length(o.data)";
    assert_eq!(scalar::<i64>(&service.database.connect().await, wrong).await, 0);
}

#[tokio::test]
async fn texts_of_follow_ups_are_erased_on_request_wherever_they_were() {
    let service = Service::start().await;
    let (erased, other) = (customer(&service, "Li Lei").await, customer(&service, "Another").await);
    let follow_up = async |customer: &str, content: &str| {
        service.follow_up(json!({ "customerId": customer, "content": content, "followUpType": "visit" })).await
    };
    let kept = follow_up(&other, "kept").await;
    let own = follow_up(&erased, "gone").await;
    // One that came from the other customer, one that went there, and one of each that is deleted since.
    let came = follow_up(&other, "gone").await;
    service.patch(&format!("/follow-ups/{came}"), json!({ "customerId": erased })).send().await.expect(200);
    let went = follow_up(&erased, "gone").await;
    let moved = json!({ "customerId": other, "content": "kept" });
    service.patch(&format!("/follow-ups/{went}"), moved).send().await.expect(200);
    for customer in [&erased, &other] {
        let deleted = follow_up(customer, "gone").await;
        service.patch(&format!("/follow-ups/{deleted}"), json!({ "customerId": erased })).send().await.expect(200);
        service.delete(&format!("/follow-ups/{deleted}")).send().await.expect(204);
    }

    let certificate = erase(&service, &erased, json!({ "followUps": "erase" })).await;
    assert_eq!((&certificate["counts"]["followUps"], &certificate["followUps"]), (&json!(2), &json!("erase")));
    assert!(certificate["completedAt"].is_string(), "{certificate}");
    for (follow_up, content) in [(&own, "erased"), (&came, "erased"), (&went, "kept"), (&kept, "kept")] {
        assert_eq!(service.read(&format!("/follow-ups/{follow_up}")).await["content"], content);
    }
    let events = events(&service).await;
    assert!(!json!(events).to_string().contains("gone"), "{events:?}");
    let document = asyncapi::document();
    events.iter().for_each(|event| assert_event_schema(&document, event));
    assert!(about(&events, &kept).iter().all(|event| event["data"]["resource"]["followUpType"] == "visit"));
    assert!(about(&events, &own).iter().all(|event| event["data"]["resource"]["followUpType"] == "erased"));
}

#[tokio::test]
async fn a_further_erasure_is_the_same_unless_there_is_new_data() {
    let service = Service::start().await;
    let erased = customer(&service, "Li Lei").await;
    let path = format!("/customers/{erased}/erasure");
    service.get(&path).send().await.expect(404);
    let first = erase(&service, &erased, json!({})).await;
    let again = async || service.post(&path, json!({})).send().await.expect(200).body;
    assert_eq!(again().await, first);
    // What holds no personal data changes nothing.
    let contact = contact(&service, &erased, "erased").await;
    let without = json!({ "phone": null, "email": null });
    service.patch(&format!("/contacts/{contact}"), without).send().await.expect(200);
    let second = erase(&service, &erased, json!({})).await;
    assert_ne!(second["erasureId"], first["erasureId"], "its first events had a phone number");
    service.patch(&format!("/contacts/{contact}"), json!({ "isPrimary": false })).send().await.expect(200);
    service.follow_up(json!({ "customerId": erased, "content": "Called" })).await;
    assert_eq!(again().await, second);

    service.patch(&format!("/customers/{erased}"), json!({ "name": "Li Lei" })).send().await.expect(200);
    let third = erase(&service, &erased, json!({})).await;
    // Written and deleted since: what is left of it is in the events.
    let gone = self::contact(&service, &erased, "Han Mei").await;
    service.delete(&format!("/contacts/{gone}")).send().await.expect(204);
    service.remove_deleted().await;
    let fourth = erase(&service, &erased, json!({})).await;
    assert_eq!(fourth["counts"], json!({ "customers": 0, "contacts": 0, "followUps": 0, "events": 2 }));
    let fifth = erase(&service, &erased, json!({ "followUps": "erase" })).await;
    assert_eq!(fifth["counts"]["followUps"], 1);
    assert_eq!(again().await, fifth, "it covers what is asked for");
    let ids = [&first, &second, &third, &fourth, &fifth].map(|certificate| certificate["erasureId"].as_str().unwrap());
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");

    service.delete(&format!("/customers/{erased}")).send().await.expect(204);
    service.post(&path, json!({})).send().await.expect(404);
    assert_eq!(service.read(&path).await, fifth, "the certificate stays");
    service.post(&format!("/customers/{UNKNOWN_ID}/erasure"), json!({})).send().await.expect(404);
}

#[tokio::test]
async fn a_large_erasure_goes_on_in_steps_and_hides_the_customer_at_once() {
    let service = Service::start().await;
    let erased = customer(&service, "Li Lei").await;
    for number in 0..230 {
        let body = json!({ "customerId": erased, "name": format!("Han Mei {number}"), "phone": "13987654321" });
        service.post("/contacts", body).send_unchecked().await.expect(201);
    }
    for number in 0..120 {
        let body = json!({ "customerId": erased, "content": format!("Called {number}") });
        service.post("/follow-ups", body).send_unchecked().await.expect(201);
    }
    // Each step of it fails from the first one behind the request's own on.
    let steps = service.app.database().steps();
    let connection = service.database.connect().await;
    // On SQLite, many statements are one step.
    let (first, every) = if on_postgres() { (320, 5) } else { (1, 1) };
    for failing in (first..).step_by(every) {
        steps.fail(failing..=u64::MAX, Failure::NotDone);
        let reply = service.post(&format!("/customers/{erased}/erasure"), json!({ "followUps": "erase" })).send().await;
        steps.stop_failing();
        if reply.status == 503 {
            assert_eq!(column::<String>(&connection, "SELECT actor FROM erasures").await, Vec::<String>::new());
            service.customer().await;
            // The request's own transaction has more steps.
            continue;
        }
        assert_eq!(reply.expect(201).body["completedAt"], Value::Null);
        break;
    }
    assert_eq!(service.read(&format!("/customers/{erased}")).await["name"], "erased");
    let certificate = service.read(&format!("/customers/{erased}/erasure")).await;
    assert_eq!(certificate["counts"], json!({ "customers": 1, "contacts": 200, "followUps": 120, "events": 0 }));
    service.customer().await;
    complete(&service).await;
    let certificate = service.read(&format!("/customers/{erased}/erasure")).await;
    assert_eq!(certificate["counts"], json!({ "customers": 1, "contacts": 230, "followUps": 120, "events": 351 }));
    assert!(certificate["completedAt"].is_string());
    for list in ["/contacts", "/follow-ups"] {
        let page = service.read(&format!("{list}?customerId={erased}&pageSize=100")).await;
        assert!(!page.to_string().contains("Han") && !page.to_string().contains("Called"), "{page}");
    }
    let left =
        "SELECT count(*) FROM outbox WHERE data LIKE '%Han Mei%' OR data LIKE '%Called%' OR data LIKE '%139****%'";
    assert_eq!(scalar::<i64>(&connection, left).await, 0);
    let entries = service.trail("resourceType=erasure").await;
    let summaries: Vec<&str> = entries.iter().map(|entry| entry["summary"].as_str().unwrap()).collect();
    assert_eq!(
        summaries,
        [
            format!("erased the personal data of customer {erased}: in 230 contacts, 120 follow-ups and 351 events"),
            format!("began to erase the personal data of customer {erased}"),
        ]
    );
}

#[tokio::test]
async fn erasures_that_wait_for_a_reader_let_writers_by() {
    const COUNT: u32 = 20;
    if on_postgres() {
        return;
    }
    let service = Service::start().await;
    let mut customers = Vec::new();
    for _ in 0..COUNT {
        customers.push(customer(&service, "Li Lei").await);
    }
    let reader = service.app.database().snapshot().await.unwrap();
    reader.execute_unprepared("SELECT count(*) FROM customers").await.unwrap();
    let ask = async |customer: &String| erase(&service, customer, json!({})).await;
    for certificate in join_all(customers.iter().map(ask)).await {
        assert!(certificate["completedAt"].is_null(), "{certificate}");
    }
    let (changes, mut log) = (service.app.changes(), LogEmptying::default());
    let rest = async |log: &mut LogEmptying| privacy::pending(changes, None, log).await.unwrap();
    // Those of their steps that their requests had no time for.
    let mut waits = false;
    while !waits {
        waits = true;
        for erasure in rest(&mut log).await {
            waits &= privacy::run(changes, &erasure, &mut log).await.unwrap() == ErasureStep::Waiting;
        }
    }
    let pending = rest(&mut log).await;
    let began = Instant::now();
    for erasure in &pending {
        assert_eq!(privacy::run(changes, erasure, &mut log).await.unwrap(), ErasureStep::Waiting);
    }
    // Where each had the writer wait for the reader, it would be 250 ms each.
    assert!(began.elapsed() < Duration::from_millis(125) * COUNT, "{:?}", began.elapsed());
    drop(reader);
    complete(&service).await;
    assert!(rest(&mut log).await.is_empty() && pending.len() == COUNT as usize);
}

#[tokio::test]
async fn a_killed_service_takes_its_erasure_up_again() {
    const COUNT: i64 = 1_000;
    let database = TestDatabase::new().await;
    let mut process = Process::start(&database);
    let client = async |process: &Process| process.client().await.scoped("crm:read crm:write crm:pii:erase");
    let mut first = client(&process).await;
    let body = json!({ "name": "Li Lei" });
    let customer = id(&first.call("POST", "/customers", "customer", &body).await.body, "customerId");
    let (numbers, new_id) = (numbers(COUNT), new_id());
    let fill = format!(
        "INSERT INTO follow_ups (tenant_id, follow_up_id, customer_id, content, follow_up_type, created_at, updated_at, \
         version) SELECT c.tenant_id, {new_id}, c.customer_id, 'Li Lei called', 'note', c.created_at, c.updated_at, 1 \
         FROM customers c CROSS JOIN ({numbers}) AS numbers"
    );
    let connection = database.connect().await;
    connection.execute_unprepared(&fill).await.unwrap();

    let path = format!("/customers/{customer}/erasure");
    let left = "SELECT count(*) FROM follow_ups WHERE content <> 'erased'";
    let body = json!({ "followUps": "erase" });
    let accepted = async || scalar::<i64>(&connection, "SELECT count(*) FROM erasures").await == 1;
    let kill = async {
        within(60, "the erasure is accepted", accepted).await;
        process.signal("-KILL");
    };
    let (_cut_off, ()) = tokio::join!(first.ask("POST", &path, "erasure", &body), kill);
    process.child.wait().unwrap();
    assert!(scalar::<i64>(&connection, left).await > 0, "nothing is left to do");

    process = Process::start(&database);
    let mut second = client(&process).await;
    within(300, "the erasure is complete", async || second.get(&path).await.body["completedAt"].is_string()).await;
    assert_eq!(second.get(&path).await.body["counts"]["followUps"], COUNT);
    assert_eq!(scalar::<i64>(&connection, left).await, 0);
    let events = "SELECT count(*) FROM outbox WHERE event_type = 'crm.followup.updated'";
    assert_eq!(scalar::<i64>(&connection, events).await, COUNT, "each was erased once");
}
