//! What the contract says of errors: a response for each code, and for those whose details depend on the operation one of its
//! own.

use serde_json::{Map, Value, json};

use super::{
    components::{EXAMPLE_TAG, limit_headers},
    examples::{drop_nulls, example_id, kind_of},
    json::{reference, set},
    traits::Traits,
};
use crate::{
    error::{Error, NamedResource},
    http::{
        caller::{FOREIGN_TENANT, TENANT_HEADER},
        error::{ErrorCode, ErrorResponse},
        header, position, request_id,
    },
    telemetry::trace,
    values::{Id, Tenant, unknown_name},
};

/// A named example: its name, what it shows, and the error.
type Example = (&'static str, &'static str, ErrorResponse);

/// One response for each code whose details are the same for all operations.
pub(super) fn responses() -> Value {
    let all: [(ErrorResponse, &str, &str); 10] = [
        (Error::unauthenticated("Authorization: is required").into(), "The token is missing or invalid.", "No token"),
        (
            Error::precondition_failed(EXAMPLE_TAG.to_string()).into(),
            "The resource has none of the versions in `If-Match`; nothing was changed. `ETag` has its version.",
            "Another version",
        ),
        (
            ErrorResponse::request_timeout("the body did not arrive within 30 seconds"),
            "The body did not arrive in time; nothing was changed. The connection is closed.",
            "A slow body",
        ),
        (
            ErrorResponse::payload_too_large(131_072),
            "The body exceeds the service's size limit (128 KiB by default).",
            "A large body",
        ),
        (ErrorResponse::uri_too_long(16_384), "The URL is longer than 16 KiB.", "A long URL"),
        (
            ErrorResponse::unsupported_media_type(),
            "The body is not `application/json` in UTF-8, or it is compressed.",
            "Another media type",
        ),
        (
            Error::too_many("the tenant may send 100 requests per second").into(),
            "The caller, or its tenant, sends too many requests, or has too many of them waiting.",
            "Too many requests",
        ),
        (
            ErrorResponse::headers_too_large("Authorization: the token must not be longer than 8192 bytes"),
            "The token is longer than 8 KiB, or the head of the request than 32 KiB.",
            "A long token",
        ),
        (Error::internal("").into(), "The service failed; its log has the cause under the request id.", ""),
        (
            Error::outcome_unknown("").into(),
            "The service cannot answer right now; nothing was changed, unless `details` says that this is not known.",
            "It is not known whether the change was made",
        ),
    ];
    let mut responses = json!({});
    for (error, description, summary) in all {
        let name = response_name(error.code());
        let response = response(error.code(), description, &[("default", summary, error)]);
        set(&mut responses, &name, response);
    }
    responses
}

/// The component's name, such as `NotFound` for `NOT_FOUND`.
pub(super) fn response_name(code: ErrorCode) -> String {
    format!("{code:?}")
}

/// The response of an operation: its own, or the one that all have.
pub(super) fn response_of(code: ErrorCode, traits: &Traits, schemas: &Value) -> Value {
    match code {
        ErrorCode::BadRequest => {
            let description = "A header, a parameter or the body is invalid; `details` names it.";
            response(code, description, &invalid(traits, schemas))
        }
        ErrorCode::Forbidden => forbidden(traits),
        ErrorCode::NotFound => {
            let example =
                ("unknownId", "An unknown id, or another tenant's", ErrorResponse::not_found_at(traits.template));
            response(code, "The tenant has no resource with this id.", &[example])
        }
        ErrorCode::IdempotentConflict => duplicate(traits),
        code => reference("responses", &response_name(code)),
    }
}

/// What can be wrong with a request to this operation, in the words of the service.
fn invalid(traits: &Traits, schemas: &Value) -> Vec<Example> {
    let mut examples = Vec::new();
    let mut add = |name, summary, details: String| examples.push((name, summary, Error::invalid(details).into()));
    if let Some(body) = &traits.body {
        let schema = schemas.get(body);
        let fields: Vec<&str> = schema
            .and_then(|schema| schema.get("properties")?.as_object())
            .map(|fields| fields.keys().map(String::as_str).collect())
            .unwrap_or_default();
        let required = schema.and_then(|schema| schema.pointer("/required/0")?.as_str());
        add("requestId", "No request id", format!("{}: is required", request_id::HEADER));
        if let Some(required) = required {
            add("missingField", "A required field is missing", format!("missing field `{required}`"));
        }
        let mistyped = format!("{}s", fields.first().unwrap_or(&"name"));
        let details = unknown_name::describe(&mistyped, "a field of this body", &fields);
        add("unknownField", "A field does not exist", details);
    }
    if let Some((name, min, max)) = &traits.range {
        add("outOfRange", "A number is out of range", format!("{name}: must be a whole number from {min} to {max}"));
    }
    let known: Vec<&str> = traits.query.iter().map(String::as_str).collect();
    let details = unknown_name::describe("dryRun", "a parameter of this operation", &known);
    add("unknownParameter", "A parameter does not exist", details);
    add("tenant", "A malformed tenant", format!("{TENANT_HEADER}: {}", Tenant::EXPECTED));
    examples
}

