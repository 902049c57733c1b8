//! The OpenAPI 3.0 contract: emitted from the operations and their types, the same for `crm openapi`, for
//! `/openapi.yaml` and for the frozen `openapi/api_contract.yaml`.
//!
//! A new resource adds its API to [`Apis`] and its tag to [`Tag`]. `emit` is the one place where the framework's
//! document is put right: what holds for every operation (headers, errors) is added by rule, so that a new operation
//! has it, and what the framework gets wrong is mended. Nothing repairs the document afterwards.

use std::collections::BTreeSet;

use poem_openapi::{ContactObject, LicenseObject, OpenApiService, ServerObject, Tags, registry::Registry, types::Type};
use serde_json::{Map, Value, json};

use super::{BASE_PATH, RESPONSE_TIME_HEADER, caller, probes::ProbesApi, request_id};
use crate::{
    audit::AuditLogsApi,
    contacts::ContactsApi,
    customers::{CustomerStatus, CustomersApi},
    error::{ApiError, ErrorBody, ErrorCode},
    events::EventsApi,
    follow_ups::FollowUpsApi,
    opportunities::{OpportunitiesApi, OpportunityStage, OpportunityStatus},
    telemetry::trace,
    values::{Id, Tenant, TextRule, code, text::NameRule},
};

/// The version of the contract, which is not that of the program: see `openapi/README.md` for what raises it.
pub const VERSION: &str = "1.2.0";

/// A request id for the examples.
pub(super) const REQUEST_ID: &str = "4f1c0f3e-2d4b-4c58-9a57-0d6a6f0f6a11";

/// Every operation there is.
pub type Apis = (ProbesApi, CustomersApi, ContactsApi, OpportunitiesApi, FollowUpsApi, EventsApi, AuditLogsApi);

/// How operations are grouped.
#[derive(Tags)]
pub enum Tag {
    /// The state of the service, for gateways and operators.
    Health,
    /// The organisations and people the company sells to.
    Customers,
    /// The people at a customer.
    Contacts,
    /// Possible sales to a customer, by stage and amount.
    Opportunities,
    /// What was said and done, about a customer, an opportunity, a contact, or none of them.
    #[oai(rename = "Follow-ups")]
    FollowUps,
    /// What happened, for other services to follow.
    Events,
    /// Who did what, and when.
    #[oai(rename = "Audit logs")]
    AuditLogs,
}

/// The operations as the framework serves them.
#[must_use]
pub fn service() -> OpenApiService<Apis, ()> {
    let apis = (ProbesApi, CustomersApi, ContactsApi, OpportunitiesApi, FollowUpsApi, EventsApi, AuditLogsApi);
    OpenApiService::new(apis, "CRM cell", VERSION)
        .description(
            "Customers, contacts, opportunities and follow-ups for many tenants.\n\n\
             **Tenants.** Every request is about one tenant: the header `X-Tenant-Id`, else the token's claim \
             `tenant_id`, else the service's default tenant. Tenants never see each other's data; another tenant's id \
             is answered like an unknown one.\n\n\
             **Idempotency.** POST and PATCH need an `X-Request-ID`. The first accepted request with an id takes \
             effect; any further one of the tenant with the same id, whatever its method and path, is answered 409 with \
             the address of the resource in `Location` and changes nothing. A refused request leaves its id free.\n\n\
             **Order of judgement.** Token (401), scope and tenant (403), headers and query (400), body (415, 413, 400), \
             duplicate (409), existence (404), references (400).\n\n\
             **Faults.** 200, 201 and 204 of a change mean that it is on disk. Where the service cannot answer as it should it \
             answers 503 with `Retry-After`, within ten seconds: the same request may be sent again with the same \
             `X-Request-ID`. Where `details` says that the outcome is not known, that answers 409 if the change was made.\n\n\
             **Bodies.** Unknown fields are refused. Strings are trimmed before they are checked; lengths count Unicode \
             characters. In a PATCH an absent field stays as it is and `null` clears a field that may be empty. \
             Replies always carry every field of their schema.\n\n\
             **Lists.** Newest first, by creation time and then id, in pages; `total` counts all pages exactly. A \
             filter by an id the tenant does not have finds nothing. Unknown query parameters are ignored.\n\n\
             **Personal data.** Phone numbers and e-mail addresses (`contactPhone`, `contactEmail` of a customer, `phone`, \
             `email` of a contact) are masked (`138****5678`, `+86 138****5678`, `a***@b.com`) unless the token has the \
             scope `crm:pii:read`, or the service is configured to leave masking to the platform. A masked value is \
             refused in a write. A filter by one of them finds every way of writing it: phone numbers by the rules of \
             libphonenumber, e-mail addresses regardless of case.\n\n\
             **Events.** What happens to a resource is told as an event, in order and without gaps, at `GET /events`; \
             `openapi/events.yaml` describes them all.\n\n\
             **Audit.** Recorded in the tenant's audit trail are every change of a resource, every reply that shows personal \
             data in clear without having changed it, and every request refused to a known caller (401, 403, 409).\n\n\
             **Traces.** A `traceparent` (W3C Trace Context) is continued, and answered with this service's span in it.\n\n\
             **Errors.** Every 4xx and 5xx has the body `ErrorBody`, to which the 503 of a probe adds the state of the \
             service (`HealthDown`). Other methods on a known path are answered 405 with `Allow`. Requests that are not \
             HTTP at all are refused by the HTTP library with an empty body.",
        )
        .contact(ContactObject::new().name("CRM cell maintainers"))
        .license(LicenseObject::new("MIT").url("https://opensource.org/license/mit"))
        .server(ServerObject::new(BASE_PATH).description("Behind the gateway, and on the service itself"))
}

