//! Shared components: request and response headers.

use poem_openapi::types::Type;
use serde_json::{Value, json};

use super::json::{reference, set};
use crate::{
    database::Position,
    http::{
        base_path::address,
        caller, position,
        precondition::{EntityTag, IF_MATCH_HEADER, IF_NONE_MATCH_HEADER},
        request_id,
    },
    telemetry::trace,
    values::{Id, Tenant, request_id::MAX_LENGTH},
};

/// The entity tag used in examples.
pub(super) const EXAMPLE_TAG: EntityTag = EntityTag { version: 7, masked: false };

/// A key, in quotes or without.
const KEY: &str = r#"^("[!-~]{1,128}"|[!#-~][!-~]{0,127})$"#;
/// `*`, or a list of entity tags.
const ENTITY_TAGS: &str = r#"^([*]|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$"#;

/// Request headers.
pub(super) fn parameters() -> Value {
    // What is malformed in an optional header of a request is replaced, however long it is.
    let lenient = json!({ "type": "string" });
    let bounded = json!({ "type": "string", "minLength": 1, "maxLength": MAX_LENGTH, "pattern": "^[!-~]+$" });
    let mut tenant = json!(<Tenant as Type>::schema_ref());
    // Swagger UI would send it, and a token of another tenant would be refused.
    if let Some(tenant) = tenant.as_object_mut() {
        tenant.shift_remove("example");
    }
    let mut parameters = json!({
        "RequiredRequestId": {
            "name": request_id::HEADER,
            "in": "header",
            "required": true,
            "description": "Identifies the request and makes it idempotent: use a new id for each change, and the same id to \
                retry a request whose response was lost. With an `Idempotency-Key`, it only identifies the request.",
            "schema": bounded,
            "example": request_id::EXAMPLE,
        },
        "RequestId": {
            "name": request_id::HEADER,
            "in": "header",
            "required": false,
            "description": "Identifies the request in the response and in logs: 1 to 128 visible ASCII characters. If it is \
                missing or malformed, the server generates one.",
            "schema": lenient.clone(),
        },
        "TraceParent": {
            "name": trace::HEADER,
            "in": "header",
            "required": false,
            "description": "The trace that the request belongs to (W3C Trace Context). If it is missing or malformed, the \
                server starts one.",
            "schema": lenient,
        },
        "TenantId": {
            "name": caller::TENANT_HEADER,
            "in": "header",
            "required": false,
            "description": "The tenant of the request; by default the token's, else the service's default tenant.",
            "schema": tenant,
        },
    });
    if let Some(parameters) = parameters.as_object_mut() {
        parameters.insert("DatabasePosition".to_owned(), position_parameter());
    }
    if let (Some(parameters), Value::Object(of_changes)) = (parameters.as_object_mut(), change_parameters()) {
        parameters.extend(of_changes);
    }
    parameters
}

/// The request header of reads that must see what a change has written.
fn position_parameter() -> Value {
    json!({
        "name": position::HEADER,
        "in": "header",
        "required": false,
        "description": "What the response to a change had under this name: what is read is not older. Only needed where another \
            instance of the service, or the same after more than 10 seconds, is to show at once what the change wrote; without \
            it, what is read may then be some seconds old, where the service reads from standbys.",
        "schema": { "type": "string", "minLength": 16, "maxLength": 16, "pattern": Position::PATTERN },
    })
}

