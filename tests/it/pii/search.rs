//! Finding customers and contacts by phone number or e-mail address.

use serde_json::{Value, json};

use crate::harness::{Service, fields, id, last_page};

/// The ids of what a filter finds; fails unless that is the total.
async fn found(service: &Service, list: &str, filter: &str) -> Vec<String> {
    let body = service.read(&format!("{list}?{filter}")).await;
    let key = if list == "/customers" { "customerId" } else { "contactId" };
    let ids: Vec<String> = fields(&body, key).into_iter().map(str::to_owned).collect();
    assert_eq!(body["total"], json!(ids.len()));
    ids
}

/// With encryption, the default, and without.
const CONFIGURATIONS: [&[(&str, &str)]; 2] = [&[], &[("CRM_PII_ENCRYPTION", "off")]];

async fn customer(service: &Service, body: Value) -> String {
    id(&service.create("/customers", body).await, "customerId")
}

async fn contact(service: &Service, customer: &str, phone: &str, email: &str) -> String {
    let body = json!({ "customerId": customer, "name": "x", "phone": phone, "email": email });
    id(&service.create("/contacts", body).await, "contactId")
}

#[tokio::test]
async fn any_spelling_of_a_phone_number_finds_it() {
    const SPELLINGS: [&str; 5] =
        ["013812345678", "%2B86%20138%201234%205678", "138-1234-5678", "008613812345678", "13812345678"];
    for variables in CONFIGURATIONS {
        let service = Service::with(variables).await;
        let mut customers = Vec::new();
        let mut contacts = Vec::new();
        for spelling in ["13812345678", "+86 138-1234-5678", "0086 138 1234 5678"] {
            customers.push(customer(&service, json!({ "name": "x", "contactPhone": spelling })).await);
            contacts.push(contact(&service, &customers[0], spelling, "a@b.cc").await);
        }
        let other = customer(&service, json!({ "name": "x", "contactPhone": "13812345679" })).await;
        contact(&service, &other, "13812345679", "b@b.cc").await;
        customers.reverse();
        contacts.reverse();
        for spelling in SPELLINGS {
            assert_eq!(
                found(&service, "/customers", &format!("contactPhone={spelling}")).await,
                customers,
                "{spelling}"
            );
            assert_eq!(found(&service, "/contacts", &format!("phone={spelling}")).await, contacts, "{spelling}");
        }
        assert_eq!(found(&service, "/customers", "contactPhone=138-1234-5679").await, [other]);
    }
}

#[tokio::test]
async fn an_email_is_found_in_any_letter_case() {
    for variables in CONFIGURATIONS {
        let service = Service::with(variables).await;
        let customer = customer(&service, json!({ "name": "x", "contactEmail": "Li.Lei@Example.COM" })).await;
        let contact = contact(&service, &customer, "110", "Émile@例子.公司").await;
        for spelling in ["li.lei@example.com", "LI.LEI@EXAMPLE.COM", "Li.Lei@Example.COM"] {
            assert_eq!(
                found(&service, "/customers", &format!("contactEmail={spelling}")).await,
                std::slice::from_ref(&customer)
            );
        }
        for spelling in
            ["%C3%A9mile@%E4%BE%8B%E5%AD%90.%E5%85%AC%E5%8F%B8", "%C3%89MILE@%E4%BE%8B%E5%AD%90.%E5%85%AC%E5%8F%B8"]
        {
            assert_eq!(
                found(&service, "/contacts", &format!("email={spelling}")).await,
                std::slice::from_ref(&contact)
            );
        }
    }
}

#[tokio::test]
async fn partial_cleared_and_former_values_find_nothing() {
    for variables in CONFIGURATIONS {
        let service = Service::with(variables).await;
        let body = json!({ "name": "x", "contactPhone": "13812345678", "contactEmail": "alice@example.com" });
        let customer = customer(&service, body).await;
        for filter in [
            "contactPhone=138",
            "contactPhone=1381234567",
            "contactPhone=138123456780",
            "contactPhone=%2B1%2013812345678",
            "contactEmail=alice@example.co",
            "contactEmail=alic@example.com",
            "contactEmail=lice@example.com",
            "contactPhone=13812345678&contactEmail=bob@example.com",
        ] {
            assert_eq!(found(&service, "/customers", filter).await, Vec::<String>::new(), "{filter}");
        }
        let both = "contactPhone=13812345678&contactEmail=alice@example.com";
        assert_eq!(found(&service, "/customers", both).await, std::slice::from_ref(&customer));
        let path = format!("/customers/{customer}");
        service.patch(&path, json!({ "contactPhone": "13900001111", "contactEmail": null })).send().await.expect(200);
        for (filter, finds) in [
            ("contactPhone=13812345678", false),
            ("contactEmail=alice@example.com", false),
            ("contactPhone=13900001111", true),
        ] {
            assert_eq!(found(&service, "/customers", filter).await.len(), usize::from(finds), "{filter}");
        }
    }
}

