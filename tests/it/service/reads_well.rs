//! What a team that only has the documents needs of them: examples, errors and scopes of each operation, bounds, names.

use std::collections::{BTreeMap, BTreeSet};

use crm::service::{asyncapi, resources};
use poem::http::Method;
use serde_json::{Value, json};

use crate::harness::{
    Contract, Service,
    contract::{Operation, entries},
    contract_walk::{create_resources, operations, path, request, required_scope},
};

/// Every example of a media type, with its name; references are followed.
fn examples(contract: &Contract, media_type: &Value) -> Vec<(String, Value)> {
    let resolved = |example: &Value| match example["$ref"].as_str() {
        Some(path) => contract.document.pointer(&path[1..]).unwrap().clone(),
        None => example.clone(),
    };
    let named = media_type["examples"].as_object().into_iter().flatten();
    named.map(|(name, example)| (name.clone(), resolved(example))).collect()
}

/// The responses of an operation with their statuses; references are followed.
fn responses(contract: &Contract, operation: &Operation) -> Vec<(String, Value)> {
    let resolved = |response: &Value| match response["$ref"].as_str() {
        Some(path) => contract.document.pointer(&path[1..]).unwrap().clone(),
        None => response.clone(),
    };
    let all = entries(&operation.definition["responses"]).iter();
    all.map(|(status, response)| (status.clone(), resolved(response))).collect()
}

/// Whether there is null anywhere but at the end of a list.
fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(fields) => fields.iter().any(|(name, value)| name != "nextCursor" && has_null(value)),
        _ => false,
    }
}

#[test]
fn every_body_has_named_examples_that_conform() {
    let contract = Contract::emitted();
    let mut count = 0;
    for operation in contract.operations() {
        let mut bodies = responses(contract, &operation);
        if operation.has_body() {
            bodies.push(("request".to_owned(), operation.definition["requestBody"].clone()));
        }
        for (status, body) in bodies {
            let media_type = &body["content"]["application/json"];
            let examples = examples(contract, media_type);
            // A failure of the service has no details, and linters stumble over `null`.
            let may_lack = media_type.is_null() || status == "500";
            assert!(!examples.is_empty() || may_lack, "{} {status}", operation.template);
            for (name, example) in examples {
                count += 1;
                assert!(example["summary"].as_str().is_some_and(|summary| summary.len() > 5), "{name} {example}");
                contract.check_schema(&media_type["schema"], &example["value"]);
                assert!(!has_null(&example["value"]), "null in {example}");
            }
        }
    }
    assert!(count > 200, "only {count} examples");
}

#[test]
fn every_field_shows_an_example_and_every_text_has_a_bound() {
    let contract = Contract::emitted();
    for (name, schema) in entries(&contract.document["components"]["schemas"]) {
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            let is_bounded = property["maxLength"].is_u64() || property["enum"].is_array();
            match property["type"].as_str() {
                Some("string") => assert!(is_bounded, "{name}.{field} has no maxLength"),
                Some("integer") => {
                    assert!(property["format"].is_string() && property["maximum"].is_i64(), "{name}.{field}")
                }
                Some("array") => {
                    let is_bounded = property["maxItems"].is_u64() || name == "CustomerExport";
                    assert!(is_bounded, "{name}.{field} has no maxItems");
                    continue;
                }
                _ => {}
            }
            let has_example = property["$ref"].is_string() || !property["example"].is_null();
            assert!(has_example, "{name}.{field} has no example");
        }
    }
}

#[test]
fn each_kind_of_resource_has_an_example_id_of_its_own() {
    let contract = Contract::emitted();
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (_, schema) in entries(&contract.document["components"]["schemas"]) {
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            if property["format"] == "uuid" {
                ids.entry(field.clone()).or_default().insert(property["example"].as_str().unwrap().to_owned());
            }
        }
    }
    // What any resource may be is a customer in examples.
    let customer = ids["customerId"].clone();
    assert_eq!(ids.remove("resourceId"), Some(customer));
    assert!(ids.values().all(|examples| examples.len() == 1), "{ids:?}");
    let distinct: BTreeSet<_> = ids.values().flatten().collect();
    assert_eq!(distinct.len(), ids.len(), "{ids:?}");
    assert!(ids.len() > 5, "{ids:?}");
    for operation in contract.operations() {
        for parameter in operation.definition["parameters"].as_array().unwrap() {
            if parameter["in"] == "path" && parameter["schema"]["format"] == "uuid" {
                let field = crate::harness::contract_walk::lower_camel(parameter["name"].as_str().unwrap());
                assert!(
                    ids[&field].contains(parameter["schema"]["example"].as_str().unwrap()),
                    "{}",
                    operation.template
                );
            }
        }
    }
}

