//! Request bodies: [`Body<T>`] is a JSON object, deserialized strictly into `T`.
//!
//! Rejected: another media type, charset or content coding (415), a body over the size limit (413), anything but a single
//! JSON object, and unknown, duplicate, missing or ill-typed fields (400, naming the field but never echoing its value).
//! Size and nesting depth are limited while reading. A byte order mark before the object is ignored.

use std::task::Poll;

use poem::{
    Request, RequestBody,
    error::ReadBodyError,
    http::{
        Method,
        header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
    },
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaMediaType, MetaRequest, Registry},
    types::Type,
};
use serde::de::DeserializeOwned;

use super::{
    caller::{Access, CanRead},
    error::ErrorResponse,
    header::{text, text_once},
    identified::IdentifiedCaller,
    in_flight,
    media_type::JsonType,
};
use crate::{
    error::{Error, Result},
    values::{
        json,
        unknown_name::{self, looks_like_a_name},
    },
};

/// A JSON request body of type `T`.
#[derive(Debug)]
pub struct Body<T>(pub T);

/// Maximum body size in bytes, attached to every request.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimit(pub usize);

impl<T: DeserializeOwned> Body<T> {
    async fn read(request: &Request, body: &mut RequestBody) -> std::result::Result<Self, ErrorResponse> {
        let limit = request.data::<BodyLimit>().ok_or_else(|| Error::internal("the service has no limit of bodies"))?.0;
        let body = body.take().map_err(Error::internal)?;
        if body.is_empty() {
            return Err(Error::invalid("the body must be a JSON object").into());
        }
        check_content_type(request)?;
        check_content_coding(request)?;
        let declared = request.header(CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
        if declared.is_some_and(|declared| declared > limit) {
            return Err(ErrorResponse::payload_too_large(limit));
        }
        let bytes = arrived(request, Box::pin(body.into_bytes_limit(limit))).await?.map_err(|error| match error {
            ReadBodyError::PayloadTooLarge => ErrorResponse::payload_too_large(limit),
            _ => Error::invalid("the body did not arrive whole").into(),
        })?;
        let bytes = json::without_mark(&bytes);
        let is_blind = request.extensions().get::<IdentifiedCaller>().is_some_and(IdentifiedCaller::is_blind);
        if is_blind && request.method() == Method::PATCH && is_empty(bytes) {
            // It would change nothing and return the resource: that is reading.
            return Err(Error::insufficient_scope(CanRead::SCOPE).into());
        }
        Ok(Self(parse(bytes)?))
    }
}

/// Waits for the body; one that is there already keeps the request's place.
async fn arrived<T>(
    request: &Request,
    mut body: impl Future<Output = T> + Unpin,
) -> std::result::Result<T, ErrorResponse> {
    match futures_util::poll!(&mut body) {
        Poll::Ready(body) => Ok(body),
        Poll::Pending => in_flight::of(request)?.arrival(body).await,
    }
}

/// Whether the body is `{}`.
fn is_empty(bytes: &[u8]) -> bool {
    bytes.iter().filter(|byte| !byte.is_ascii_whitespace()).eq(b"{}")
}

fn check_content_type(request: &Request) -> std::result::Result<(), ErrorResponse> {
    let json = text_once(request.headers(), CONTENT_TYPE).map_or(JsonType::Other, JsonType::of);
    match json {
        JsonType::Utf8 => Ok(()),
        JsonType::OtherCharset => Err(ErrorResponse::unsupported_charset()),
        JsonType::Other => Err(ErrorResponse::unsupported_media_type()),
    }
}

/// Bodies are read as they come: `identity` names that, and nothing else is decoded.
fn check_content_coding(request: &Request) -> std::result::Result<(), ErrorResponse> {
    let is_identity = |value| {
        let mut codings = text(value).unwrap_or("unreadable").split(',').map(str::trim);
        codings.all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case("identity"))
    };
    match request.headers().get_all(CONTENT_ENCODING).iter().all(is_identity) {
        true => Ok(()),
        false => Err(ErrorResponse::unsupported_content_coding()),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    // serde would also deserialize a struct from an array.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(Error::invalid("the body must be a JSON object"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let field = error.path().to_string();
        let error = error.into_inner();
        let outermost = field.split(['.', '[']).next().unwrap_or_default();
        match error.classify() {
            serde_json::error::Category::Data => Error::invalid(describe(&field, &error)),
            // Valid JSON, which the parser cannot hold. Types that take numbers have seen to their own.
            _ if json::message(&error) == "number out of range" && looks_like_a_name(outermost) => {
                Error::invalid(format!("{outermost}: the number is out of range"))
            }
            _ => not_json(&error),
        }
    })?;
    deserializer.end().map_err(|error| not_json(&error))?;
    Ok(value)
}

/// Names the field: serde's message does so for missing and duplicate ones, the path for all others. What it says of an
/// unknown field ends with those that are known.
fn describe(field: &str, error: &serde_json::Error) -> String {
    let message = json::message(error);
    match message.strip_prefix("unknown field ") {
        Some(rest) => {
            let known = rest.rsplit_once(", expected ").map_or("", |(_, known)| known);
            let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
            unknown_name::describe(field, "a field of this body", &known)
        }
        None => json::describe(field, error),
    }
}

fn not_json(error: &serde_json::Error) -> Error {
    Error::invalid(format!("the body is not valid JSON (line {}, column {})", error.line(), error.column()))
}

impl<'a, T: Type + DeserializeOwned> ApiExtractor<'a> for Body<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(MetaRequest {
            description: None,
            content: vec![MetaMediaType { content_type: "application/json", schema: T::schema_ref() }],
            required: true,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(Self::read(request, body).await?)
    }
}
