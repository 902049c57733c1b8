//! A copy of all that is kept about a customer.

use std::time::Duration;

use futures_util::StreamExt;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::harness::{
    AMPLE, Process, Service, StoredPii, TestDatabase, UNKNOWN_ID, id, on_postgres,
    sql::{new_id, numbers},
};

async fn customer(service: &Service) -> String {
    let body = json!({ "name": "Li Lei", "contactPhone": "13812345678", "contactEmail": "li@lei.example" });
    id(&service.create("/customers", body).await, "customerId")
}

/// The items of a list about the customer, oldest first.
async fn listed(service: &Service, list: &str, customer: &str) -> Vec<Value> {
    let mut items = Vec::new();
    for page in 1.. {
        let list = service.read(&format!("{list}?customerId={customer}&pageSize=100&page={page}")).await;
        let data = list["data"].as_array().unwrap().clone();
        if data.is_empty() {
            break;
        }
        items.extend(data);
    }
    items.reverse();
    items
}

#[tokio::test]
async fn an_export_holds_all_about_the_customer_and_nothing_else() {
    let service = Service::start().await;
    let (one, other) = (customer(&service).await, customer(&service).await);
    for customer in [&one, &other] {
        for number in 0..60 {
            // Some of them in the same instant.
            service.advance(number % 2);
            let phone = format!("1398765{number:04}");
            let body = json!({ "customerId": customer, "name": format!("Han Mei {number}"), "phone": phone });
            service.post("/contacts", body).send_unchecked().await.expect(201);
            service.follow_up(json!({ "customerId": customer, "content": format!("Called\n{number}") })).await;
        }
        service.opportunity(customer).await;
    }
    let deleted = service.contact(&one).await;
    service.delete(&format!("/contacts/{deleted}")).send().await.expect(204);

    let reply = service.get(&format!("/customers/{one}/export")).send().await.expect(200);
    assert_eq!(reply.header("Content-Disposition"), format!("attachment; filename=\"customer-{one}.json\""));
    let export = &reply.body;
    assert_eq!(export["customer"], service.read(&format!("/customers/{one}")).await);
    assert_eq!(export["customer"]["contactPhone"], "13812345678");
    for (field, list) in [("contacts", "/contacts"), ("opportunities", "/opportunities"), ("followUps", "/follow-ups")]
    {
        assert_eq!(export[field].as_array().unwrap(), &listed(&service, list, &one).await, "{field}");
    }
    let names: Vec<&String> = export.as_object().unwrap().keys().collect();
    assert_eq!(names, ["exportedAt", "tenantId", "customer", "contacts", "opportunities", "followUps"]);

    let empty = service.customer().await;
    let export = service.read(&format!("/customers/{empty}/export")).await;
    assert_eq!([&export["contacts"], &export["opportunities"], &export["followUps"]], [&json!([]); 3]);
}

#[tokio::test]
async fn an_export_needs_clear_sight_and_is_noted_in_the_trail() {
    let service = Service::start().await;
    let customer = customer(&service).await;
    let path = format!("/customers/{customer}/export");
    let reader = service.get(&path).claims(json!({ "scope": "crm:read crm:pii:erase" }));
    reader.send().await.refused(403, "the answer shows personal data in clear, which needs the scope crm:pii:read");
    service.get(&format!("/customers/{UNKNOWN_ID}/export")).send().await.expect(404);
    service.get(&path).send().await.expect(200);
    service.app.audit_queue().flush(service.app.database()).await.unwrap();
    let read = service.trail("action=read").await;
    let summaries: Vec<&str> = read.iter().map(|entry| entry["summary"].as_str().unwrap()).collect();
    assert_eq!(summaries, ["exported the customer in clear, with its contacts, opportunities and follow-ups"]);
    assert_eq!((&read[0]["resourceId"], &read[0]["actor"]), (&json!(customer), &json!("tester")));

    let shown = Service::with(&[("CRM_PII_DISPLAY", "clear")]).await;
    let customer = self::customer(&shown).await;
    let call = shown.get(&format!("/customers/{customer}/export")).claims(json!({ "scope": "crm:read" }));
    assert_eq!(call.send().await.expect(200).body["customer"]["contactPhone"], "13812345678");
}

