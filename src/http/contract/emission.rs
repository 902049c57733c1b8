//! Turns poem-openapi's document into the contract.

use std::collections::BTreeSet;

use poem_openapi::{registry::Registry, types::Type};
use serde_json::{Value, json};

use super::{
    components::{error_responses, headers, parameters, response_name},
    enums,
    json::{entries, reference, referenced_schemas, set},
};
use crate::{
    http::{
        error::{ErrorBody, ErrorCode},
        header,
        precondition::{IF_MATCH_HEADER, IF_NONE_MATCH_HEADER},
        request_id,
    },
    telemetry::trace,
    values::integer_enum::ValueNames,
};

/// Completes and corrects poem-openapi's document. Pure. `integer_enums` has names for the values of integer enums,
/// which generated clients would otherwise call `NUMBER_0`.
pub(super) fn emit(spec: &str, integer_enums: &[ValueNames]) -> Value {
    let mut document: Value = serde_json::from_str(spec).unwrap_or_default();
    let mut request_bodies = BTreeSet::new();
    let mut tags = Vec::new();
    for (_, item) in entries(document.get_mut("paths")) {
        for (method, operation) in entries(Some(item)) {
            request_bodies.extend(operation.get("requestBody").map(referenced_schemas).unwrap_or_default());
            tags.push(operation.pointer("/tags/0").cloned());
            complete(method, operation);
        }
    }
    // poem-openapi sorts the tags by name; readers expect them in the order of the operations.
    if let Some(known) = document.get_mut("tags").and_then(Value::as_array_mut) {
        known.sort_by_key(|tag| tags.iter().position(|used| used.as_ref() == tag.get("name")));
    }
    // poem-openapi drops schemas that no operation references; error responses are only added below.
    let mut registry = Registry::new();
    ErrorBody::register(&mut registry);
    let mut schemas = document.pointer("/components/schemas").cloned().unwrap_or_default();
    for (name, schema) in &registry.schemas {
        set(&mut schemas, name, serde_json::to_value(schema).unwrap_or_default());
    }
    if let Some(schemas) = schemas.as_object_mut() {
        schemas.sort_keys();
    }
    if let Some(components) = document.get_mut("components") {
        set(components, "schemas", schemas);
    }
    correct(&mut document);
    for (name, schema) in entries(document.pointer_mut("/components/schemas")) {
        if request_bodies.contains(name) {
            set(schema, "additionalProperties", json!(false));
        }
    }
    set(&mut document, "openapi", json!("3.0.3"));
    if let Some(components) = document.get_mut("components") {
        set(components, "parameters", parameters());
        set(components, "headers", headers());
        set(components, "responses", error_responses());
    }
    enums::complete(&mut document, integer_enums);
    document
}

/// Adds what all operations of a kind have in common: request and response headers, and error responses.
fn complete(method: &str, operation: &mut Value) {
    let traits = Traits::of(operation);
    add_parameters(operation, &traits);
    for (status, response) in entries(operation.get_mut("responses")) {
        add_headers(status, response);
        if status == "200" && method == "patch" {
            set(response, "description", json!("OK: the resource after the change."));
        }
    }
    if let Some(responses) = operation.get_mut("responses") {
        for code in traits.errors() {
            set(responses, code.status().as_str(), reference("responses", &response_name(code)));
        }
        if let Some(responses) = responses.as_object_mut() {
            responses.sort_keys();
        }
    }
    let order = ["tags", "summary", "description", "operationId", "security", "parameters", "requestBody", "responses"];
    let mut rest = operation.take();
    let mut take =
        |key: &str| rest.as_object_mut().and_then(|rest| rest.shift_remove(key)).map(|value| (key.to_owned(), value));
    *operation = order.into_iter().filter_map(&mut take).collect();
}

/// What determines an operation's headers and errors.
struct Traits {
    is_secured: bool,
    has_body: bool,
    /// Whether it is about one thing, which may not be there.
    is_about_one: bool,
    has_precondition: bool,
}

impl Traits {
    fn of(operation: &Value) -> Self {
        let parameters = || operation.get("parameters").and_then(Value::as_array).into_iter().flatten();
        let is_in = |parameter: &Value, place: &str| parameter.get("in") == Some(&json!(place));
        let is_key = |parameter: &Value| {
            is_in(parameter, "path") || (is_in(parameter, "query") && parameter.get("required") == Some(&json!(true)))
        };
        Self {
            is_secured: operation.get("security").is_some(),
            has_body: operation.get("requestBody").is_some(),
            is_about_one: parameters().any(is_key),
            has_precondition: parameters().any(|parameter| is_header(parameter, IF_MATCH_HEADER)),
        }
    }