fn forbidden(traits: &Traits) -> Value {
    let Some(scope) = traits.scope() else { return json!({}) };
    let examples = [
        ("scope", "The token lacks the scope", Error::insufficient_scope(scope).into()),
        ("tenant", "The token is another tenant's", Error::forbidden(FOREIGN_TENANT).into()),
    ];
    let description = "The token lacks the required scope, or does not allow the tenant.";
    let mut response = response(ErrorCode::Forbidden, description, &examples);
    let challenge = json!({
        "description": "The scope that the token lacks, where that is the reason (RFC 6750).",
        "schema": { "type": "string", "maxLength": 1024 },
        "example": format!(r#"Bearer error="insufficient_scope", scope="{scope}""#),
    });
    if let Some(headers) = response.get_mut("headers") {
        set(headers, "WWW-Authenticate", challenge);
    }
    response
}

fn duplicate(traits: &Traits) -> Value {
    let resource = NamedResource {
        kind: kind_of(&traits.id),
        collection: traits.collection().to_owned(),
        id: Id::parse_or_nil(&example_id(&traits.id)),
    };
    let error: ErrorResponse = Error::duplicate_request(request_id::HEADER, resource).into();
    let location = json!({
        "description": "The URL of the resource that the accepted request created or changed.",
        "required": true,
        "schema": { "type": "string", "format": "uri-reference", "maxLength": 2048 },
        "example": error.location(),
    });
    let description =
        "A request with this `X-Request-ID` or `Idempotency-Key` was already accepted; this one changed nothing.";
    let mut response = response(
        ErrorCode::IdempotentConflict,
        description,
        &[("duplicate", "A request that was accepted before", error)],
    );
    if let Some(headers) = response.get_mut("headers") {
        set(headers, "Location", location);
    }
    response
}

/// A response with these examples; those without details are left out, because linters stumble over `null`.
fn response(code: ErrorCode, description: &str, examples: &[Example]) -> Value {
    let mut named = Map::new();
    for (name, summary, error) in examples.iter().filter(|(_, _, error)| error.body("").details.0.is_some()) {
        let mut value = json!(error.body(request_id::EXAMPLE));
        drop_nulls(&mut value);
        named.insert((*name).to_owned(), json!({ "summary": summary, "value": value }));
    }
    let mut media_type = json!({ "schema": reference("schemas", "ErrorBody") });
    if !named.is_empty() {
        set(&mut media_type, "examples", Value::Object(named));
    }
    json!({ "description": description, "headers": headers(code), "content": { "application/json": media_type } })
}

/// The headers of an error.
fn headers(code: ErrorCode) -> Value {
    let mut headers = json!({
        (request_id::HEADER): reference("headers", "RequestId"),
        (trace::HEADER): reference("headers", "TraceParent"),
        (header::RESPONSE_TIME): reference("headers", "ResponseTime"),
    });
    limit_headers(&mut headers);
    match code {
        ErrorCode::Unauthorized => set(&mut headers, "WWW-Authenticate", reference("headers", "Authenticate")),
        ErrorCode::PreconditionFailed => set(&mut headers, "ETag", reference("headers", "EntityTag")),
        ErrorCode::UnsupportedMediaType => set(&mut headers, "Accept-Encoding", reference("headers", "AcceptEncoding")),
        ErrorCode::TooManyRequests | ErrorCode::ServiceUnavailable => {
            set(&mut headers, "Retry-After", reference("headers", "RetryAfter"));
        }
        _ => {}
    }
    // Whoever is told of what is there will want to read it.
    if matches!(code, ErrorCode::IdempotentConflict | ErrorCode::PreconditionFailed) {
        set(&mut headers, position::HEADER, reference("headers", "DatabasePosition"));
    }
    headers
}