/// The probes alone, as the private listener serves them.
#[must_use]
pub fn probes() -> OpenApiService<ProbesApi, ()> {
    OpenApiService::new(ProbesApi, "CRM cell", VERSION)
}

/// The contract and what is derived from it.
pub struct Contract {
    document: Value,
    /// The templates of the paths, each with its methods for `Allow`.
    paths: Vec<(String, String)>,
    /// The paths of what is served beside the operations.
    documents: &'static [&'static str],
}

impl Contract {
    /// Emits the contract. Needs no environment, no database and no configuration.
    #[must_use]
    pub fn new() -> Self {
        Self::of(&service().spec(), &["/openapi.json", "/openapi.yaml", "/docs"])
    }

    /// What is served on the private listener: no part of the contract that is published.
    #[must_use]
    pub fn private() -> Self {
        Self::of(&probes().spec(), &["/metrics"])
    }

    /// Of the framework's document of some operations, and of the documents that are served beside them.
    fn of(spec: &str, documents: &'static [&'static str]) -> Self {
        let document = emit(spec);
        let paths = document.get("paths").and_then(Value::as_object).into_iter().flatten();
        let mut paths: Vec<_> = paths.map(|(path, methods)| (path.clone(), allow(methods))).collect();
        paths.extend(documents.iter().map(|path| ((*path).to_owned(), "GET, HEAD".to_owned())));
        Self { document, paths, documents }
    }

    /// The OpenAPI document.
    #[must_use]
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// The document as JSON.
    #[must_use]
    pub fn json(&self) -> String {
        format!("{:#}", self.document)
    }

    /// The document as YAML: the bytes of `openapi/api_contract.yaml`.
    #[must_use]
    pub fn yaml(&self) -> String {
        serde_yaml::to_string(&self.document).unwrap_or_default()
    }

    /// Swagger UI with the document in it; it loads nothing from elsewhere.
    #[must_use]
    pub fn swagger_ui(&self) -> String {
        // The framework's page holds the framework's document; ours takes its place. `</` would end the script.
        let service = service();
        service.swagger_ui_html().replace(&service.spec(), &self.json().replace("</", "<\\/"))
    }

    /// Whether the path is that of a document beside the operations.
    #[must_use]
    pub fn has_document(&self, path: &str) -> bool {
        self.documents.contains(&path)
    }

    /// The template that the path is one of: `/customers/{customer_id}`.
    #[must_use]
    pub fn route(&self, path: &str) -> Option<&str> {
        self.at(path).map(|(template, _)| template.as_str())
    }

    /// The methods that the path supports, for `Allow`.
    #[must_use]
    pub fn allowed(&self, path: &str) -> &str {
        self.at(path).map_or("", |(_, allow)| allow)
    }

    fn at(&self, path: &str) -> Option<&(String, String)> {
        self.paths.iter().find(|(template, _)| {
            let (mut template, mut path) = (template.split('/'), path.split('/'));
            loop {
                match (template.next(), path.next()) {
                    (None, None) => return true,
                    (Some(part), Some(actual)) if part == actual || part.starts_with('{') => {}
                    _ => return false,
                }
            }
        })
    }
}

impl Default for Contract {
    fn default() -> Self {
        Self::new()
    }
}

