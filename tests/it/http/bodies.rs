//! Request bodies: what each field accepts, and that the contract says the same.

use crm::{
    customers::{CustomerCreate, CustomerUpdate},
    follow_ups::FollowUpCreate,
    opportunities::OpportunityUpdate,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness::{Contract, Service, id};

#[tokio::test]
async fn lengths_are_counted_in_characters_after_trimming() {
    let service = Service::start().await;
    for name in ["x".repeat(200), "界".repeat(200), format!("  {}\t\n", "😀".repeat(200)), "x".to_owned()] {
        let customer = service.create("/customers", json!({ "name": name })).await;
        assert_eq!(customer["name"], name.trim());
        assert_eq!(service.read(&format!("/customers/{}", id(&customer, "customerId"))).await, customer);
    }
    for name in ["x".repeat(201), "界".repeat(201), String::new(), "   ".to_owned(), "\u{3000}\u{a0}".to_owned()] {
        service
            .post("/customers", json!({ "name": name }))
            .send()
            .await
            .refused(400, "name: must be 1 to 200 characters");
    }
    let content = "x".repeat(10_000);
    service.post("/follow-ups", json!({ "content": content })).send().await.expect(201);
    service
        .post("/follow-ups", json!({ "content": content + "x" }))
        .send()
        .await
        .refused(400, "content: must be 1 to 10000");
    let long_type = json!({ "content": "x", "followUpType": "x".repeat(51) });
    service.post("/follow-ups", long_type).send().await.refused(400, "followUpType: must be 1 to 50");
}

#[tokio::test]
async fn control_characters_are_400_except_line_breaks_and_tabs_in_content() {
    let service = Service::start().await;
    for control in ['\0', '\u{7}', '\u{1b}', '\u{7f}', '\u{85}', '\u{9f}'] {
        let text = format!("a{control}b");
        service.post("/customers", json!({ "name": text })).send().await.refused(400, "name: ");
        service.post("/follow-ups", json!({ "content": text })).send().await.refused(400, "content: ");
    }
    for allowed in ["a\nb", "a\r\nb", "a\tb"] {
        service.post("/customers", json!({ "name": allowed })).send().await.refused(400, "name: ");
        assert_eq!(service.create("/follow-ups", json!({ "content": allowed })).await["content"], allowed);
    }
}

#[tokio::test]
async fn an_implausible_phone_or_email_is_400() {
    let service = Service::start().await;
    for phone in ["110", "13812345678", "+86 (0)10-1234.5678 ext 9", "#100#", "1".repeat(32).as_str(), " 110 "] {
        let made = service.create("/customers", json!({ "name": "x", "contactPhone": phone })).await;
        assert_eq!(made["contactPhone"], phone.trim());
    }
    for phone in ["", "11", "---", "phone", "1".repeat(33).as_str(), "12\n34"] {
        let body = json!({ "name": "x", "contactPhone": phone });
        service.post("/customers", body).send().await.refused(400, "contactPhone: must be a phone number");
    }
    let label = "b".repeat(63);
    let longest = format!("{}@{label}.{label}.{}.com", "a".repeat(64), "b".repeat(57));
    for email in ["a@b.cn", "李雷@例子.公司", "o'neil+crm@a-b.c.d", longest.as_str()] {
        let made = service.create("/customers", json!({ "name": "x", "contactEmail": email })).await;
        assert_eq!(made["contactEmail"], email);
    }
    let too_long = format!("a{longest}");
    for email in ["", "a", "@b.c", "a@b", "a@@b.c", "a@b@c.d", "a b@c.d", "a@.b", "a@b.", too_long.as_str()] {
        let body = json!({ "name": "x", "contactEmail": email });
        service.post("/customers", body).send().await.refused(400, "contactEmail: must be an e-mail address");
    }
}

#[tokio::test]
async fn a_repeated_field_is_400() {
    let service = Service::start().await;
    let twice = r#"{"name": "one", "name": "two"}"#;
    service.post("/customers", json!({})).body(twice).send().await.refused(400, "duplicate field `name`");
}

#[tokio::test]
async fn a_value_of_another_type_is_400_and_never_converted() {
    let service = Service::start().await;
    for wrong in [json!(5), json!(true), json!(["x"])] {
        service.post("/customers", json!({ "name": wrong })).send().await.refused(400, "name: must be a string");
    }
    let customer = service.customer().await;
    for wrong in [json!("true"), json!(1), json!(null)] {
        let body = json!({ "customerId": customer, "name": "x", "isPrimary": wrong });
        service.post("/contacts", body).send().await.refused(400, "isPrimary: must ");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_even_without_content_length() {
    let service = Service::with(&[("CRM_BODY_LIMIT", "1024")]).await;
    let fits = json!({ "content": "x".repeat(1000) });
    service.post("/follow-ups", fits).send().await.expect(201);
    let large = json!({ "content": "x".repeat(1100) }).to_string();
    let chunks = large.as_bytes().chunks(100).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect::<Vec<_>>();
    let stream = poem::Body::from_bytes_stream(futures_util::stream::iter(chunks));
    service.post("/follow-ups", json!({})).body(stream).send().await.refused(413, "1024 bytes");
}

/// Text at the limits of what is accepted.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,12}",
        "[ \\t\\n\\r\u{0}\u{1f}\u{7f}\u{85}\u{a0}\u{1680}\u{2028}\u{3000}\u{feff}ab]{0,6}",
        "[0-9 +().#ext*-]{0,36}",
        "[a-c@.* \u{a0}é]{0,12}",
    ]
    .prop_map(|text| text.trim().to_owned())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// The patterns and lengths of the contract, for trimmed text. What is accepted is documented; beyond that, a pattern may
    /// match what only words can exclude: of names and texts, nothing that is ASCII.
    #[test]
    fn contract_and_service_accept_the_same_text(text in text()) {
        let contract = Contract::emitted();
        for (schema, field, accepted, is_exact) in [
            ("CustomerCreate", "name", serde_json::from_value::<CustomerCreate>(json!({ "name": text })).is_ok(), true),
            ("CustomerCreate", "contactPhone",
             serde_json::from_value::<CustomerCreate>(json!({ "name": "x", "contactPhone": text })).is_ok(), false),
            ("CustomerCreate", "contactEmail",
             serde_json::from_value::<CustomerCreate>(json!({ "name": "x", "contactEmail": text })).is_ok(), false),
            ("FollowUpCreate", "content",
             serde_json::from_value::<FollowUpCreate>(json!({ "content": text })).is_ok(), true),
            ("FollowUpCreate", "followUpType",
             serde_json::from_value::<FollowUpCreate>(json!({ "content": "x", "followUpType": text })).is_ok(), true),
            ("OpportunityUpdate", "title",
             serde_json::from_value::<OpportunityUpdate>(json!({ "title": text })).is_ok(), true),
        ] {
            let documented = contract.violations(&contract.schema(schema)["properties"][field], &json!(text)).is_empty();
            prop_assert!(documented || !accepted, "{}.{} of {:?} is accepted", schema, field, text);
            if is_exact && text.is_ascii() {
                prop_assert_eq!(documented, accepted, "{}.{} of {:?}", schema, field, text);
            }
        }
    }
}

/// A field of a PATCH: absent, null or a value.
fn three_state() -> impl Strategy<Value = Option<Option<String>>> {
    prop::option::of(prop::option::of("[0-9]{3,8}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Against a model: an absent field is kept, null clears it or is refused, and a refused body changes nothing.
    #[test]
    fn a_patch_field_is_kept_cleared_or_set(patches in prop::collection::vec((three_state(), three_state()), 1..10)) {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let service = Service::start().await;
            let path = format!("/customers/{}", service.customer().await);
            let (mut name, mut phone) = (json!("Acme"), Value::Null);
            for (to_name, to_phone) in patches {
                let mut body = json!({});
                if let Some(name) = &to_name { body["name"] = json!(name); }
                if let Some(phone) = &to_phone { body["contactPhone"] = json!(phone); }
                assert_eq!(serde_json::from_value::<CustomerUpdate>(body.clone()).is_ok(), to_name != Some(None));
                let clears_name = to_name == Some(None);
                service.patch(&path, body).send().await.expect(if clears_name { 400 } else { 200 });
                if !clears_name {
                    if let Some(to_name) = to_name { name = json!(to_name); }
                    if let Some(to_phone) = to_phone { phone = json!(to_phone); }
                }
                let now = service.read(&path).await;
                assert_eq!((&now["name"], &now["contactPhone"]), (&name, &phone));
            }
        });
    }
}
