//! The contract: unchanged, strict, and fit for client generators.

use std::collections::BTreeSet;

use crm::service::{contract::contract, resources::resources};
use serde_json::{Value, json};

use crate::harness::{Service, contract::entries};

const FROZEN: &str = include_str!("../../../openapi/api_contract.yaml");

#[test]
fn the_emitted_contract_equals_the_frozen_one() {
    assert!(
        contract().yaml() == FROZEN.replace("\r\n", "\n"),
        "the contract changed: run `make contract` and read `git diff openapi`; openapi/README.md says what may change"
    );
}

#[test]
fn the_frozen_contract_has_no_duplicate_keys() {
    // yaml_serde rejects them; the JSON readers of many tools keep the last one.
    let document: yaml_serde::Value = yaml_serde::from_str(FROZEN).unwrap();
    let as_json: Value = serde_json::to_value(document).unwrap();
    assert_eq!(&as_json, contract().document());
}

#[test]
fn keys_are_in_reading_order() {
    let contract = contract();
    let keys: Vec<&String> = entries(contract.document()).keys().collect();
    assert_eq!(keys, ["openapi", "info", "servers", "tags", "paths", "components", "externalDocs"]);
    let customer = &contract.document()["components"]["schemas"]["Customer"]["properties"];
    assert_eq!(entries(customer).keys().next().unwrap(), "customerId");
}

/// Calls `visit` with the JSON pointer of every object in the document, and the object.
fn walk(value: &Value, pointer: &str, visit: &mut dyn FnMut(&str, &Value)) {
    match value {
        Value::Object(object) => {
            visit(pointer, value);
            object.iter().for_each(|(key, value)| walk(value, &format!("{pointer}/{key}"), visit));
        }
        Value::Array(items) => items.iter().for_each(|value| walk(value, &format!("{pointer}/-"), visit)),
        _ => {}
    }
}

#[test]
fn every_object_and_enum_is_named_and_no_schema_is_a_union() {
    let contract = contract();
    walk(contract.document(), "", &mut |pointer, part| {
        for union in ["oneOf", "anyOf", "allOf"] {
            assert!(part.get(union).is_none(), "{union} at {pointer}");
        }
        let named = pointer.starts_with("/components/schemas/") && pointer.matches('/').count() == 3;
        let in_example = pointer.contains("/example") || pointer == "/components/securitySchemes/oauth2";
        assert!(named || in_example || part.get("enum").is_none(), "an anonymous enum at {pointer}");
        assert!(named || part.get("type") != Some(&json!("object")), "an anonymous object at {pointer}");
    });
}

#[test]
fn integer_enums_name_their_values() {
    let contract = contract();
    let mut count = 0;
    walk(contract.document(), "", &mut |pointer, part| {
        let Some(values) = part["enum"].as_array().filter(|_| part["type"] == "integer") else { return };
        count += 1;
        let names: BTreeSet<_> = part["x-enum-varnames"].as_array().into_iter().flatten().map(Value::as_str).collect();
        assert_eq!(names.len(), values.len(), "x-enum-varnames at {pointer}");
        assert_eq!(part["x-enum-descriptions"].as_array().map(Vec::len), Some(values.len()), "{pointer}");
        assert_eq!(part["x-enumNames"], part["x-enum-varnames"], "{pointer}");
        assert_eq!(part["format"], "int32", "{pointer}");
    });
    assert_eq!(count, 3);
}

#[test]
fn enums_in_replies_are_open_and_say_what_to_do() {
    let contract = crate::harness::Contract::emitted();
    let mut open = 0;
    for (name, schema) in entries(&contract.document["components"]["schemas"]) {
        let Some(values) = schema["enum"].as_array() else { continue };
        open += 1;
        // There is none yet that is only sent.
        assert_eq!(schema["x-extensible-enum"], json!(values), "{name}");
        let description = schema["description"].as_str().unwrap().replace('\n', " ");
        assert!(description.contains("New values may be added: "), "{name}: {description}");
    }
    assert!(open > 5, "only {open} enums");
}

