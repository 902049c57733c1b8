//! A request to every operation of the contract. Bodies are the contract's own examples; ids are those of resources
//! made first, matched by the name of the field.

use std::collections::HashMap;

use poem::http::Method;
use serde_json::{Value, json};

use super::{
    Call, Service,
    contract::{Operation, entries},
};

/// One resource of each kind: its id, by the name of the field (`customerId`). Besides, the `requestId` of one that was made.
pub type ResourceIds = HashMap<String, String>;

/// Makes one resource of each kind, in the order of the contract.
pub async fn create_resources(service: &Service) -> ResourceIds {
    let mut ids = ResourceIds::new();
    for operation in service.contract.operations().iter().filter(|operation| operation.creates()) {
        let body = body(service, operation, &ids);
        let reply = service.post(&operation.template, body).send().await.expect(201);
        ids.insert("requestId".to_owned(), reply.header("X-Request-ID").to_owned());
        let created = reply.body;
        let id_field = entries(&created).keys().next().unwrap().clone();
        assert!(id_field.ends_with("Id"), "a resource's first field is its id: {created}");
        ids.insert(id_field.clone(), created[&id_field].as_str().unwrap().to_owned());
    }
    ids
}

pub fn body(service: &Service, operation: &Operation, ids: &ResourceIds) -> Value {
    let schema = service.contract.schema(operation.body_schema());
    let mut body = json!({});
    for (name, property) in entries(&schema["properties"]) {
        let named = property["$ref"].as_str().and_then(|path| path.rsplit('/').next());
        let example = named.map_or(property, |name| service.contract.schema(name))["example"].clone();
        match ids.get(name) {
            Some(id) => body[name] = json!(id),
            None if property["type"] == "boolean" => body[name] = json!(true),
            None => body[name] = example,
        }
        assert!(!body[name].is_null(), "{}.{name} has no example", operation.body_schema());
    }
    body
}

pub fn path(operation: &Operation, ids: &ResourceIds) -> String {
    let segment = |segment: &str| match segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
        Some(name) => ids.get(&lower_camel(name)).unwrap_or_else(|| panic!("no resource has a {name}")).clone(),
        None => segment.to_owned(),
    };
    let path = operation.template.split('/').map(segment).collect::<Vec<_>>().join("/");
    match operation.required_query() {
        // The only such parameter there is.
        Some(name) => format!("{path}?{name}={}", ids["requestId"]),
        None => path,
    }
}

pub fn lower_camel(name: &str) -> String {
    let mut parts = name.split('_');
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |camel, part| camel + &part[..1].to_uppercase() + &part[1..])
}

/// What a token needs besides [`required_scope`].
pub fn further_scope(operation: &Operation) -> Option<&'static str> {
    operation.template.ends_with("/export").then_some("crm:pii:read")
}

pub fn required_scope(operation: &Operation) -> &'static str {
    match operation.method {
        _ if operation.template == "/audit-logs" => "crm:audit:read",
        _ if operation.template.ends_with("/erasure") => "crm:pii:erase",
        Method::GET => "crm:read",
        _ => "crm:write",
    }
}

/// A request that succeeds.
pub fn request<'s>(service: &'s Service, operation: &Operation, ids: &ResourceIds) -> Call<'s> {
    let path = path(operation, ids);
    if operation.has_body() {
        let body = body(service, operation, ids);
        let call =
            if operation.method == Method::POST { service.post(&path, body) } else { service.patch(&path, body) };
        assert_eq!(
            operation.definition["parameters"].to_string().contains("RequiredRequestId"),
            matches!(operation.method, Method::POST | Method::PATCH)
        );
        call
    } else {
        service.call(operation.method.clone(), &path)
    }
}

/// The operations; deletions last, and those that delete other resources along with their own after the rest.
pub fn operations(service: &Service) -> Vec<Operation> {
    let (deleting, mut others): (Vec<_>, Vec<_>) =
        service.contract.operations().into_iter().partition(|operation| operation.method == Method::DELETE);
    others.extend(deleting.into_iter().rev());
    others
}

/// The body of a PATCH that changes the resource: the examples alone are what it already holds.
pub fn changing_body(service: &Service, operation: &Operation, ids: &ResourceIds) -> Value {
    let mut body = body(service, operation, ids);
    let properties = &service.contract.schema(operation.body_schema())["properties"];
    let is_text = |property: &Value| property["type"] == "string" && property["format"].is_null();
    let text = entries(properties).iter().find(|(_, property)| is_text(property));
    let (name, _) = text.unwrap_or_else(|| panic!("{} has no text to change", operation.body_schema()));
    body[name] = json!(format!("{} again", body[name].as_str().unwrap()));
    body
}
