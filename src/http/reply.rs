//! Successful responses: [`Created`], [`Found`], [`NoContent`]. Each operation has one 2xx status.

use poem::{
    IntoResponse, Response,
    http::{StatusCode, header},
};
use poem_openapi::{
    ApiResponse,
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
    types::Type,
};
use serde::Serialize;

use crate::error::Error;

/// 201 with the new resource, and its URL in `Location`.
#[derive(Debug)]
pub struct Created<T> {
    /// The URL of the resource.
    pub location: String,
    /// The resource.
    pub resource: T,
}

/// 200 with the requested data, or with the resource after a change.
#[derive(Debug)]
pub struct Found<T>(pub T);

/// 204, without a body.
#[derive(Debug)]
pub struct NoContent;

/// What the contract says of a [`Found`], unless the operation says more.
pub const FOUND: &str = "OK: the requested data.";
/// What the contract says of a [`Created`], likewise.
pub const CREATED: &str = "Created: the new resource.";
/// What the contract says of a [`NoContent`], likewise.
pub const DELETED: &str = "Deleted.";

fn meta(status: StatusCode, description: &'static str, schema: Option<MetaSchemaRef>) -> MetaResponse {
    MetaResponse {
        description,
        status: Some(status.as_u16()),
        status_range: None,
        content: schema.into_iter().map(|schema| MetaMediaType { content_type: "application/json", schema }).collect(),
        headers: Vec::new(),
    }
}

/// A JSON response. A value that cannot be serialized is a bug, and a 500.
fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => Response::builder().status(status).content_type("application/json").body(body),
        Err(error) => poem::Error::from(Error::internal(error)).into_response(),
    }
}

impl<T: Type + Serialize> ApiResponse for Created<T> {
    fn meta() -> MetaResponses {
        let location = MetaHeader {
            name: "Location".to_owned(),
            description: Some("The URL of the new resource.".to_owned()),
            required: true,
            deprecated: false,
            schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format("string", "uri-reference"))),
        };
        let created = meta(StatusCode::CREATED, CREATED, Some(T::schema_ref()));
        MetaResponses { responses: vec![MetaResponse { headers: vec![location], ..created }] }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Serialize + Send> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        json(StatusCode::CREATED, &self.resource).with_header(header::LOCATION, self.location).into_response()
    }
}

impl<T: Type + Serialize> ApiResponse for Found<T> {
    fn meta() -> MetaResponses {
        MetaResponses { responses: vec![meta(StatusCode::OK, FOUND, Some(T::schema_ref()))] }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Serialize + Send> IntoResponse for Found<T> {
    fn into_response(self) -> Response {
        json(StatusCode::OK, &self.0)
    }
}

impl ApiResponse for NoContent {
    fn meta() -> MetaResponses {
        MetaResponses { responses: vec![meta(StatusCode::NO_CONTENT, DELETED, None)] }
    }

    fn register(_registry: &mut Registry) {}
}

impl IntoResponse for NoContent {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}