#[test]
fn no_two_values_of_enums_have_the_same_name_in_generated_code() {
    let contract = crate::harness::Contract::emitted();
    let mut taken = BTreeSet::new();
    for (name, schema) in entries(&contract.document["components"]["schemas"]) {
        let Some(values) = schema["enum"].as_array() else { continue };
        let names = schema["x-enum-varnames"].as_array().unwrap_or_else(|| panic!("{name} has no names"));
        assert_eq!(names.len(), values.len(), "{name}");
        for value in names.iter().map(|value| value.as_str().unwrap()) {
            assert!(value.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'), "{value}");
            assert!(taken.insert(value), "{value} of {name} is taken");
        }
    }
    for name in ["EVENT_SOURCE_CRM", "CELL_CRM", "OPPORTUNITY_STAGE_WON", "OPPORTUNITY_STATUS_WON", "CURRENCY_CNY"] {
        assert!(taken.contains(name), "{name}");
    }
}

#[test]
fn every_example_conforms_to_its_schema() {
    let contract = crate::harness::Contract::emitted();
    let mut count = 0;
    walk(&contract.document, "", &mut |pointer, part| {
        let Some(example) = part.get("example") else { return };
        if pointer.contains("/examples") {
            return;
        }
        count += 1;
        let schema = part.get("schema").unwrap_or(part);
        let mut schema = schema.clone();
        schema.as_object_mut().unwrap().remove("example");
        assert_eq!(contract.violations(&schema, example), Vec::<String>::new(), "the example at {pointer}");
    });
    assert!(count > 50, "only {count} examples");
}

#[test]
fn operations_and_fields_are_described_and_ids_are_lower_camel() {
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
        assert!(ids.insert(id.to_owned()), "{id} is repeated");
    }
    // Five for each resource, three probes, the feed, changes, search, the audit trail, two about erasures, the export, two about
    // receipts, four about the pipeline, the stage history, the timeline and two overviews.
    assert_eq!(ids.len(), 5 * resources().len() + 20);
    for (name, schema) in entries(&contract.document["components"]["schemas"]) {
        assert!(schema["description"].is_string(), "{name} has no description");
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            assert!(property["description"].is_string() || property["$ref"].is_string(), "{name}.{field}");
        }
    }
}

#[test]
fn request_schemas_are_closed_and_reply_fields_all_required() {
    let contract = crate::harness::Contract::emitted();
    let requests: BTreeSet<_> =
        contract.operations().iter().filter(|o| o.has_body()).map(|o| o.body_schema().to_owned()).collect();
    for (name, schema) in entries(&contract.document["components"]["schemas"]) {
        let Some(properties) = schema["properties"].as_object() else { continue };
        if requests.contains(name) {
            assert_eq!(schema["additionalProperties"], json!(false), "{name}");
        } else {
            // Always there too, but `null` in most examples, which linters stumble over.
            let is_optional = |field: &&Value| field["$ref"] == "#/components/schemas/ErrorResource";
            let optional = properties.values().filter(is_optional).count();
            assert_eq!(schema["required"].as_array().map(Vec::len), Some(properties.len() - optional), "{name}");
        }
    }
}

#[test]
fn error_codes_are_one_named_enum() {
    let contract = crate::harness::Contract::emitted();
    assert_eq!(
        contract.schema("ErrorCode")["enum"],
        json!([
            "BAD_REQUEST",
            "UNAUTHORIZED",
            "FORBIDDEN",
            "NOT_FOUND",
            "METHOD_NOT_ALLOWED",
            "REQUEST_TIMEOUT",
            "IDEMPOTENT_CONFLICT",
            "PRECONDITION_FAILED",
            "PAYLOAD_TOO_LARGE",
            "URI_TOO_LONG",
            "UNSUPPORTED_MEDIA_TYPE",
            "TOO_MANY_REQUESTS",
            "HEADERS_TOO_LARGE",
            "INTERNAL_ERROR",
            "SERVICE_UNAVAILABLE"
        ])
    );
}

#[tokio::test]
async fn the_frozen_contract_is_served() {
    let service = Service::start().await;
    let yaml = service.get("/openapi.yaml").without("Authorization").send().await.expect(200);
    assert_eq!(yaml.text, FROZEN);
    let json = service.get("/openapi.json").without("Authorization").without_prefix().send().await.expect(200);
    assert_eq!(&json.body, contract().document());
}
