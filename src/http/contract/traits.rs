//! What determines an operation's headers, errors and examples.

use serde_json::Value;

use super::json::schema_name;
use crate::http::{access::scope, error::ErrorCode, precondition::IF_MATCH_HEADER};

/// What determines an operation's headers, errors and examples.
pub(super) struct Traits<'o> {
    /// The path, such as `/customers/{customer_id}`.
    pub template: &'o str,
    /// Whether it may change anything.
    pub changes: bool,
    /// The scopes each of which suffices, or all of a group; none for a probe.
    pub scopes: Vec<Vec<&'static str>>,
    /// The schema of its body.
    pub body: Option<String>,
    /// Its query parameters.
    pub query: Vec<String>,
    /// A query parameter that is a number: name, minimum and maximum.
    pub range: Option<(String, i64, i64)>,
    /// The name of the id in its path, or else in what it answers: `customer_id`, `customerId`.
    pub id: String,
    /// Whether it is about one thing, which may not be there.
    is_about_one: bool,
    has_precondition: bool,
}

impl<'o> Traits<'o> {
    /// Those of the operation with this method and path.
    pub fn of((method, template): (&str, &'o str), operation: &Value, schemas: &Value) -> Self {
        let parameters: Vec<&Value> =
            operation.get("parameters").and_then(Value::as_array).into_iter().flatten().collect();
        let text = |parameter: &Value, key: &str| parameter.get(key).and_then(Value::as_str).map(str::to_owned);
        let of_place = |place: &str| {
            let there = parameters.iter().filter(|parameter| text(parameter, "in").as_deref() == Some(place));
            there.filter_map(|parameter| text(parameter, "name")).collect::<Vec<_>>()
        };
        // The narrowest range says most.
        let ranges = parameters.iter().filter_map(|parameter| {
            let bound = |name: &str| parameter.pointer(&format!("/schema/{name}")).and_then(Value::as_i64);
            Some((text(parameter, "name")?, bound("minimum")?, bound("maximum")?))
        });
        // What is searched for need not be there.
        let is_key = |parameter: &&Value| {
            text(parameter, "in").as_deref() == Some("query")
                && parameter.get("required") == Some(&Value::Bool(true))
                && text(parameter, "name").as_deref() != Some("q")
        };
        let path_id = of_place("path").into_iter().next();
        let answered = operation
            .pointer("/responses/201/content/application~1json/schema")
            .and_then(schema_name)
            .and_then(|schema| schemas.get(schema)?.get("properties")?.as_object()?.keys().next().cloned());
        Self {
            template,
            changes: !method.eq_ignore_ascii_case("get"),
            scopes: operation
                .get("security")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(|named| named.as_object()?.keys().next()?.split(' ').map(scope).collect())
                .collect(),
            body: operation.pointer("/requestBody/content/application~1json/schema").and_then(schema_name),
            query: of_place("query"),
            range: ranges.min_by_key(|(_, min, max)| max.saturating_sub(*min)),
            is_about_one: path_id.is_some() || parameters.iter().any(is_key),
            has_precondition: parameters.iter().any(|parameter| is_header(parameter, IF_MATCH_HEADER)),
            id: path_id.or(answered).unwrap_or_default(),
        }
    }

    /// The scope that an error names.
    pub fn scope(&self) -> Option<&'static str> {
        self.scopes.first()?.first().copied()
    }

    /// The collection that its path is about: `customers`.
    pub fn collection(&self) -> &str {
        self.template.split('/').nth(1).unwrap_or_default()
    }

    /// The errors that it can answer.
    pub fn errors(&self) -> impl Iterator<Item = ErrorCode> {
        let (is_secured, has_body) = (!self.scopes.is_empty(), self.body.is_some());
        let errors = [
            (ErrorCode::BadRequest, is_secured),
            (ErrorCode::Unauthorized, is_secured),
            (ErrorCode::Forbidden, is_secured),
            (ErrorCode::NotFound, self.is_about_one),
            (ErrorCode::RequestTimeout, has_body),
            (ErrorCode::IdempotentConflict, has_body),
            (ErrorCode::PreconditionFailed, self.has_precondition),
            (ErrorCode::PayloadTooLarge, has_body),
            (ErrorCode::UriTooLong, true),
            (ErrorCode::UnsupportedMediaType, has_body),
            (ErrorCode::TooManyRequests, is_secured),
            (ErrorCode::HeadersTooLarge, true),
            (ErrorCode::InternalError, true),
            // Probes declare their own 503, which also reports health.
            (ErrorCode::ServiceUnavailable, is_secured),
        ];
        errors.into_iter().filter(|(_, answers)| *answers).map(|(code, _)| code)
    }
}

/// Whether it is the parameter for this header.
pub(super) fn is_header(parameter: &Value, header: &str) -> bool {
    let has = |key: &str, text: &str| {
        parameter.get(key).and_then(Value::as_str).is_some_and(|value| value.eq_ignore_ascii_case(text))
    };
    has("in", "header") && has("name", header)
}
