//! Shared components: request and response headers, and a response for each error.

use poem_openapi::types::Type;
use serde_json::{Value, json};

use super::json::{reference, set};
use crate::{
    error::{Error, NamedResource},
    http::{
        base_path::address,
        caller,
        error::{ErrorCode, ErrorResponse},
        header,
        precondition::{EntityTag, IF_MATCH_HEADER, IF_NONE_MATCH_HEADER},
        request_id,
    },
    telemetry::trace,
    values::{Id, Tenant, TextRule, request_id::MAX_LENGTH, text::NameRule},
};

/// The entity tag used in examples.
const EXAMPLE_TAG: EntityTag = EntityTag { version: 7, masked: false };

/// A key, in quotes or without.
const KEY: &str = r#"^("[!-~]{1,128}"|[!#-~][!-~]{0,127})$"#;
/// `*`, or a list of entity tags.
const ENTITY_TAGS: &str = r#"^([*]|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$"#;

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
             request whose response was lost. With an `Idempotency-Key`, it only identifies the request.",
        ),
        "RequestId": request_id(
            false,
            json!({ "type": "string" }),
            "Identifies the request in the response and in logs: 1 to 128 visible ASCII characters. If it is missing \
             or malformed, the server generates one.",
        ),
        "IdempotencyKey": {
            "name": request_id::KEY_HEADER,
            "in": "header",
            "required": false,
            "description": "Makes the request idempotent in place of `X-Request-ID`, for clients behind proxies that replace \
                            that: 1 to 128 visible ASCII characters; double quotes around them are not part of the key.",
            "schema": { "type": "string", "minLength": 1, "maxLength": MAX_LENGTH + 2, "pattern": KEY },
            "example": request_id::EXAMPLE,
        },
        "IfMatch": {
            "name": IF_MATCH_HEADER,
            "in": "header",
            "required": false,
            "description": "Make the change only if the resource has this version, or one of several: entity tags as in \
                            `ETag`, separated by commas, or `*`. Otherwise the response is 412. It does not matter whether a \
                            tag is that of a masked view; weak tags (`W/\"7\"`) never match.",
            "schema": { "type": "string", "pattern": ENTITY_TAGS },
            "example": EXAMPLE_TAG.to_string(),
        },
        "IfNoneMatch": {
            "name": IF_NONE_MATCH_HEADER,
            "in": "header",
            "required": false,
            "description": "The entity tags of what the client has of the resource, separated by commas, or `*`. If it is \
                            still shown like one of them, the response is 304.",
            "schema": { "type": "string", "pattern": ENTITY_TAGS },
            "example": EXAMPLE_TAG.to_string(),
        },
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
        "EntityTag": {
            "description": "The version of the resource, for `If-Match` and `If-None-Match`. With personal data masked, it ends \
                            with `-m`.",
            "required": true,
            "schema": { "type": "string", "pattern": "^\"[0-9]+(-m)?\"$" },
            "example": EXAMPLE_TAG.to_string(),
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
    let accepted = NamedResource { kind: "customer".to_owned(), collection: "customers".to_owned(), id: example };
    let errors: [(ErrorResponse, &str); 14] = [
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
            Error::duplicate_request(request_id::HEADER, accepted).into(),
            "A request with this `X-Request-ID` or `Idempotency-Key` was already accepted; this one changed nothing.",
        ),
        (
            Error::precondition_failed(EXAMPLE_TAG.to_string()).into(),
            "The resource has none of the versions in `If-Match`; nothing was changed. `ETag` has its version.",
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
        ErrorCode::PreconditionFailed => set(&mut headers, "ETag", reference("headers", "EntityTag")),
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