/// Request headers of changes: what makes them idempotent, and what they depend on.
fn change_parameters() -> Value {
    json!({
        "IdempotencyKey": {
            "name": request_id::KEY_HEADER,
            "in": "header",
            "required": false,
            "description": "Makes the request idempotent in place of `X-Request-ID`, for clients behind proxies that replace \
                that: 1 to 128 visible ASCII characters; double quotes around them are not part of the key.",
            "schema": { "type": "string", "minLength": 1, "maxLength": MAX_LENGTH + 2, "pattern": KEY },
        },
        "IfMatch": {
            "name": IF_MATCH_HEADER,
            "in": "header",
            "required": false,
            "description": "Make the change only if the resource has this version, or one of several: entity tags as in \
                `ETag`, separated by commas, or `*`. Otherwise the response is 412. It does not matter whether a tag is that of \
                a masked view; weak tags (`W/\"7\"`) never match.",
            "schema": { "type": "string", "pattern": ENTITY_TAGS },
        },
        "IfNoneMatch": {
            "name": IF_NONE_MATCH_HEADER,
            "in": "header",
            "required": false,
            "description": "The entity tags of what the client has of the resource, separated by commas, or `*`. If it is \
                still shown like one of them, the response is 304.",
            "schema": { "type": "string", "pattern": ENTITY_TAGS },
        },
    })
}

/// Response headers.
pub(super) fn headers() -> Value {
    json!({
        "RequestId": {
            "description": "The request's `X-Request-ID`, or the one that the server generated.",
            "required": true,
            "schema": { "type": "string", "minLength": 1, "maxLength": MAX_LENGTH },
            "example": request_id::EXAMPLE,
        },
        "TraceParent": {
            "description": "The trace that the request belongs to, and this service's span in it (W3C Trace Context).",
            "required": true,
            "schema": { "type": "string", "maxLength": 55, "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$" },
            "example": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        },
        "ResponseTime": {
            "description": "The processing time in milliseconds.",
            "required": true,
            "schema": { "type": "number", "format": "double", "minimum": 0 },
            "example": 0.84,
        },
        "Authenticate": {
            "description": "How to authenticate, and why the token was not accepted (RFC 6750).",
            "required": true,
            "schema": { "type": "string", "maxLength": 1024 },
            "example": r#"Bearer error="invalid_token", error_description="the token has expired""#,
        },
        "AcceptEncoding": {
            "description": "The content coding that is accepted, where another one is the reason.",
            "schema": { "type": "string", "maxLength": 64 },
            "example": "identity",
        },
        "RetryAfter": {
            "description": "Seconds to wait before retrying.",
            "required": true,
            "schema": { "type": "integer", "format": "int32", "minimum": 0, "maximum": 86400 },
            "example": 1,
        },
        "RateLimit": {
            "description": "What is left of each rate that is configured: requests (`r`), and seconds until more come back (`t`).",
            "schema": { "type": "string", "maxLength": 1024 },
            "example": "\"tenant\";r=0;t=1",
        },
        "RateLimitPolicy": {
            "description": "The rates that are configured: requests (`q`) in a number of seconds (`w`).",
            "schema": { "type": "string", "maxLength": 1024 },
            "example": "\"tenant\";q=100;w=1",
        },
        "DatabasePosition": position_header(),
        "EntityTag": entity_tag(),
        "Location": {
            "description": "The URL of the new resource.",
            "required": true,
            "schema": { "type": "string", "format": "uri-reference", "maxLength": 2048 },
            "example": address("customers", Id::example("customer")),
        },
    })
}

fn position_header() -> Value {
    json!({
        "description": "How far the database had come, where the service reads from standbys: a read that sends it back sees \
                        the change. Opaque.",
        "schema": { "type": "string", "minLength": 16, "maxLength": 16, "pattern": Position::PATTERN },
        "example": "00000004A81F03C8",
    })
}

fn entity_tag() -> Value {
    json!({
        "description": "The version of the resource, for `If-Match` and `If-None-Match`. With personal data masked, it ends \
                        with `-m`.",
        "required": true,
        "schema": { "type": "string", "maxLength": 24, "pattern": "^\"[0-9]+(-m)?\"$" },
        "example": EXAMPLE_TAG.to_string(),
    })
}

/// Adds the headers of rates, which every response may have but a probe's.
pub(super) fn limit_headers(headers: &mut Value) {
    set(headers, "RateLimit", reference("headers", "RateLimit"));
    set(headers, "RateLimit-Policy", reference("headers", "RateLimitPolicy"));
}
