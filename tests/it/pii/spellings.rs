//! Phone numbers in every spelling: what finds them.

use crm::pii::{Email, Phone};
use proptest::prelude::*;
use serde_json::json;

use crate::harness::{Service, id};

/// Every byte percent-encoded, so that nothing in it has a meaning for the query.
pub fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// What is stored, what finds it, and what does not.
pub type Spellings = (&'static str, &'static [&'static str], &'static [&'static str]);

const FOUND_PHONES: &[Spellings] = &[
    (
        "+1-608-271-9000-x11",
        &[
            "+16082719000",
            "+1 (608) 271-9000",
            "001 608 271 9000",
            "+1-608-271-9000-x11",
            "+16082719000x11",
            "+1 608 271 9000 ext. 11",
            "+1 608 271 9000 EXT 11",
            "+1.608.271.9000#11",
            "+1 608 271 9000 转 11",
            "＋１ ６０８ ２７１ ９０００ ｘ１１",
            "\u{202a}+16082719000\u{202c}",
        ],
        &["+16082719000x12", "+16082719000x1", "+1608271900011", "+16082719001", "+4416082719000"],
    ),
    ("+16082719000", &["+1 608 271 9000", "+1608-271-9000"], &["+16082719000x11"]),
    (
        "010-12345678转801",
        &["+86 10 12345678", "01012345678", "010-12345678 ext 801", "+861012345678x801"],
        &["01012345678801", "01012345678x80"],
    ),
    ("01012345678", &["+86 (0)10 1234 5678", "+86-10-12345678", "0086 10 12345678", "(010)12345678"], &["12345678"]),
    (
        "13812345678",
        &[
            "+86 138 1234 5678",
            "8613812345678",
            "(+86)13812345678",
            "+86-138.1234/5678",
            "138+1234+5678",
            "１３８１２３４５６７８",
            "١٣٨١٢٣٤٥٦٧٨",
            "138\u{a0}1234\u{a0}5678",
            "138—1234—5678",
        ],
        &["1381234567", "138123456780", "+113812345678", "+13812345678", "13812345679"],
    ),
    (
        "021-6666-8888-12",
        &["02166668888", "021-66668888 x12", "+86 21 6666 8888", "+86-21-6666-8888-12", "021-6666-8888 - 12"],
        &["02166668888x13", "021-6666-8888-1"],
    ),
    ("010-12345678-801", &["01012345678", "01012345678x801", "010-12345678转801"], &["01012345678x80"]),
    ("+1-608-271-9000-11", &["+16082719000", "+16082719000x11"], &["+16082719000x1"]),
    ("400-820-5555-801", &["4008205555", "400-8205555 转 801"], &[]),
    ("0086-138-1234-5678", &["13812345678", "86-138-1234-5678"], &["0086-138-1234"]),
    ("07911/123456", &["07911 123456", "07911123456"], &["+447911123456"]),
    (
        "+44 (0)20 7946 0958",
        &["+442079460958", "0044 20 7946 0958", "442079460958", "+44 020 7946 0958"],
        &["02079460958"],
    ),
    ("442079460958", &["+442079460958", "+44 20 7946 0958", "442079460958"], &["2079460958"]),
    ("0044 20 7946 0958", &["+442079460958", "442079460958"], &[]),
    ("+86-1-3812345678", &["13812345678", "+8613812345678"], &[]),
    // No country has these codes: they are found by their digits.
    ("+999 123 456", &["+999123456", "999123456", "+999-123-456"], &["+86999123456"]),
    ("+0 12345 x6", &["012345x6", "+012345", "0-12345", "012345 ext 6"], &["012345x7"]),
    (
        "11111111111111111111111111111111",
        &["１１１１１１１１１１１１１１１１１１１１１１１１１１１１１１１１"],
        &["1111111111111111111111111111111"],
    ),
    ("110", &["110", "1-1-0", "+86 110"], &["1100"]),
    ("#100#", &["100", "#100#", "１００"], &["1000"]),
];

/// Stores each value in a tenant of its own, and fails unless it is found and not found.
pub async fn assert_found(service: &Service, (stored_in, searched_by): (&str, &str), table: &[Spellings]) {
    for (number, (stored, found, missed)) in table.iter().enumerate() {
        let tenant = format!("{stored_in}-{number}");
        let body = json!({ "name": "x", stored_in: stored });
        let made = service.post("/customers", body).tenant(&tenant).send().await.expect(201).body;
        let in_contact = json!({ "customerId": made["customerId"], "name": "x", searched_by: stored });
        let contact = service.post("/contacts", in_contact).tenant(&tenant).send().await.expect(201).body;
        for (spellings, total) in [(*found, 1), (*missed, 0), (&[*stored][..], 1)] {
            for spelling in spellings {
                let path = format!("/customers?{stored_in}={}", encoded(spelling));
                let list = service.get(&path).tenant(&tenant).send().await.expect(200).body;
                assert_eq!(list["total"], json!(total), "stored {stored:?}, searched {spelling:?}: {list}");
                let path = format!("/contacts?{searched_by}={}", encoded(spelling));
                let list = service.get(&path).tenant(&tenant).send().await.expect(200).body;
                assert_eq!(list["total"], json!(total), "stored {stored:?}, searched {spelling:?}");
                let expected = if total == 1 { json!([contact]) } else { json!([]) };
                assert_eq!(list["data"], expected, "stored {stored:?}, searched {spelling:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_phone_number_is_found_in_every_spelling() {
    for variables in [&[][..], &[("CRM_PII_ENCRYPTION", "off")]] {
        let service = Service::with(variables).await;
        assert_found(&service, ("contactPhone", "phone"), FOUND_PHONES).await;
    }
}

#[tokio::test]
async fn the_country_says_which_numbers_are_its_own() {
    let service = Service::with(&[("CRM_PHONE_COUNTRY", "US")]).await;
    let table: &[Spellings] = &[
        ("(608) 271-9000", &["+1 608 271 9000", "16082719000", "1-608-271-9000 "], &["+86 6082719000"]),
        ("+44 20 7946 0958", &["0044 20 7946 0958", "011 44 20 7946 0958", "442079460958"], &["2079460958"]),
        ("0044 20 7946 0958", &["+442079460958"], &[]),
    ];
    assert_found(&service, ("contactPhone", "phone"), table).await;
}

#[tokio::test]
async fn without_an_extension_all_are_found_and_with_one_its_own() {
    let service = Service::start().await;
    let mut ids = Vec::new();
    for number in ["+16082719000", "+1 608 271 9000 x11", "+1 608 271 9000 ext 12", "+16082719001x11"] {
        ids.push(id(&service.create("/customers", json!({ "name": "x", "contactPhone": number })).await, "customerId"));
    }
    for (searched, found) in [
        ("+16082719000", vec![&ids[2], &ids[1], &ids[0]]),
        ("+16082719000x11", vec![&ids[1]]),
        ("+16082719000#12", vec![&ids[2]]),
        ("+16082719001", vec![&ids[3]]),
        ("+16082719002", vec![]),
    ] {
        let list = service.read(&format!("/customers?contactPhone={}", encoded(searched))).await;
        assert_eq!(crate::harness::fields(&list, "customerId"), found, "{searched}");
        assert_eq!(list["total"], found.len(), "{searched}");
    }
    // Another number in place of one with an extension leaves nothing behind that it would be found by.
    let path = format!("/customers/{}", ids[1]);
    service.patch(&path, json!({ "contactPhone": "110" })).send().await.expect(200);
    assert_eq!(service.read("/customers?contactPhone=%2B16082719000").await["total"], 2);
    service.patch(&format!("/customers/{}", ids[2]), json!({ "contactPhone": null })).send().await.expect(200);
    assert_eq!(service.read("/customers?contactPhone=%2B16082719000").await["total"], 1);
    service.delete(&format!("/customers/{}", ids[3])).send().await.expect(204);
    assert_eq!(service.read("/customers?contactPhone=%2B16082719001").await["total"], 0);
}

#[tokio::test]
async fn a_plus_in_a_query_is_a_plus() {
    let service = Service::start().await;
    let body = json!({ "name": "x", "contactPhone": "+44 20 7946 0958", "contactEmail": "a+b@c.de" });
    let customer = service.create("/customers", body).await;
    let body =
        json!({ "customerId": customer["customerId"], "name": "x", "phone": "+442079460958", "email": "a+b@c.de" });
    service.create("/contacts", body).await;
    for (list, phone, email) in [("/customers", "contactPhone", "contactEmail"), ("/contacts", "phone", "email")] {
        for (query, total) in [
            (format!("{phone}=+442079460958"), 1),
            (format!("{phone}=%2B442079460958"), 1),
            (format!("{phone}=+44+20+7946+0958"), 1),
            (format!("{phone}=+44%2020%207946%200958"), 1),
            (format!("{email}=a+b@c.de"), 1),
            (format!("{email}=a%2Bb%40c.de"), 1),
            (format!("page=1&{email}=a+b@c.de&pageSize=5&{phone}=+442079460958"), 1),
            (format!("{email}=a+c@c.de"), 0),
            (format!("{phone}=+442079460959"), 0),
        ] {
            assert_eq!(service.read(&format!("{list}?{query}")).await["total"], total, "{list}?{query}");
        }
        let twice = format!("{list}?{phone}=+442079460958&{phone}=+442079460958");
        service.get(&twice).send().await.refused(400, &format!("{phone}: must be sent once"));
    }
}

/// A phone number in a random spelling: its digits in some script, with signs and what is not seen between them.
fn spelled(digits: &'static str, plus: &'static str) -> impl Strategy<Value = String> {
    let zeros = prop::sample::select(vec!['0', '０', '٠', '۰', '०', '๐', '𝟘']);
    let between = prop::sample::select(vec![
        "", "", "", "-", " ", ".", "/", "(", ")", "\u{a0}", "\u{3000}", "‐", "—", "－", "（", "）", "\u{200b}",
        "\u{2060}", "\u{202c}", "\u{ad}", " - ",
    ]);
    let plus = prop::sample::select(vec![plus, if plus == "+" { "＋" } else { plus }]);
    let betweens = prop::collection::vec(between, digits.len() + 1);
    (zeros, betweens, plus).prop_map(move |(zero, betweens, plus)| {
        let in_script = |digit: char| char::from_u32(zero as u32 + digit.to_digit(10).unwrap()).unwrap();
        let spelled = digits.chars().zip(&betweens).map(|(digit, between)| format!("{}{between}", in_script(digit)));
        format!("{}{plus}{}", betweens.last().unwrap(), spelled.collect::<String>())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever finds one spelling finds every other.
    #[test]
    fn random_spellings_find_each_other(
        spellings in prop::collection::vec(
            prop_oneof![spelled("8613912345678", "+"), spelled("13912345678", ""), spelled("008613912345678", "")],
            2..8,
        ),
    ) {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let service = Service::start().await;
            service.create("/customers", json!({ "name": "x", "contactPhone": "13912345679" })).await;
            let fits = |text: &&String| serde_json::from_value::<Phone>(json!(text)).is_ok();
            let spellings: Vec<&String> = spellings.iter().filter(fits).collect();
            for spelling in &spellings {
                service.create("/customers", json!({ "name": "x", "contactPhone": spelling })).await;
            }
            for spelling in &spellings {
                let list = service.read(&format!("/customers?contactPhone={}", encoded(spelling))).await;
                assert_eq!(list["total"], spellings.len(), "{spelling:?} of {spellings:?}");
            }
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is accepted is stored in the characters of the rule, and accepted again as it is stored.
    #[test]
    fn what_is_accepted_is_stored_in_the_characters_of_the_rule(
        text in prop_oneof!["\\PC{0,40}", "[0-9٠-٩０-９ +＋()（）./#extEXT转\u{200b}\u{a0}-]{3,36}"],
    ) {
        if let Ok(phone) = serde_json::from_value::<Phone>(json!(text)) {
            let stored = phone.reveal().to_owned();
            prop_assert!(stored.chars().all(|c| c.is_ascii_digit() || " +-()./#extEXT转".contains(c)), "{stored}");
            prop_assert!(stored.chars().count() <= 32 && stored.chars().filter(char::is_ascii_digit).count() >= 3);
            let again: Phone = serde_json::from_value(json!(stored)).unwrap();
            prop_assert_eq!(again.reveal(), stored);
        }
        if let Ok(email) = serde_json::from_value::<Email>(json!(format!("{text}@example.com"))) {
            prop_assert!(email.reveal().matches('@').count() == 1 && !email.reveal().contains('*'));
        }
    }
}
