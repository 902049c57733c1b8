//! What is written in another way.

use crm::service::{
    asyncapi,
    compatibility::{
        Verdict::{Breaking, Compatible, Identical},
        compare,
    },
    contract::contract,
};
use serde_json::{Map, Value, json};

use super::{Mutation, api, assert_word, assert_words, at, drop_key, prepared, put, schema};

#[test]
fn notation_and_order_of_keys_make_no_difference() {
    fn turned(value: &Value) -> Value {
        match value {
            Value::Object(object) => {
                object.iter().rev().map(|(key, value)| (key.clone(), turned(value))).collect::<Map<_, _>>().into()
            }
            Value::Array(items) => items.iter().map(turned).collect(),
            other => other.clone(),
        }
    }
    let contract = contract();
    let document = contract.document();
    for (name, text) in [
        ("YAML", contract.yaml()),
        ("CRLF", contract.yaml().replace('\n', "\r\n")),
        ("JSON", contract.json()),
        ("JSON in one line", document.to_string()),
        ("a byte order mark", format!("\u{feff}{}", contract.yaml())),
        ("another order of keys", turned(document).to_string()),
    ] {
        let baseline = crm::service::compatibility::baseline::Baseline::parse("contract", &text).unwrap();
        assert_eq!(compare(&baseline.document, document).verdict, Identical, "{name}");
    }
}

#[test]
fn what_means_the_same_however_it_is_written_is_identical() {
    fn unwhole(value: &mut Value) {
        match value {
            Value::Number(number) if number.as_i64().is_some_and(|number| number.abs() < 1 << 53) => {
                *value = json!(number.as_f64().unwrap());
            }
            Value::Object(object) => object.values_mut().for_each(unwhole),
            Value::Array(items) => items.iter_mut().for_each(unwhole),
            _ => {}
        }
    }
    let amount = "OpportunityCreate/properties/amountCents";
    assert_eq!(at(&mut api(), &schema(&format!("{amount}/maximum"))), 9_007_199_254_740_991_i64);
    let rows: &[(&str, Mutation)] = &[
        ("whole numbers with a fraction", unwhole),
        ("exclusiveMinimum", |d| {
            put(d, &schema("OpportunityCreate/properties/amountCents/exclusiveMinimum"), json!(false));
        }),
        ("uniqueItems", |d| put(d, &schema("EventData/properties/changedFields/uniqueItems"), json!(false))),
        ("nullable", |d| put(d, &schema("Contact/properties/name/nullable"), json!(false))),
        ("readOnly", |d| put(d, &schema("Contact/properties/name/readOnly"), json!(false))),
        ("deprecated", |d| put(d, "/paths/~1contacts/get/deprecated", json!(false))),
        ("required", |d| drop(drop_key(d, "/components/parameters/TenantId/required"))),
    ];
    assert_words(&api(), Identical, rows);
    assert_word("of events", &asyncapi::document(), unwhole, Identical);
    let fraction: Mutation = |d| put(d, &schema("ContactCreate/properties/name/maxLength"), json!(200.5));
    assert_word("a number that is not whole", &api(), fraction, Breaking);
    // What a person may see in an example is not what the keyword of that name says.
    let example = "/components/examples/AuditLogListEmpty/value/nullable";
    let shown = prepared(|d| put(d, "/components/examples/AuditLogListEmpty/value/nullable", json!(false)));
    let mut hidden = shown.clone();
    drop_key(&mut hidden, example);
    assert_eq!(compare(&shown, &hidden).verdict, Compatible);
}