fn allow(methods: &Value) -> String {
    let methods = methods.as_object().into_iter().flat_map(Map::keys).map(|method| method.to_uppercase());
    let methods: Vec<String> = methods
        .flat_map(|method| if method == "GET" { vec![method, "HEAD".to_owned()] } else { vec![method] })
        .collect();
    methods.join(", ")
}

/// The framework's document, completed and put right. Pure.
fn emit(spec: &str) -> Value {
    let mut document: Value = serde_json::from_str(spec).unwrap_or_default();
    let mut request_bodies = BTreeSet::new();
    let mut tags = Vec::new();
    for (_, item) in entries(document.get_mut("paths")) {
        for (method, operation) in entries(Some(item)) {
            request_bodies.extend(schema_names(operation.get("requestBody")));
            tags.push(operation.pointer("/tags/0").cloned());
            complete(method, operation);
        }
    }
    // The framework sorts the tags by name; readers meet them in the order of the operations.
    if let Some(known) = document.get_mut("tags").and_then(Value::as_array_mut) {
        known.sort_by_key(|tag| tags.iter().position(|used| used.as_ref() == tag.get("name")));
    }
    // The framework drops schemas that no operation names by itself: the errors' are named by rule, below.
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
    mend(&mut document);
    for (name, schema) in entries(document.pointer_mut("/components/schemas")) {
        if request_bodies.contains(name) {
            set(schema, "additionalProperties", json!(false));
        }
    }
    for (name, names) in enum_names() {
        if let Some(schema) = document.pointer_mut(&format!("/components/schemas/{name}")) {
            set(schema, "x-enum-varnames", json!(names));
        }
    }
    set(&mut document, "openapi", json!("3.0.3"));
    if let Some(components) = document.get_mut("components") {
        set(components, "parameters", parameters());
        set(components, "headers", headers());
        set(components, "responses", error_responses());
    }
    document
}

