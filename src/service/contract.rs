//! The API contract of the service: its operations, introduction and version.

use poem_openapi::{ContactObject, ExternalDocumentObject, LicenseObject, OpenApiService, ServerObject};
use serde_json::{Map, Value, json};

use super::{
    operations::Operations,
    pages,
    resources::{ResourceEntry, event_types, resources},
};
use crate::{
    http::{
        BASE_PATH,
        contract::{Contract, NamedExample, OpenEnum, Supplement},
        probes::{METRICS, ProbesApi},
    },
    privacy::ERASURES,
    receipts,
    resource::Action,
};

/// The version of the contract, which is not the program's: `openapi/README.md` says what raises it.
pub const VERSION: &str = "1.9.0";

/// The API's name as people see it; the platform's portal shows it.
const TITLE: &str = "客户关系管理（CRM）";
/// The tag that says what holds for all operations.
const CONVENTIONS: &str = "Conventions";
/// The paths of the documents served alongside the operations, besides the pages'.
const DOCUMENTS: [&str; 4] = ["/openapi.json", "/openapi.yaml", "/asyncapi.json", "/asyncapi.yaml"];
const PRIVATE_DOCUMENTS: [&str; 1] = [METRICS];

/// The operations as a poem-openapi service.
#[must_use]
pub fn operations() -> OpenApiService<Operations, ()> {
    let docs = format!("{BASE_PATH}/docs");
    let gateway = ServerObject::new(format!("{{gateway}}{BASE_PATH}"))
        .description("The gateway, by its address")
        .variable("gateway", "Scheme and host of the platform's gateway", "https://gateway.example.com");
    OpenApiService::new(Operations, TITLE, VERSION)
        .description(introduction(&resources()))
        .contact(ContactObject::new().name("CRM maintainers"))
        .license(LicenseObject::new("MIT").url("https://opensource.org/license/mit"))
        .external_document(ExternalDocumentObject::new(docs).description("This document as a page, to try it out"))
        .server(ServerObject::new(BASE_PATH).description("Behind the gateway, and on the service itself"))
        .server(gateway)
        .server(ServerObject::new(".").description("Where this document is served, whatever a gateway's prefix"))
}

/// The probes as a poem-openapi service, for the private listener.
#[must_use]
pub fn probes() -> OpenApiService<ProbesApi, ()> {
    OpenApiService::new(ProbesApi, TITLE, VERSION)
}

/// Emits the contract. Needs no environment, database or configuration.
#[must_use]
pub fn contract() -> Contract {
    let spec = operations().spec();
    let resources = resources();
    let mut resource_types: Vec<String> = resources.iter().map(|resource| resource.kind.name.to_owned()).collect();
    resource_types.push(ERASURES.name.to_owned());
    let supplement = Supplement {
        integer_enums: resources.iter().flat_map(|resource| resource.integer_enums.clone()).collect(),
        open_enums: vec![
            OpenEnum { pointer: "/EventType", values: event_types() },
            OpenEnum { pointer: "/AuditLog/properties/resourceType", values: resource_types.clone() },
            OpenEnum { pointer: "/ErrorResource/properties/type", values: resource_types.clone() },
            OpenEnum { pointer: "/ReceiptResource/properties/type", values: resource_types },
            OpenEnum { pointer: "/Receipt/properties/action", values: receipts::actions() },
        ],
        examples: event_examples(&resources, &serde_json::from_str(&spec).unwrap_or_default()),
        conventions: Some((CONVENTIONS, conventions(&resources))),
        display_name: Some(TITLE),
    };
    Contract::of(&spec, &supplement, [&DOCUMENTS[..], &pages::PATHS].concat())
}

/// A page of the feed for each type of resource: its type says what the event's resource is.
fn event_examples(resources: &[ResourceEntry], spec: &Value) -> Vec<NamedExample> {
    let of_one = |resource: &ResourceEntry| {
        let fields = spec.pointer(&format!("/components/schemas/{}/properties", resource.schema));
        let fields = fields.and_then(Value::as_object).into_iter().flat_map(Map::keys);
        let changed: Vec<&String> = fields.filter(|field| !field.ends_with("Id") && !field.ends_with("At")).collect();
        NamedExample {
            schema: "EventList".to_owned(),
            name: format!("{}Created", resource.kind.name),
            summary: format!("A {} was created", resource.kind.name),
            replaced: vec![
                ("/gaps", json!([])),
                ("/data/0/eventType", json!(Action::Created.event_type(resource.kind))),
                ("/data/0/data/changedFields", json!(changed)),
                ("/data/0/data/resource", json!({ "$ref": format!("#/components/schemas/{}", resource.schema) })),
            ],
        }
    };
    resources.iter().map(of_one).collect()
}

/// The contract of the private listener, which is not published.
#[must_use]
pub fn private_contract() -> Contract {
    Contract::of(&probes().spec(), &Supplement::default(), PRIVATE_DOCUMENTS.to_vec())
}

/// The names of the resources, as part of a sentence: `customers, contacts and follow-ups`.
#[must_use]
pub fn resource_names(resources: &[ResourceEntry]) -> String {
    let names: Vec<String> = resources.iter().map(|resource| resource.kind.tag.name.to_lowercase()).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.join(""),
    }
}

/// The introduction, with the names of the resources filled in.
fn introduction(resources: &[ResourceEntry]) -> String {
    include_str!("../http/contract/introduction.md").trim_end().replace("{resources}", &resource_names(resources))
}

/// What holds for all operations, with the personal data of the resources filled in.
fn conventions(resources: &[ResourceEntry]) -> String {
    include_str!("../http/contract/description.md").trim_end().replace("{personal_data}", &personal_data(resources))
}

/// The fields with personal data: `` `contactPhone`, `contactEmail` of a customer ``.
fn personal_data(resources: &[ResourceEntry]) -> String {
    let of_one = |resource: &ResourceEntry| {
        let fields = resource.pii?.columns.iter().map(|field| format!("`{}`", camel_case(field.name)));
        Some(format!("{} of a {}", fields.collect::<Vec<_>>().join(", "), resource.kind.name))
    };
    resources.iter().filter_map(of_one).collect::<Vec<_>>().join(", ")
}

/// The name that a column has as a field in the contract.
fn camel_case(column: &str) -> String {
    let mut words = column.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (initial, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
        name + &initial.to_uppercase() + rest
    })
}
