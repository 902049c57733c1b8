//! Shared components: request and response headers.

use poem_openapi::types::Type;
use serde_json::{Value, json};

use super::json::{reference, set};
use crate::{
    http::{base_path::address, caller, request_id},
    telemetry::trace,
    values::{Id, Tenant, request_id::MAX_LENGTH},
};

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
    json!({
        "RequiredRequestId": {
            "name": request_id::HEADER,
            "in": "header",
            "required": true,
            "description": "Identifies the request and makes it idempotent: use a new id for each change, and the same id to \
                retry a request whose response was lost.",
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
        "Location": {
            "description": "The URL of the new resource.",
            "required": true,
            "schema": { "type": "string", "format": "uri-reference", "maxLength": 2048 },
            "example": address("customers", Id::example("customer")),
        },
    })
}

/// Adds the headers of rates, which every response may have but a probe's.
pub(super) fn limit_headers(headers: &mut Value) {
    set(headers, "RateLimit", reference("headers", "RateLimit"));
    set(headers, "RateLimit-Policy", reference("headers", "RateLimitPolicy"));
}