#[tokio::test]
async fn a_search_is_paged_filtered_by_customer_and_kept_to_the_tenant() {
    for variables in CONFIGURATIONS {
        let service = Service::with(variables).await;
        let (one, two) = (service.customer().await, service.customer().await);
        let mut made = Vec::new();
        for _ in 0..5 {
            made.push(contact(&service, &one, "13812345678", "a@b.cc").await);
            contact(&service, &two, "13812345678", "a@b.cc").await;
            contact(&service, &one, "13900001111", "b@b.cc").await;
        }
        made.reverse();
        for filter in ["phone=13812345678", "email=a@b.cc", "phone=13812345678&email=A@B.cc"] {
            assert_eq!(found(&service, "/contacts", filter).await.len(), 10);
            assert_eq!(found(&service, "/contacts", &format!("{filter}&customerId={one}")).await, made);
            let mut paged = Vec::new();
            for page in 1..=4 {
                let path = format!("/contacts?{filter}&customerId={one}&pageSize=2&page={page}");
                let page = service.read(&path).await;
                assert_eq!(page["total"], 5);
                paged.extend(fields(&page, "contactId").into_iter().map(str::to_owned));
            }
            assert_eq!(paged, made);
            let other_tenant = service.get(&format!("/contacts?{filter}")).tenant("other").send().await.expect(200);
            assert_eq!(other_tenant.body, last_page(0, vec![]));
        }
        let body = json!({ "name": "x", "contactPhone": "13812345678" });
        let own = service.post("/customers", body).tenant("other").send().await.expect(201).body;
        assert_eq!(found(&service, "/customers", "contactPhone=13812345678").await, Vec::<String>::new());
        let list = service.get("/customers?contactPhone=%2B8613812345678").tenant("other").send().await.expect(200);
        assert_eq!(list.body["data"], json!([own]));
    }
}

#[tokio::test]
async fn a_malformed_phone_or_email_parameter_is_400_by_name() {
    for variables in CONFIGURATIONS {
        let service = Service::with(variables).await;
        for (list, phone, email) in [("/customers", "contactPhone", "contactEmail"), ("/contacts", "phone", "email")] {
            for wrong in ["", "%20", "1381234567%00", "138123%0A4567", "138123%C2%854567", &"1".repeat(33)] {
                let reply = service.get(&format!("{list}?{phone}={wrong}")).send().await;
                reply.refused(400, &format!("{phone}: must be a phone number"));
            }
            for masked in ["138****5678", "%2B86%20138****5678"] {
                service
                    .get(&format!("{list}?{phone}={masked}"))
                    .send()
                    .await
                    .refused(400, &format!("{phone}: is masked"));
            }
            let masked = format!("{list}?{email}=a***@b.com");
            service.get(&masked).send().await.refused(400, &format!("{email}: is masked"));
            for wrong in ["", "%20", "a%00@b.com", "a@b%0D.com", &format!("{}@b.com", "a".repeat(249))] {
                let reply = service.get(&format!("{list}?{email}={wrong}")).send().await;
                reply.refused(400, &format!("{email}: must be an e-mail address"));
            }
            // The rules of what may be stored were others once.
            for old in ["1", "call%20me", "---", "%E4%B8%80%E4%B8%89%E5%85%AB", "13800000000/13900000000"] {
                assert_eq!(service.read(&format!("{list}?{phone}={old}")).await["total"], 0, "{old}");
            }
            for old in ["a", "a@b", "a@@b.com", "a%20b@c.com", "a%E2%80%8Bb@c.de", "x@my_host.com"] {
                assert_eq!(service.read(&format!("{list}?{email}={old}")).await["total"], 0, "{old}");
            }
            let twice = format!("{list}?{phone}=13812345678&{phone}=13812345678");
            service.get(&twice).send().await.refused(400, &format!("{phone}: must be sent once"));
        }
    }
}

