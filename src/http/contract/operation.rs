//! Adds to an operation what all of its kind have in common: headers, error responses, who may call it, what it answers.

use serde_json::{Value, json};

use super::{
    components::limit_headers,
    errors::response_of,
    examples::{example_id, first_sentence, upper_first},
    json::{entries, reference, schema_name, set},
    traits::{Traits, is_header},
};
use crate::{
    http::{
        access,
        error::ErrorCode,
        header, listing, position,
        precondition::{IF_MATCH_HEADER, IF_NONE_MATCH_HEADER},
        reply, request_id,
    },
    telemetry::trace,
};

/// The keys of an operation, in reading order.
const ORDER: [&str; 8] =
    ["tags", "summary", "description", "operationId", "security", "parameters", "requestBody", "responses"];

/// Completes an operation.
pub(super) fn complete(route: (&str, &str), operation: &mut Value, schemas: &Value) {
    let traits = Traits::of(route, operation, schemas);
    add_parameters(operation, &traits);
    secure(operation, &traits);
    let summary = operation.get("summary").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(responses) = operation.get_mut("responses") {
        for (status, response) in entries(Some(responses)) {
            add_headers(status, response, &traits);
            describe(&summary, status, response, schemas);
        }
        for code in traits.errors() {
            set(responses, code.status().as_str(), response_of(code, &traits, schemas));
        }
        if let Some(responses) = responses.as_object_mut() {
            responses.sort_keys();
        }
    }
    let mut rest = operation.take();
    let mut take =
        |key: &str| rest.as_object_mut().and_then(|rest| rest.shift_remove(key)).map(|value| (key.to_owned(), value));
    *operation = ORDER.into_iter().filter_map(&mut take).collect();
}

/// Adds what else a list is asked where one argument stands for all of that.
pub(super) fn add_listing(operation: &mut Value) {
    let Some(parameters) = operation.get_mut("parameters").and_then(Value::as_array_mut) else { return };
    let Some(sort) = parameters.iter().position(|parameter| parameter.get("name") == Some(&json!(listing::SORT)))
    else {
        return;
    };
    let further = listing::beside_sort().map(|(name, description, schema)| {
        json!({ "name": name, "schema": schema, "in": "query", "description": description, "required": false })
    });
    parameters.splice(sort + 1..=sort, further);
}

fn add_parameters(operation: &mut Value, traits: &Traits) {
    let mut parameters: Vec<Value> = operation.get("parameters").and_then(Value::as_array).cloned().unwrap_or_default();
    for parameter in &mut parameters {
        let is_required = parameter.get("required") == Some(&json!(true));
        let name = parameter.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let Some(schema) = parameter.get_mut("schema").and_then(Value::as_object_mut) else { continue };
        // Swagger UI sends the example of an optional parameter unless it is taken out.
        match is_required {
            true if schema.get("format") == Some(&json!("uuid")) => {
                schema.insert("example".to_owned(), json!(example_id(&name)));
            }
            true => {}
            false => drop(schema.shift_remove("example")),
        }
    }
    for (name, component) in [(IF_MATCH_HEADER, "IfMatch"), (IF_NONE_MATCH_HEADER, "IfNoneMatch")] {
        let shared = parameters.iter_mut().filter(|parameter| is_header(parameter, name));
        shared.for_each(|parameter| *parameter = reference("parameters", component));
    }
    let request_id = if traits.body.is_some() { "RequiredRequestId" } else { "RequestId" };
    parameters.push(reference("parameters", request_id));
    if traits.body.is_some() {
        parameters.push(reference("parameters", "IdempotencyKey"));
    }
    if !traits.scopes.is_empty() {
        parameters.push(reference("parameters", "TenantId"));
        if !traits.changes {
            parameters.push(reference("parameters", "DatabasePosition"));
        }
    }
    parameters.push(reference("parameters", "TraceParent"));
    set(operation, "parameters", Value::from(parameters));
}

/// Who may call the operation: with a token that has the scope, by either scheme.
fn secure(operation: &mut Value, traits: &Traits) {
    let mut security: Vec<Value> =
        traits.scopes.iter().map(|scopes| json!({ (access::OAUTH_SCHEME): scopes })).collect();
    if !security.is_empty() {
        security.push(json!({ (access::SECURITY_SCHEME): [] }));
    }
    set(operation, "security", Value::from(security));
    if !traits.scopes.is_empty() {
        let quoted =
            |scopes: &Vec<&str>| scopes.iter().map(|scope| format!("`{scope}`")).collect::<Vec<_>>().join(" and ");
        let scopes = traits.scopes.iter().map(quoted).collect::<Vec<_>>().join(" or ");
        let noun = if traits.scopes.iter().any(|scopes| scopes.len() > 1) { "Scopes" } else { "Scope" };
        let description = operation.get("description").and_then(Value::as_str).unwrap_or_default();
        let description = format!("{description}\n\n{noun}: {scopes}.");
        set(operation, "description", json!(description));
    }
}

fn add_headers(status: &str, response: &mut Value, traits: &Traits) {
    let mut headers = response.get("headers").cloned().unwrap_or_else(|| json!({}));
    if headers.get("Location").is_some() {
        set(&mut headers, "Location", reference("headers", "Location"));
    }
    if headers.get("ETag").is_some() {
        set(&mut headers, "ETag", reference("headers", "EntityTag"));
    }
    set(&mut headers, request_id::HEADER, reference("headers", "RequestId"));
    set(&mut headers, trace::HEADER, reference("headers", "TraceParent"));
    set(&mut headers, header::RESPONSE_TIME, reference("headers", "ResponseTime"));
    if !traits.scopes.is_empty() {
        limit_headers(&mut headers);
    }
    if traits.changes && status.starts_with('2') {
        set(&mut headers, position::HEADER, reference("headers", "DatabasePosition"));
    }
    if status == ErrorCode::ServiceUnavailable.status().as_str() {
        set(&mut headers, "Retry-After", reference("headers", "RetryAfter"));
    }
    set(response, "headers", headers);
}

/// Says what a successful response is, where the framework says the same of all.
fn describe(summary: &str, status: &str, response: &mut Value, schemas: &Value) {
    let own = response.get("description").and_then(Value::as_str).unwrap_or_default();
    if ![reply::FOUND, reply::CREATED, reply::DELETED].contains(&own) {
        return;
    }
    let (verb, object) = summary.split_once(' ').unwrap_or_default();
    let noun = ["a ", "an ", "the "].iter().find_map(|article| object.strip_prefix(article)).unwrap_or(object);
    let description = match (verb, status) {
        ("List", "200") => format!("A page of {noun}."),
        ("Get", "200") => format!("The {noun}."),
        ("Change", "200") => format!("The {noun} after the change."),
        ("Create", "201") => format!("The new {noun}."),
        ("Delete", "204") => format!("The {noun} is deleted."),
        _ => {
            let schema = response.pointer("/content/application~1json/schema").and_then(schema_name);
            let described = schema.and_then(|schema| schemas.get(schema)?.get("description")?.as_str());
            upper_first(first_sentence(described.unwrap_or(own))) + "."
        }
    };
    set(response, "description", json!(description));
}