    fn errors(&self) -> impl Iterator<Item = ErrorCode> {
        let errors = [
            (ErrorCode::BadRequest, self.is_secured),
            (ErrorCode::Unauthorized, self.is_secured),
            (ErrorCode::Forbidden, self.is_secured),
            (ErrorCode::NotFound, self.is_about_one),
            (ErrorCode::RequestTimeout, self.has_body),
            (ErrorCode::IdempotentConflict, self.has_body),
            (ErrorCode::PreconditionFailed, self.has_precondition),
            (ErrorCode::PayloadTooLarge, self.has_body),
            (ErrorCode::UriTooLong, self.is_secured),
            (ErrorCode::UnsupportedMediaType, self.has_body),
            (ErrorCode::TooManyRequests, self.is_secured),
            (ErrorCode::HeadersTooLarge, true),
            (ErrorCode::InternalError, true),
            // Probes declare their own 503, which also reports health.
            (ErrorCode::ServiceUnavailable, self.is_secured),
        ];
        errors.into_iter().filter(|(_, answers)| *answers).map(|(code, _)| code)
    }
}

fn add_parameters(operation: &mut Value, traits: &Traits) {
    let request_id = if traits.has_body { "RequiredRequestId" } else { "RequestId" };
    let mut parameters = vec![reference("parameters", request_id)];
    if traits.has_body {
        parameters.push(reference("parameters", "IdempotencyKey"));
    }
    if traits.is_secured {
        parameters.push(reference("parameters", "TenantId"));
    } else {
        set(operation, "security", json!([]));
    }
    match operation.get_mut("parameters").and_then(Value::as_array_mut) {
        Some(own) => {
            for (name, component) in [(IF_MATCH_HEADER, "IfMatch"), (IF_NONE_MATCH_HEADER, "IfNoneMatch")] {
                let shared = own.iter_mut().filter(|parameter| is_header(parameter, name));
                shared.for_each(|parameter| *parameter = reference("parameters", component));
            }
            own.append(&mut parameters);
        }
        None => set(operation, "parameters", Value::from(parameters)),
    }
}

/// Whether it is the parameter for this header.
fn is_header(parameter: &Value, header: &str) -> bool {
    let name = parameter.get("name").and_then(Value::as_str);
    parameter.get("in") == Some(&json!("header")) && name.is_some_and(|name| name.eq_ignore_ascii_case(header))
}

fn add_headers(status: &str, response: &mut Value) {
    let mut headers = response.get("headers").cloned().unwrap_or_else(|| json!({}));
    if headers.get("ETag").is_some() {
        set(&mut headers, "ETag", reference("headers", "EntityTag"));
    }
    set(&mut headers, request_id::HEADER, reference("headers", "RequestId"));
    set(&mut headers, trace::HEADER, reference("headers", "TraceParent"));
    set(&mut headers, header::RESPONSE_TIME, reference("headers", "ResponseTime"));
    if status == ErrorCode::ServiceUnavailable.status().as_str() {
        set(&mut headers, "Retry-After", reference("headers", "RetryAfter"));
    }
    set(response, "headers", headers);
}

/// Corrects what poem-openapi emits for schemas and parameters.
fn correct(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(correct),
        Value::Object(object) => {
            // poem-openapi wraps a described `$ref` in an anonymous `allOf`; the referenced schema describes itself.
            let named = object.get("allOf").and_then(Value::as_array).and_then(|parts| parts.first()).cloned();
            if let Some(named) = named.filter(|part| part.get("$ref").is_some()) {
                *value = named;
                return;
            }
            // Keys with their default value are noise.
            let defaults = [("deprecated", json!(false)), ("explode", json!(true))];
            object.retain(|key, value| !defaults.iter().any(|(name, default)| key == name && value == default));
            // The same, but generators take an empty schema for one whose name they missed.
            if let Some(any) = object.get_mut("additionalProperties").filter(|schema| **schema == json!({})) {
                *any = json!(true);
            }
            if object.contains_key("properties") {
                object.remove("title");
            }
            for bound in ["minimum", "maximum"] {
                let whole = object.get(bound).and_then(Value::as_f64).filter(|bound| bound.fract() == 0.0);
                if let Some(whole) = whole {
                    object.insert(bound.to_owned(), json!(whole as i64));
                }
            }
            object.values_mut().for_each(correct);
        }
        _ => {}
    }
}