/// What the trail says of searches; readings are queued beside the requests.
async fn searches(service: &Service) -> Vec<String> {
    service.app.audit_queue().flush(service.app.database()).await.unwrap();
    let entries = service.trail("action=read").await;
    let summaries = entries.iter().map(|entry| entry["summary"].as_str().unwrap().to_owned());
    summaries.filter(|summary| summary.starts_with("found")).collect()
}

#[tokio::test]
async fn a_masked_value_cannot_be_walked_by_searching() {
    let service = Service::start().await;
    let with_both = json!({ "name": "x", "contactPhone": "13812345678", "contactEmail": "a@b.cc" });
    let customer = customer(&service, with_both).await;
    contact(&service, &customer, "13812345678", "a@b.cc").await;
    let reader = json!({ "scope": "crm:read crm:write" });
    let shown = service.get(&format!("/customers/{customer}")).claims(reader.clone()).send().await.expect(200).body;
    assert_eq!(shown["contactPhone"], "138****5678");
    for (list, phone, email) in [("/customers", "contactPhone", "contactEmail"), ("/contacts", "phone", "email")] {
        // The right value, a wrong one, and one behind a filter or on a page that show nothing: all the same.
        for (field, query) in [
            (phone, format!("{phone}=13812345678")),
            (phone, format!("{phone}=13800005678")),
            (phone, format!("{phone}=abc")),
            (email, format!("{email}=a@b.cc")),
            (phone, format!("{email}=a@b.cc&{phone}=13812345678&page=7")),
        ] {
            let reply = service.get(&format!("{list}?{query}")).claims(reader.clone()).send().await;
            let reply = reply.refused(403, &format!("{field}: searching by it needs the scope crm:pii:read"));
            assert!(!reply.text.contains("5678") && !reply.text.contains("b.cc"), "{}", reply.text);
        }
        service.get(list).claims(reader.clone()).send().await.expect(200);
    }
    assert_eq!(searches(&service).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_search_that_finds_is_in_the_trail_without_its_value() {
    let service = Service::start().await;
    let phone = json!({ "name": "x", "contactPhone": "13812345678" });
    let one = customer(&service, phone.clone()).await;
    contact(&service, &one, "13812345678", "a@b.cc").await;
    for nothing in ["/customers?contactPhone=13812345679", "/contacts?email=b@b.cc", "/customers", "/contacts?page=2"] {
        service.get(nothing).send().await.expect(200);
    }
    assert_eq!(searches(&service).await, Vec::<String>::new());
    service.get("/customers?contactPhone=13812345678").send().await.expect(200);
    assert_eq!(searches(&service).await, ["found the customer in clear, by contactPhone"]);
    let of_customer = service.trail(&format!("action=read&resourceId={one}")).await;
    assert!(of_customer.iter().any(|entry| entry["changes"][0]["field"] == "contactPhone"), "{of_customer:?}");
    // What a page past the end says of the total confirms too.
    service.get("/contacts?phone=13812345678&email=A@b.cc&page=9").send().await.expect(200);
    let two = customer(&service, phone).await;
    service.get("/customers?contactPhone=%2B8613812345678").send().await.expect(200);
    let found = searches(&service).await;
    assert_eq!(
        found[..2],
        [
            format!("found 2 of the customers in clear, by contactPhone: {two}, {one}"),
            "found 1 of the contacts in clear, by phone and email".to_owned(),
        ]
    );
    let trail = service.trail("").await;
    assert!(trail.iter().all(|entry| !entry.to_string().contains("12345678")), "{trail:?}");
}

#[tokio::test]
async fn where_display_is_clear_every_reader_may_search() {
    let service = Service::with(&[("CRM_PII_DISPLAY", "clear")]).await;
    customer(&service, json!({ "name": "x", "contactPhone": "13812345678" })).await;
    let call = service.get("/customers?contactPhone=13812345678").claims(json!({ "scope": "crm:read" }));
    assert_eq!(call.send().await.expect(200).body["data"][0]["contactPhone"], "13812345678");
    assert_eq!(searches(&service).await, ["found the customer in clear, by contactPhone"]);
}