#[test]
fn each_operation_names_its_scope_and_who_may_not() {
    let contract = Contract::emitted();
    let scopes = &contract.document["components"]["securitySchemes"]["oauth2"]["flows"]["clientCredentials"]["scopes"];
    for operation in contract.operations().into_iter().filter(Operation::is_secured) {
        let scope = required_scope(&operation);
        let (scopes_named, words) = match operation.template.as_str() {
            "/requests" | "/requests/{request_id}" => {
                (json!([{ "oauth2": ["crm:read"] }, { "oauth2": ["crm:write"] }]), "Scope: `crm:read` or `crm:write`.")
            }
            template if template.ends_with("/export") => {
                (json!([{ "oauth2": ["crm:read", "crm:pii:read"] }]), "Scopes: `crm:read` and `crm:pii:read`.")
            }
            _ => (json!([{ "oauth2": [scope] }]), &*format!("Scope: `{scope}`.")),
        };
        let schemes = [scopes_named.as_array().unwrap().as_slice(), &[json!({ "bearerAuth": [] })]].concat();
        assert_eq!(operation.definition["security"], json!(schemes));
        assert!(scopes[scope].is_string(), "{scope} is not declared");
        let description = operation.definition["description"].as_str().unwrap();
        assert!(description.ends_with(words), "{description}");
        let forbidden = &operation.definition["responses"]["403"];
        assert!(forbidden["headers"]["WWW-Authenticate"]["example"].as_str().unwrap().contains(scope));
        let examples = examples(contract, &forbidden["content"]["application/json"]);
        let lacking = examples.iter().find(|(name, _)| name == "scope").unwrap();
        assert_eq!(lacking.1["value"]["details"], format!("the token lacks the scope {scope}"));
    }
}

#[tokio::test]
async fn the_errors_in_examples_are_what_the_service_answers() {
    let service = Service::start().await;
    let contract = Contract::emitted();
    let ids = create_resources(&service).await;
    let mut tried = 0;
    for operation in operations(&service).into_iter().filter(Operation::is_secured) {
        let examples = |status: &str| {
            examples(contract, &operation.definition["responses"][status]["content"]["application/json"])
        };
        for (name, example) in examples("400") {
            let call = request(&service, &operation, &ids);
            let mut body = json!({});
            let field = |quote: char| {
                let details = example["value"]["details"].as_str().unwrap();
                details.split(quote).nth(usize::from(quote == '`')).unwrap().to_owned()
            };
            let call = match name.as_str() {
                "requestId" => call.without("X-Request-ID"),
                "missingField" => {
                    body = crate::harness::contract_walk::body(&service, &operation, &ids);
                    body.as_object_mut().unwrap().remove(&field('`'));
                    call.json(&body)
                }
                "unknownField" => {
                    body[field(':')] = json!(1);
                    call.json(&body)
                }
                "outOfRange" => call.query(&format!("{}=999999999999999999999", field(':'))),
                "unknownParameter" => call.query("dryRun=true"),
                "tenant" => call.tenant("?"),
                other => panic!("how is {other} made?"),
            };
            let reply = call.send().await.expect(400);
            assert_eq!(reply.body["details"], example["value"]["details"], "{name} of {}", operation.template);
            tried += 1;
        }
        for (_, example) in examples("404") {
            let unknown = ids.keys().map(|name| (name.clone(), "unknown".to_owned())).collect();
            let path = path(&operation, &unknown);
            let call = match operation.method {
                Method::PATCH => service.patch(&path, json!({})),
                Method::POST => service.post(&path, json!({})),
                _ => service.call(operation.method.clone(), &path),
            };
            assert_eq!(call.send().await.expect(404).body["details"], example["value"]["details"]);
        }
        for (_, example) in examples("409") {
            let collection = operation.template.split('/').nth(1).unwrap();
            let details = example["value"]["details"].as_str().unwrap();
            assert!(details.contains(&format!(" at /api/v1/crm/{collection}/019")), "{details}");
        }
    }
    assert!(tried > 60, "only {tried} errors");
}

#[test]
fn what_an_operation_can_answer_is_documented() {
    let contract = Contract::emitted();
    for operation in contract.operations() {
        let responses = entries(&operation.definition["responses"]);
        let expected: &[&str] = match (operation.is_secured(), operation.has_body()) {
            (true, true) => &["400", "401", "403", "408", "409", "413", "414", "415", "429", "431", "500", "503"],
            (true, false) => &["400", "401", "403", "414", "429", "431", "500", "503"],
            (false, _) => &["414", "431", "500"],
        };
        for status in expected {
            assert!(responses.contains_key(*status), "{} {status}", operation.template);
        }
        let descriptions: Vec<&Value> = responses.values().map(|response| &response["description"]).collect();
        let generic = json!("OK: the requested data.");
        assert!(!descriptions.contains(&&generic), "{}", operation.template);
    }
    let conventions = contract.document["tags"][0]["description"].as_str().unwrap();
    assert!(conventions.contains("another method on one that it has gets 405"));
}

