//! What operations refer to: headers in and out, and a response for each error.

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

/// The headers of requests.
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
            "Names the request and makes it idempotent: use a new one for each change, and the same one to repeat a \
             request whose answer was lost.",
        ),
        "RequestId": request_id(
            false,
            json!({ "type": "string" }),
            "Names the request in the reply and in logs: 1 to 128 visible ASCII characters. The server makes one where \
             it is missing or malformed.",
        ),
        "TenantId": {
            "name": caller::TENANT_HEADER,
            "in": "header",
            "required": false,
            "description": "The tenant that the request is about; by default the token's, else the service's default tenant.",
            "schema": <Tenant as Type>::schema_ref(),
        },
    })
}

/// The headers of replies.
pub(super) fn headers() -> Value {
    json!({
        "RequestId": {
            "description": "The request's `X-Request-ID`, or the one the server made.",
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
            "description": "How long the service took, in milliseconds.",
            "required": true,
            "schema": { "type": "number", "minimum": 0 },
            "example": 0.84,
        },
        "Authenticate": {
            "description": "How to authenticate.",
            "required": true,
            "schema": { "type": "string" },
            "example": "Bearer",
        },
        "RetryAfter": {
            "description": "After how many seconds to try again.",
            "required": true,
            "schema": { "type": "integer", "format": "int32", "minimum": 0 },
            "example": 1,
        },
        "ConflictLocation": {
            "description": "The address of the resource that the accepted request made or changed.",
            "required": true,
            "schema": { "type": "string", "format": "uri-reference" },
            "example": address("customers", Id::parse_or_nil(Id::EXAMPLE)),
        },
    })
}

/// One response for each code, described once and referred to by every operation that can answer it.
pub(super) fn error_responses() -> Value {
    let example = Id::parse_or_nil(Id::EXAMPLE);
    let errors: [(ErrorResponse, &str); 9] = [
        (
            Error::invalid(format!("name: {}", NameRule::EXPECTED)).into(),
            "A header, parameter or the body is not valid; `details` names it.",
        ),
        (Error::unauthenticated("Authorization: is required").into(), "The token is missing or not valid."),
        (
            Error::forbidden("the token lacks the scope crm:write").into(),
            "The token lacks the scope, or does not name the tenant.",
        ),
        (Error::not_found().into(), "The tenant has no resource with this id."),
        (
            Error::duplicate_request("customers".to_owned(), example).into(),
            "A request with this `X-Request-ID` was accepted before; nothing was changed now.",
        ),
        (
            ErrorResponse::payload_too_large(262_144),
            "The body is larger than the service's limit (by default 256 KiB).",
        ),
        (ErrorResponse::unsupported_media_type(), "The body is not `application/json`."),
        (Error::internal("").into(), "The service failed; the log has the reason under the request id."),
        (Error::unavailable("").into(), "The service cannot answer right now; nothing was changed."),
    ];
    let mut responses = json!({});
    for (error, description) in errors {
        let code = error.code();
        let mut headers = json!({
            (request_id::HEADER): reference("headers", "RequestId"),
            (trace::HEADER): reference("headers", "TraceParent"),
            (header::RESPONSE_TIME): reference("headers", "ResponseTime"),
        });
        match code {
            ErrorCode::Unauthorized => set(&mut headers, "WWW-Authenticate", reference("headers", "Authenticate")),
            ErrorCode::IdempotentConflict => set(&mut headers, "Location", reference("headers", "ConflictLocation")),
            ErrorCode::ServiceUnavailable => set(&mut headers, "Retry-After", reference("headers", "RetryAfter")),
            _ => {}
        }
        let example = error.body(request_id::EXAMPLE);
        let content =
            json!({ "application/json": { "schema": reference("schemas", "ErrorBody"), "example": example } });
        let response = json!({ "description": description, "headers": headers, "content": content });
        set(&mut responses, &response_name(code), response);
    }
    responses
}

/// `NotFound` for the code `NOT_FOUND`.
pub(super) fn response_name(code: ErrorCode) -> String {
    format!("{code:?}")
}
