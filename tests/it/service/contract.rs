//! The contract itself: frozen, strict, and usable by client generators.

use std::collections::BTreeSet;

use crm::http::contract::Contract;
use serde_json::{Value, json};

use crate::harness::{Service, contract::entries};

const FROZEN: &str = include_str!("../../../openapi/api_contract.yaml");

#[test]
fn the_emitted_contract_is_the_frozen_one() {
    assert!(
        Contract::new().yaml() == FROZEN,
        "the contract changed: read `git diff openapi` after `make contract`, and openapi/README.md on what may change"
    );
}

#[test]
fn the_frozen_contract_has_no_key_twice() {
    // serde_yaml refuses repeated keys; the JSON reader behind many tools would silently keep the last.
    let document: serde_yaml::Value = serde_yaml::from_str(FROZEN).unwrap();
    let as_json: Value = serde_json::to_value(document).unwrap();
    assert_eq!(&as_json, Contract::new().document());
}

#[test]
fn the_keys_stand_in_reading_order() {
    let contract = Contract::new();
    let keys: Vec<&String> = entries(contract.document()).keys().collect();
    assert_eq!(keys, ["openapi", "info", "servers", "tags", "paths", "components"]);
    let customer = &contract.document()["components"]["schemas"]["Customer"]["properties"];
    assert_eq!(entries(customer).keys().next().unwrap(), "customerId");
}

/// Calls `look` with every object in the document and its address.
fn walk(value: &Value, address: &str, look: &mut dyn FnMut(&str, &Value)) {
    match value {
        Value::Object(object) => {
            look(address, value);
            object.iter().for_each(|(key, value)| walk(value, &format!("{address}/{key}"), look));
        }
        Value::Array(items) => items.iter().for_each(|value| walk(value, &format!("{address}/-"), look)),
        _ => {}
    }
}

#[test]
fn generators_meet_only_named_objects_and_enums_and_no_choices() {
    let contract = Contract::new();
    walk(contract.document(), "", &mut |address, part| {
        for choice in ["oneOf", "anyOf", "allOf"] {
            assert!(part.get(choice).is_none(), "{choice} at {address}");
        }
        let named = address.starts_with("/components/schemas/") && address.matches('/').count() == 3;
        let inside_example = address.contains("/example");
        assert!(named || inside_example || part.get("enum").is_none(), "an anonymous enum at {address}");
        assert!(named || part.get("type") != Some(&json!("object")), "an anonymous object at {address}");
    });
}

#[test]
fn generators_know_what_the_integers_of_an_enum_are_called() {
    let contract = Contract::new();
    let mut seen = 0;
    walk(contract.document(), "", &mut |address, part| {
        let Some(values) = part["enum"].as_array().filter(|_| part["type"] == "integer") else { return };
        seen += 1;
        let names: BTreeSet<_> = part["x-enum-varnames"].as_array().into_iter().flatten().map(Value::as_str).collect();
        assert_eq!(names.len(), values.len(), "x-enum-varnames at {address}");
    });
    assert_eq!(seen, 3);
}

#[test]
fn every_example_keeps_its_schema() {
    let contract = crate::harness::Contract::emitted();
    let mut seen = 0;
    walk(&contract.document, "", &mut |address, part| {
        let Some(example) = part.get("example") else { return };
        seen += 1;
        let schema = part.get("schema").unwrap_or(part);
        let mut schema = schema.clone();
        schema.as_object_mut().unwrap().remove("example");
        assert_eq!(contract.violations(&schema, example), Vec::<String>::new(), "the example at {address}");
    });
    assert!(seen > 50, "only {seen} examples");
}

#[test]
fn every_operation_and_field_is_described_and_ids_are_lower_camel() {
    let contract = crate::harness::Contract::emitted();
    let mut ids = BTreeSet::new();
    for operation in contract.operations() {
        let definition = &operation.definition;
        for text in ["summary", "description"] {
            assert!(definition[text].as_str().is_some_and(|text| text.len() > 5), "no {text}: {operation:?}");
        }
        let id = definition["operationId"].as_str().unwrap();
        assert!(
            id.starts_with(|c: char| c.is_ascii_lowercase()) && id.chars().all(|c| c.is_ascii_alphanumeric()),
            "{id}"
        );
        assert!(ids.insert(id.to_owned()), "{id} twice");
    }
    assert_eq!(ids.len(), 25);
    for (name, schema) in entries(&contract.document["components"]["schemas"]) {
        assert!(schema["description"].is_string(), "{name} has no description");
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            assert!(property["description"].is_string() || property["$ref"].is_string(), "{name}.{field}");
        }
    }
}

#[test]
fn requests_are_closed_and_replies_always_whole() {
    let contract = crate::harness::Contract::emitted();
    let requests: BTreeSet<_> =
        contract.operations().iter().filter(|o| o.has_body()).map(|o| o.body_schema().to_owned()).collect();
    for (name, schema) in entries(&contract.document["components"]["schemas"]) {
        let Some(properties) = schema["properties"].as_object() else { continue };
        if requests.contains(name) {
            assert_eq!(schema["additionalProperties"], json!(false), "{name}");
        } else {
            assert_eq!(schema["required"].as_array().map(Vec::len), Some(properties.len()), "{name}");
        }
    }
}

#[test]
fn all_codes_are_one_named_enum() {
    let contract = crate::harness::Contract::emitted();
    assert_eq!(
        contract.schema("ErrorCode")["enum"],
        json!([
            "BAD_REQUEST",
            "UNAUTHORIZED",
            "FORBIDDEN",
            "NOT_FOUND",
            "METHOD_NOT_ALLOWED",
            "IDEMPOTENT_CONFLICT",
            "PAYLOAD_TOO_LARGE",
            "UNSUPPORTED_MEDIA_TYPE",
            "TOO_MANY_REQUESTS",
            "INTERNAL_ERROR",
            "SERVICE_UNAVAILABLE"
        ])
    );
}

#[tokio::test]
async fn the_contract_is_served_as_it_is_frozen() {
    let service = Service::start().await;
    let yaml = service.get("/openapi.yaml").without("Authorization").send().await.expect(200);
    assert_eq!(yaml.text, FROZEN);
    let json = service.get("/openapi.json").without("Authorization").stripped().send().await.expect(200);
    assert_eq!(&json.body, Contract::new().document());
}

#[tokio::test]
async fn swagger_ui_holds_the_contract_and_loads_nothing_from_elsewhere() {
    let service = Service::start().await;
    let page = service.get("/docs").without("Authorization").send().await.expect(200);
    assert!(page.text.contains("SwaggerUIBundle") && page.text.contains("\"operationId\": \"createCustomer\""));
    assert!(page.text.contains("RequiredRequestId"), "the framework's own document was left in the page");
    for elsewhere in ["src=\"http", "href=\"http", "@import url(http"] {
        assert!(!page.text.contains(elsewhere), "the page loads {elsewhere}");
    }
}
