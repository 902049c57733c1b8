//! Shared components: request and response headers, and a response for each error.

use poem_openapi::types::Type;
use serde_json::{Value, json};

use super::json::{reference, set};
use crate::{
    error::Error,
    http::{
        base_path::address,
        caller,
        error::{ErrorCode, ErrorResponse},
        header, request_id,
    },
    telemetry::trace,
    values::{Id, Tenant, TextRule, request_id::MAX_LENGTH, text::NameRule},
};

/// Request headers.
pub(super) fn parameters() -> Value {
    let request_id = |required: bool, schema: Value, description: &str| {
        json!({
            "name": request_id::HEADER,
            "in": "header",
            "required": required,
            "description": description,
            "schema": schema,
        })
    };
    let bounded = json!({ "type": "string", "minLength": 1, "maxLength": MAX_LENGTH, "pattern": "^[!-~]+$" });
    json!({
        "RequiredRequestId": request_id(
            true,
            bounded,
            "Identifies the request and makes it idempotent: use a new id for each change, and the same id to retry a \
             request whose response was lost.",
        ),
        "RequestId": request_id(
            false,
            json!({ "type": "string" }),
            "Identifies the request in the response and in logs: 1 to 128 visible ASCII characters. If it is missing \
             or malformed, the server generates one.",
        ),
        "TenantId": {
            "name": caller::TENANT_HEADER,
            "in": "header",
            "required": false,
            "description": "The tenant of the request; by default the token's, else the service's default tenant.",
            "schema": <Tenant as Type>::schema_ref(),
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
            "schema": { "type": "string", "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$" },
            "example": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        },
        "ResponseTime": {
            "description": "The processing time in milliseconds.",
            "required": true,
            "schema": { "type": "number", "minimum": 0 },
            "example": 0.84,
        },
        "Authenticate": {
            "description": "How to authenticate, and why the token was not accepted (RFC 6750).",
            "required": true,
            "schema": { "type": "string" },
            "example": r#"Bearer error="invalid_token", error_description="the token has expired""#,
        },
        "MissingScope": {
            "description": "The scope that the token lacks, where that is the reason (RFC 6750).",
            "schema": { "type": "string" },
            "example": r#"Bearer error="insufficient_scope", scope="crm:write""#,
        },
        "RetryAfter": {
            "description": "Seconds to wait before retrying.",
            "required": true,
            "schema": { "type": "integer", "format": "int32", "minimum": 0 },
            "example": 1,
        },
        "RateLimit": {
            "description": "What is left of each rate that is configured: requests (`r`), and seconds until more come back (`t`).",
            "schema": { "type": "string" },
            "example": "\"tenant\";r=0;t=1",
        },
        "RateLimitPolicy": {
            "description": "The rates that are configured: requests (`q`) in a number of seconds (`w`).",
            "schema": { "type": "string" },
            "example": "\"tenant\";q=100;w=1",
        },
        "ConflictLocation": {
            "description": "The URL of the resource that the accepted request created or changed.",
            "required": true,
            "schema": { "type": "string", "format": "uri-reference" },
            "example": address("customers", Id::parse_or_nil(Id::EXAMPLE)),
        },
    })
}

/// One response per error code, referenced by every operation that can return it.
pub(super) fn error_responses() -> Value {
    let example = Id::parse_or_nil(Id::EXAMPLE);
    let errors: [(ErrorResponse, &str); 13] = [
        (
            Error::invalid(format!("name: {}", NameRule::EXPECTED)).into(),
            "A header, a parameter or the body is invalid; `details` names it.",
        ),
        (Error::unauthenticated("Authorization: is required").into(), "The token is missing or invalid."),
        (
            Error::insufficient_scope("crm:write").into(),
            "The token lacks the required scope, or does not allow the tenant.",
        ),
        (Error::not_found().into(), "The tenant has no resource with this id."),
        (
            Error::duplicate_request("customers".to_owned(), example).into(),
            "A request with this `X-Request-ID` was already accepted; this one changed nothing.",
        ),
        (
            ErrorResponse::request_timeout("the body did not arrive within 30 seconds"),
            "The body did not arrive in time; nothing was changed. The connection is closed.",
        ),
        (ErrorResponse::payload_too_large(131_072), "The body exceeds the service's size limit (128 KiB by default)."),
        (ErrorResponse::uri_too_long(16_384), "The URL is longer than 16 KiB."),
        (ErrorResponse::unsupported_media_type(), "The body is not `application/json`."),
        (
            Error::too_many("the tenant may send 100 requests per second").into(),
            "The caller, or its tenant, sends too many requests, or has too many of them waiting.",
        ),
        (
            ErrorResponse::headers_too_large("Authorization: the token must not be longer than 8192 bytes"),
            "The token is longer than 8 KiB, or the head of the request than 32 KiB.",
        ),
        (Error::internal("").into(), "The service failed; its log has the cause under the request id."),
        (
            Error::unavailable("").into(),
            "The service cannot answer right now; nothing was changed, unless `details` says that this is not known.",
        ),
    ];
    let mut responses = json!({});
    for (error, description) in errors {
        let code = error.code();
        let headers = error_headers(code);
        let example = error.body(request_id::EXAMPLE);
        let content =
            json!({ "application/json": { "schema": reference("schemas", "ErrorBody"), "example": example } });
        let response = json!({ "description": description, "headers": headers, "content": content });
        set(&mut responses, &response_name(code), response);
    }
    responses
}

/// The headers of an error.
fn error_headers(code: ErrorCode) -> Value {
    let mut headers = json!({
        (request_id::HEADER): reference("headers", "RequestId"),
        (trace::HEADER): reference("headers", "TraceParent"),
        (header::RESPONSE_TIME): reference("headers", "ResponseTime"),
    });
    match code {
        ErrorCode::Unauthorized => set(&mut headers, "WWW-Authenticate", reference("headers", "Authenticate")),
        ErrorCode::Forbidden => set(&mut headers, "WWW-Authenticate", reference("headers", "MissingScope")),
        ErrorCode::IdempotentConflict => set(&mut headers, "Location", reference("headers", "ConflictLocation")),
        ErrorCode::TooManyRequests => {
            set(&mut headers, "Retry-After", reference("headers", "RetryAfter"));
            set(&mut headers, "RateLimit", reference("headers", "RateLimit"));
            set(&mut headers, "RateLimit-Policy", reference("headers", "RateLimitPolicy"));
        }
        ErrorCode::ServiceUnavailable => set(&mut headers, "Retry-After", reference("headers", "RetryAfter")),
        _ => {}
    }
    headers
}

/// The component's name, such as `NotFound` for `NOT_FOUND`.
pub(super) fn response_name(code: ErrorCode) -> String {
    format!("{code:?}")
}
