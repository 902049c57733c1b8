//! The walk through every operation of the contract. It makes one resource of each kind first, by the examples in the
//! contract; references are filled with the ids that were made, by the name of the field.

use std::collections::HashMap;

use poem::http::Method;
use serde_json::{Value, json};

use super::{
    Call, Service,
    contract::{Operation, entries},
};

/// One resource of each kind, by the name of its id: `customerId`.
pub type World = HashMap<String, String>;

/// Makes one resource of each kind, in the order of the contract.
pub async fn world(service: &Service) -> World {
    let mut world = World::new();
    for operation in service.contract.operations().iter().filter(|operation| operation.method == Method::POST) {
        let body = body(service, operation, &world);
        let made = service.create(&operation.template, body).await;
        let id_field = entries(&made).keys().next().unwrap().clone();
        assert!(id_field.ends_with("Id"), "a resource begins with its own id: {made}");
        world.insert(id_field.clone(), made[&id_field].as_str().unwrap().to_owned());
    }
    world
}

/// The body that the contract's examples make.
pub fn body(service: &Service, operation: &Operation, world: &World) -> Value {
    let schema = service.contract.schema(operation.body_schema());
    let mut body = json!({});
    for (name, property) in entries(&schema["properties"]) {
        let named = property["$ref"].as_str().and_then(|path| path.rsplit('/').next());
        let example = named.map_or(property, |name| service.contract.schema(name))["example"].clone();
        match world.get(name) {
            Some(id) => body[name] = json!(id),
            None if property["type"] == "boolean" => body[name] = json!(true),
            None => body[name] = example,
        }
        assert!(!body[name].is_null(), "{}.{name} has no example", operation.body_schema());
    }
    body
}

pub fn path(operation: &Operation, world: &World) -> String {
    let part = |part: &str| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
        Some(name) => world.get(&camel(name)).unwrap_or_else(|| panic!("nothing was made for {name}")).clone(),
        None => part.to_owned(),
    };
    operation.template.split('/').map(part).collect::<Vec<_>>().join("/")
}

pub fn camel(name: &str) -> String {
    let mut parts = name.split('_');
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |camel, part| camel + &part[..1].to_uppercase() + &part[1..])
}

/// The scope that an operation needs.
pub fn scope(operation: &Operation) -> &'static str {
    match operation.method {
        _ if operation.template == "/audit-logs" => "crm:audit:read",
        Method::GET => "crm:read",
        _ => "crm:write",
    }
}

/// A request that succeeds.
pub fn request<'s>(service: &'s Service, operation: &Operation, world: &World) -> Call<'s> {
    let path = path(operation, world);
    if operation.has_body() {
        let body = body(service, operation, world);
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

/// The operations, those that delete last, and of them the ones that delete most at the end.
pub fn operations(service: &Service) -> Vec<Operation> {
    let (deleting, mut others): (Vec<_>, Vec<_>) =
        service.contract.operations().into_iter().partition(|operation| operation.method == Method::DELETE);
    others.extend(deleting.into_iter().rev());
    others
}

/// A PATCH that changes something: the first free text that the body has. The examples made what is there.
pub fn effective_body(service: &Service, operation: &Operation, world: &World) -> Value {
    let mut body = body(service, operation, world);
    let properties = &service.contract.schema(operation.body_schema())["properties"];
    let is_text = |property: &Value| property["type"] == "string" && property["format"].is_null();
    let text = entries(properties).iter().find(|(_, property)| is_text(property));
    let (name, _) = text.unwrap_or_else(|| panic!("{} has no text to change", operation.body_schema()));
    body[name] = json!(format!("{} again", body[name].as_str().unwrap()));
    body
}
