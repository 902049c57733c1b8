//! Masking: what is shown to whom, and that masked values are not accepted.

use crm::pii::mask;
use serde_json::{Value, json};

use crate::harness::{Service, id};

async fn customer(service: &Service) -> Value {
    let body = json!({ "name": "x", "contactPhone": "+86 138-1234-5678", "contactEmail": "alice@b.com" });
    service.create("/customers", body).await
}

#[tokio::test]
async fn personal_data_is_clear_with_the_scope_and_masked_without() {
    let service = Service::start().await;
    let customer = customer(&service).await;
    assert_eq!(customer["contactPhone"], "+86 138-1234-5678");
    let path = format!("/customers/{}", id(&customer, "customerId"));
    for claims in [json!({ "scope": "crm:read crm:write" }), json!({ "scope": "crm:read" }), json!({})] {
        let shown = service.get(&path).claims(claims.clone()).send().await.expect(200).body;
        assert_eq!((&shown["contactPhone"], &shown["contactEmail"]), (&json!("+86 138****5678"), &json!("a***@b.com")));
        let list = service.get("/customers").claims(claims).send().await.expect(200).body;
        assert_eq!(list["data"][0], shown);
    }
    let clear = service.get(&path).claims(json!({ "scope": "crm:read crm:pii:read" })).send().await.expect(200).body;
    assert_eq!(clear, customer);
}

#[tokio::test]
async fn with_clear_display_nothing_is_masked() {
    let service = Service::with(&[("CRM_PII_DISPLAY", "clear")]).await;
    let customer = customer(&service).await;
    let list = service.get("/customers").claims(json!({ "scope": "crm:read" })).send().await.expect(200).body;
    assert_eq!(list["data"][0], customer);
}

#[tokio::test]
async fn a_masked_value_sent_back_is_400_and_never_stored() {
    let service = Service::start().await;
    let customer = customer(&service).await;
    let path = format!("/customers/{}", id(&customer, "customerId"));
    let masked = service.get(&path).claims(json!({ "scope": "crm:read" })).send().await.expect(200).body;
    for field in ["contactPhone", "contactEmail"] {
        let refused = service.patch(&path, json!({ field: masked[field] })).send().await;
        refused.refused(400, &format!("{field}: is masked; send the "));
    }
    assert_eq!(service.read(&path).await, customer);
}

#[tokio::test]
async fn a_refused_value_is_not_repeated_in_the_error() {
    let service = Service::start().await;
    for (field, canary) in [("contactPhone", "canary-13800138000-canary"), ("contactEmail", "canary@nowhere")] {
        let reply = service.post("/customers", json!({ "name": "x", field: canary })).send().await.expect(400);
        assert!(!reply.text.contains("canary"), "{}", reply.text);
    }
}

#[test]
fn a_masked_phone_shows_its_ends_and_a_short_one_less() {
    for (clear, masked) in [
        ("13812345678", "138****5678"),
        ("+86 138-1234-5678", "+86 138****5678"),
        ("+1 (212) 555-0123", "+1 21****23"),
        ("+44 20 7946 0958", "+44 20****58"),
        ("+353 1 234 56789", "+353 12****89"),
        ("+86 12345", "+****5"),
        ("+1", "+****"),
        ("+1-608-271-9000-x11", "+1 60****00"),
        ("010-12345678转801", "010****5678"),
        ("(+86)138 1234 5678", "+86 138****5678"),
        ("#100#", "****"),
        ("1234567", "****7"),
        ("010-12345678", "010****5678"),
        ("12345678", "12****78"),
        ("12345", "****5"),
        ("110", "****"),
        ("ext", "****"),
    ] {
        assert_eq!(mask::phone(clear), masked);
    }
}

#[test]
fn a_masked_email_shows_its_first_letter_and_domain() {
    for (clear, masked) in
        [("alice@b.com", "a***@b.com"), ("a@b.com", "***@b.com"), ("李雷@例子.公司", "李***@例子.公司")]
    {
        assert_eq!(mask::email(clear), masked);
    }
}
