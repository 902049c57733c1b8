//! Successful responses: [`Created`], [`Found`], [`FoundList`], [`NoContent`]. Each operation has one 2xx status. A reply that shows one
//! resource carries its entity tag ([`Tagged`]), and one that reads it may be empty ([`Current`]).

use std::marker::PhantomData;

use bytes::Bytes;
use poem::{
    IntoResponse, Response,
    http::{HeaderValue, StatusCode, header},
};
use poem_openapi::{
    ApiResponse,
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
    types::Type,
};
use serde::Serialize;

use super::precondition::EntityTag;
use crate::{
    error::{Error, Result},
    values::page::List,
};

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

/// 200 with a page of a list of `V`.
#[derive(Debug)]
pub struct FoundList<V> {
    body: Bytes,
    of: PhantomData<fn() -> V>,
}

/// One resource, as a caller sees it.
#[derive(Debug)]
pub struct Tagged<T> {
    /// The version that is shown.
    pub tag: EntityTag,
    /// The resource.
    pub resource: T,
}

/// The reply to a request for one resource.
#[derive(Debug)]
pub enum Current<T> {
    /// 200 with the resource.
    Read(Tagged<T>),
    /// 304: the client has it.
    Known(EntityTag),
}

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
        content: schema.into_iter().map(|schema| MetaMediaType { content_type: JSON, schema }).collect(),
        headers: Vec::new(),
    }
}

const JSON: &str = "application/json";

/// How much memory a body gets before it is written: that of one resource need not grow.
const BODY: usize = 1024;

/// The same, of each item of a list.
const ITEM: usize = 512;

impl<V: Serialize> FoundList<V> {
    /// A page.
    ///
    /// # Errors
    /// Internal, for a value that cannot be serialized, which is a bug.
    pub fn of(list: &List<V>) -> Result<Self> {
        let mut body = Vec::with_capacity(BODY + list.data.len() * ITEM);
        serde_json::to_writer(&mut body, list).map_err(Error::internal)?;
        Ok(Self::again(body.into()))
    }
}

impl<V> FoundList<V> {
    /// The page with this [body](Self::body).
    #[must_use]
    pub fn again(body: Bytes) -> Self {
        Self { body, of: PhantomData }
    }

    /// Its body.
    #[must_use]
    pub fn body(&self) -> Bytes {
        self.body.clone()
    }
}

/// A JSON response. A value that cannot be serialized is a bug, and a 500.
fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let mut body = Vec::with_capacity(BODY);
    match serde_json::to_writer(&mut body, value) {
        Ok(()) => Response::builder().status(status).content_type(JSON).body(body),
        Err(error) => poem::Error::from(Error::internal(error)).into_response(),
    }
}

/// A header that is always there.
fn meta_header(name: &str, description: &str, schema: MetaSchema) -> MetaHeader {
    MetaHeader {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required: true,
        deprecated: false,
        schema: MetaSchemaRef::Inline(Box::new(schema)),
    }
}

/// The same responses, with the entity tag; [`super::contract`] describes the header.
fn tagged(mut responses: MetaResponses) -> MetaResponses {
    let etag = || meta_header("ETag", "", MetaSchema::new("string"));
    responses.responses.iter_mut().for_each(|response| response.headers.push(etag()));
    responses
}

/// Adds the entity tag, and what caches must know: to ask each time, and that others see the resource differently.
fn with_tag(mut response: Response, tag: EntityTag) -> Response {
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::try_from(tag.to_string()) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.append(header::VARY, HeaderValue::from_static("Authorization, X-Tenant-Id"));
    response
}

impl<T: Type + Serialize> ApiResponse for Created<T> {
    fn meta() -> MetaResponses {
        let schema = MetaSchema::new_with_format("string", "uri-reference");
        let location = meta_header("Location", "The URL of the new resource.", schema);
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

impl<T: Type + Serialize> ApiResponse for Created<Tagged<T>> {
    fn meta() -> MetaResponses {
        tagged(Created::<T>::meta())
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Serialize + Send> IntoResponse for Created<Tagged<T>> {
    fn into_response(self) -> Response {
        let Self { location, resource: Tagged { tag, resource } } = self;
        with_tag(Created { location, resource }.into_response(), tag)
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

impl<V: Type + Serialize> ApiResponse for FoundList<V> {
    fn meta() -> MetaResponses {
        Found::<List<V>>::meta()
    }

    fn register(registry: &mut Registry) {
        Found::<List<V>>::register(registry);
    }
}

impl<V: Send> IntoResponse for FoundList<V> {
    fn into_response(self) -> Response {
        Response::builder().content_type(JSON).body(self.body)
    }
}

impl<T: Type + Serialize> ApiResponse for Found<Tagged<T>> {
    fn meta() -> MetaResponses {
        tagged(Found::<T>::meta())
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Serialize + Send> IntoResponse for Found<Tagged<T>> {
    fn into_response(self) -> Response {
        let Self(Tagged { tag, resource }) = self;
        with_tag(Found(resource).into_response(), tag)
    }
}

impl<T: Type + Serialize> ApiResponse for Current<T> {
    fn meta() -> MetaResponses {
        let mut responses = Found::<T>::meta();
        responses.responses.push(meta(StatusCode::NOT_MODIFIED, "Not modified: the client has the resource.", None));
        tagged(responses)
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Serialize + Send> IntoResponse for Current<T> {
    fn into_response(self) -> Response {
        match self {
            Self::Read(resource) => Found(resource).into_response(),
            Self::Known(tag) => with_tag(StatusCode::NOT_MODIFIED.into_response(), tag),
        }
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