#[test]
fn what_may_grow_is_listed_and_open() {
    let contract = Contract::emitted();
    let known = |value: &Value| value["x-extensible-enum"].as_array().unwrap().len();
    assert_eq!(known(contract.schema("EventType")), resources::event_types().len());
    let of_trail = &contract.schema("AuditLog")["properties"]["resourceType"];
    assert_eq!(known(of_trail), resources::resources().len() + 1);
    for open in [contract.schema("EventType"), of_trail] {
        assert!(open["description"].as_str().unwrap().contains("may be added"), "{open}");
    }
    let examples = contract.document.pointer("/components/examples").unwrap();
    for resource in resources::resources() {
        let name = resource.kind.name;
        let example = &examples[format!("EventList{}{}Created", name[..1].to_uppercase(), &name[1..])]["value"];
        let event = &example["data"][0];
        assert_eq!(event["eventType"], format!("crm.{}.created", name.to_lowercase()));
        contract.check_schema(
            &json!({ "$ref": format!("#/components/schemas/{}", resource.schema) }),
            &event["data"]["resource"],
        );
    }
}

#[test]
fn the_introduction_is_short_and_names_everything_a_team_asks_for() {
    let contract = Contract::emitted();
    let info = &contract.document["info"];
    assert_eq!(
        (&info["title"], &info["x-display-name"]),
        (&json!("客户关系管理（CRM）"), &json!("客户关系管理（CRM）"))
    );
    let introduction = info["description"].as_str().unwrap();
    assert!(introduction.len() < 600 && !introduction.contains("\n\n"), "{introduction}");
    assert!(introduction.contains("/asyncapi.yaml"));
    assert!(info["contact"]["name"].is_string() && contract.document["externalDocs"]["url"].is_string());
    // openapi-generator refuses a document whose contact has an address without a host.
    assert!(info["contact"]["url"].as_str().is_none_or(|url| url.starts_with("https://")));
    let servers: Vec<&Value> =
        contract.document["servers"].as_array().unwrap().iter().map(|server| &server["url"]).collect();
    assert_eq!(servers, ["/api/v1/crm", "{gateway}/api/v1/crm", "."]);
    let parameters = &contract.document["components"]["parameters"];
    assert!(parameters["RequiredRequestId"]["example"].is_string());
    // Readers have the document and the service: no file of this repository, and no sections but those of published standards.
    let text = contract.document.to_string();
    for file in ["openapi/", "src/", "tests/", "delivery/", ".md", ".rs"] {
        assert!(!text.contains(file), "{file} is not for readers");
    }
    assert!(!text.contains('§'));
    let mut parts: Vec<&str> = text.split("section ").collect();
    parts.pop();
    for before in parts {
        let cited = before.trim_end().rsplit(' ').nth(1).unwrap_or_default();
        assert!(cited.ends_with("RFC"), "a section of what? … {}", before.rsplit('.').next().unwrap());
    }
    assert_eq!(contract.schema("Contact")["properties"]["name"]["example"], "Li Lei");
    assert_eq!(contract.schema("HealthStatus")["enum"], json!(["up", "down"]));
    for operation in contract.operations() {
        assert!(operation.definition["parameters"].to_string().contains("TraceParent"), "{}", operation.template);
        for parameter in operation.definition["parameters"].as_array().unwrap() {
            // Pages to try it out would send it.
            let is_prefilled = parameter["required"] == json!(false) && !parameter["schema"]["example"].is_null();
            assert!(!is_prefilled, "{} {parameter}", operation.template);
        }
    }
}

#[tokio::test]
async fn the_events_are_served_and_everything_in_them_has_a_name() {
    let service = Service::start().await;
    let yaml = service.get("/asyncapi.yaml").without("Authorization").send().await.expect(200);
    assert_eq!(yaml.text, include_str!("../../../openapi/events.yaml"));
    let json = service.get("/asyncapi.json").without("Authorization").without_prefix().send().await.expect(200);
    assert_eq!(json.body, asyncapi::document());
    let document = json.body;
    for (name, channel) in entries(&document["channels"]) {
        assert!(
            !channel["servers"].as_array().unwrap().is_empty() && !entries(&channel["bindings"]).is_empty(),
            "{name}"
        );
        for server in channel["servers"].as_array().unwrap() {
            assert!(document.pointer(&server["$ref"].as_str().unwrap()[1..]).is_some(), "{server}");
        }
    }
    for broker in ["amqp", "kafka"] {
        assert!(document["channels"]["events"]["bindings"][broker].is_object(), "{broker}");
    }
    assert!(document["components"]["schemas"]["CustomerCreated"].is_object());
    for (name, message) in entries(&document["components"]["messages"]) {
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "{name}");
        assert!(message["bindings"]["amqp"].is_object() && message["bindings"]["kafka"].is_object(), "{name}");
    }
    for (name, schema) in entries(&document["components"]["schemas"]) {
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            let is_unnamed =
                property["properties"].is_object() || !property["const"].is_null() || !property["enum"].is_null();
            assert!(!is_unnamed, "{name}.{field} has no name");
        }
    }
}