/// What the values of integer enumerations are called in generated clients: without it, `NUMBER_0`.
fn enum_names() -> [(&'static str, Vec<String>); 3] {
    [code::names::<CustomerStatus>(), code::names::<OpportunityStage>(), code::names::<OpportunityStatus>()]
}

/// Adds to an operation what every operation of its kind has: headers in and out, and the errors it can answer.
fn complete(method: &str, operation: &mut Value) {
    let secured = operation.get("security").is_some();
    let has_body = operation.get("requestBody").is_some();
    let mut own = operation.get("parameters").and_then(Value::as_array).into_iter().flatten();
    let has_path_id = own.any(|parameter| parameter.get("in") == Some(&json!("path")));

    let request_id = if has_body { "RequiredRequestId" } else { "RequestId" };
    let mut parameters = vec![reference("parameters", request_id)];
    if secured {
        parameters.push(reference("parameters", "TenantId"));
    } else {
        set(operation, "security", json!([]));
    }
    match operation.get_mut("parameters").and_then(Value::as_array_mut) {
        Some(own) => own.append(&mut parameters),
        None => set(operation, "parameters", Value::from(parameters)),
    }

    for (status, response) in entries(operation.get_mut("responses")) {
        let mut headers = response.get("headers").cloned().unwrap_or_else(|| json!({}));
        set(&mut headers, request_id::HEADER, reference("headers", "RequestId"));
        set(&mut headers, trace::HEADER, reference("headers", "TraceParent"));
        set(&mut headers, RESPONSE_TIME_HEADER, reference("headers", "ResponseTime"));
        if status == ErrorCode::ServiceUnavailable.status().as_str() {
            set(&mut headers, "Retry-After", reference("headers", "RetryAfter"));
        }
        set(response, "headers", headers);
        if status == "200" && method == "patch" {
            set(response, "description", json!("OK: the resource after the change."));
        }
    }
    let errors = [
        (ErrorCode::BadRequest, secured),
        (ErrorCode::Unauthorized, secured),
        (ErrorCode::Forbidden, secured),
        (ErrorCode::NotFound, has_path_id),
        (ErrorCode::IdempotentConflict, has_body),
        (ErrorCode::PayloadTooLarge, has_body),
        (ErrorCode::UnsupportedMediaType, has_body),
        (ErrorCode::InternalError, true),
        // A probe's is its own: it says the state of the service too.
        (ErrorCode::ServiceUnavailable, secured),
    ];
    if let Some(responses) = operation.get_mut("responses") {
        for (code, _) in errors.into_iter().filter(|(_, answers)| *answers) {
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

/// Mends what the framework writes for every schema and parameter.
fn mend(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(mend),
        Value::Object(object) => {
            // A reference with a description of its own becomes an anonymous schema; the named one describes itself.
            let named = object.get("allOf").and_then(Value::as_array).and_then(|parts| parts.first()).cloned();
            if let Some(named) = named.filter(|part| part.get("$ref").is_some()) {
                *value = named;
                return;
            }
            // What a missing key means need not be said.
            let said_by_silence = [("deprecated", json!(false)), ("explode", json!(true))];
            object.retain(|key, value| !said_by_silence.iter().any(|(name, default)| key == name && value == default));
            if object.contains_key("properties") {
                object.remove("title");
            }
            for bound in ["minimum", "maximum"] {
                let whole = object.get(bound).and_then(Value::as_f64).filter(|bound| bound.fract() == 0.0);
                if let Some(whole) = whole {
                    object.insert(bound.to_owned(), json!(whole as i64));
                }
            }
            object.values_mut().for_each(mend);
        }
        _ => {}
    }
}

fn parameters() -> Value {
    let request_id = |required: bool, schema: Value, description: &str| {
        json!({
            "name": request_id::HEADER,
            "in": "header",
            "required": required,
            "description": description,
            "schema": schema,
        })
    };
    let bounded =
        json!({ "type": "string", "minLength": 1, "maxLength": request_id::MAX_LENGTH, "pattern": "^[!-~]+$" });
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

fn headers() -> Value {
    json!({
        "RequestId": {
            "description": "The request's `X-Request-ID`, or the one the server made.",
            "required": true,
            "schema": { "type": "string", "minLength": 1, "maxLength": request_id::MAX_LENGTH },
            "example": REQUEST_ID,
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
            "example": format!("{BASE_PATH}/customers/{}", Id::EXAMPLE),
        },
    })
}

/// One response for each code, described once and referred to by every operation that can answer it.
fn error_responses() -> Value {
    let customer = format!("{BASE_PATH}/customers/{}", Id::EXAMPLE);
    let errors = [
        (
            ApiError::bad_request(format!("name: {}", NameRule::EXPECTED)),
            "A header, parameter or the body is not valid; `details` names it.",
        ),
        (ApiError::unauthorized("Authorization: is required"), "The token is missing or not valid."),
        (
            ApiError::forbidden("the token lacks the scope crm:write"),
            "The token lacks the scope, or does not name the tenant.",
        ),
        (ApiError::not_found(), "The tenant has no resource with this id."),
        (
            ApiError::conflict(customer),
            "A request with this `X-Request-ID` was accepted before; nothing was changed now.",
        ),
        (ApiError::payload_too_large(262_144), "The body is larger than the service's limit (by default 256 KiB)."),
        (ApiError::unsupported_media_type(), "The body is not `application/json`."),
        (ApiError::internal(""), "The service failed; the log has the reason under the request id."),
        (ApiError::unavailable(""), "The service cannot answer right now; nothing was changed."),
    ];
    let mut responses = json!({});
    for (error, description) in errors {
        let code = error.code();
        let mut headers = json!({
            (request_id::HEADER): reference("headers", "RequestId"),
            (trace::HEADER): reference("headers", "TraceParent"),
            (RESPONSE_TIME_HEADER): reference("headers", "ResponseTime"),
        });
        match code {
            ErrorCode::Unauthorized => set(&mut headers, "WWW-Authenticate", reference("headers", "Authenticate")),
            ErrorCode::IdempotentConflict => set(&mut headers, "Location", reference("headers", "ConflictLocation")),
            ErrorCode::ServiceUnavailable => set(&mut headers, "Retry-After", reference("headers", "RetryAfter")),
            _ => {}
        }
        let example = error.body(REQUEST_ID);
        let content =
            json!({ "application/json": { "schema": reference("schemas", "ErrorBody"), "example": example } });
        let response = json!({ "description": description, "headers": headers, "content": content });
        set(&mut responses, &response_name(code), response);
    }
    responses
}

/// `NotFound` for the code `NOT_FOUND`.
fn response_name(code: ErrorCode) -> String {
    format!("{code:?}")
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

/// The names of the schemas that a part of the document refers to.
fn schema_names(part: Option<&Value>) -> Vec<String> {
    match part {
        Some(Value::Object(object)) => {
            let own = object.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
            own.map(str::to_owned)
                .into_iter()
                .chain(object.values().flat_map(|part| schema_names(Some(part))))
                .collect()
        }
        Some(Value::Array(items)) => items.iter().flat_map(|item| schema_names(Some(item))).collect(),
        _ => Vec::new(),
    }
}

fn entries(value: Option<&mut Value>) -> Vec<(&String, &mut Value)> {
    value.and_then(Value::as_object_mut).into_iter().flatten().collect()
}

fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}