#[tokio::test]
async fn an_export_that_cannot_go_on_breaks_off_visibly() {
    let service = Service::start().await;
    let customer = customer(&service).await;
    let mut last = String::new();
    for number in 0..130 {
        let body = json!({ "customerId": customer, "name": format!("Han Mei {number}"), "phone": "13987654321" });
        last = id(&service.post("/contacts", body).send_unchecked().await.expect(201).body, "contactId");
    }
    let phone = StoredPii::new("contacts", "phone", &last);
    phone.write(&service.database.connect().await, "*test:AAAA").await;
    let (response, text) = service.get(&format!("/customers/{customer}/export")).stream().await;
    assert_eq!(response.status(), 200);
    assert!(text.is_err(), "{text:?}");
    // One that cannot even begin is an error like any other.
    let own = StoredPii::new("customers", "contact_phone", &customer);
    own.write(&service.database.connect().await, "*test:AAAA").await;
    service.get(&format!("/customers/{customer}/export")).send().await.expect(500);
}

#[tokio::test]
async fn an_export_goes_on_while_its_reader_takes_what_there_is() {
    let service = Service::start().await;
    let customer = customer(&service).await;
    for number in 0..130 {
        let body = json!({ "customerId": customer, "name": format!("Han Mei {number}") });
        service.post("/contacts", body).send_unchecked().await.expect(201);
    }
    let mut parts = service.get(&format!("/customers/{customer}/export")).reply_body().await.into_bytes_stream();
    let mut export = Vec::new();
    // Longer in all than a request may take.
    for _ in 0..2 {
        export.extend(parts.next().await.unwrap().unwrap());
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    while let Some(part) = parts.next().await {
        export.extend(part.unwrap());
    }
    let export: Value = serde_json::from_slice(&export).unwrap();
    assert_eq!(export["contacts"].as_array().unwrap().len(), 130);
}

#[tokio::test]
async fn more_exports_than_may_be_at_once_are_429() {
    let service = Service::start().await;
    let customer = customer(&service).await;
    let path = format!("/customers/{customer}/export");
    let at_once = u32::try_from(service.app.exports().available_permits()).unwrap();
    assert!((at_once as usize) < service.app.database().reads_of_a_tenant(), "a tenant's exports leave it no reader");
    let places = service.app.exports().clone().acquire_many_owned(at_once).await.unwrap();
    let reply = service.get(&path).send().await.expect(429);
    assert_eq!(reply.header("Retry-After"), "1");
    drop(places);
    service.get(&path).send().await.expect(200);
    let ended = service.app.exports().acquire_many(at_once);
    drop(tokio::time::timeout(AMPLE, ended).await.expect("an export keeps its place").unwrap());
}

/// The most memory that a process has had so far, in KiB.
fn peak(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

#[tokio::test]
async fn an_export_of_20000_follow_ups_takes_no_memory_of_their_size() {
    const COUNT: usize = 20_000;
    const BYTES: usize = 4_000;
    let database = TestDatabase::new().await;
    let process = Process::at(&database.url(), &[("CRM_PII_DISPLAY", "clear")]);
    let mut client = process.client().await;
    let body = json!({ "name": "Li Lei" });
    let customer = id(&client.call("POST", "/customers", "customer", &body).await.body, "customerId");
    let (numbers, new_id) = (numbers(COUNT), new_id());
    let text = match on_postgres() {
        true => format!("repeat('x', {BYTES})"),
        false => format!("hex(zeroblob({}))", BYTES / 2),
    };
    let fill = format!(
        "INSERT INTO follow_ups (tenant_id, follow_up_id, customer_id, content, follow_up_type, created_at, updated_at, \
         version) SELECT c.tenant_id, {new_id}, c.customer_id, {text}, 'note', c.created_at, c.updated_at, 1 \
         FROM customers c CROSS JOIN ({numbers}) AS numbers"
    );
    database.connect().await.execute_unprepared(&fill).await.unwrap();
    // What it takes to answer at all.
    client.get("/follow-ups?pageSize=100").await;
    let before = peak(&process);
    // It may take longer than other requests.
    let export = client.ask("GET", &format!("/customers/{customer}/export"), "export", &Value::Null).await.unwrap();
    let grown = peak(&process) - before;
    let follow_ups = export.body["followUps"].as_array().map_or(0, Vec::len);
    eprintln!("an export of {} MiB took {} MiB", (COUNT * BYTES) >> 20, grown >> 10);
    assert_eq!((export.status, follow_ups), (200, COUNT));
    assert!(grown < 32 << 10, "{grown} KiB");
}
