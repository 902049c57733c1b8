//! `X-Request-ID`: names a request in replies, errors and logs, and makes POST and PATCH idempotent.
//!
//! The membrane reads it before anything else ([`Received::of`]), so that even a refused request is answered under its
//! name. An operation that needs it takes a [`RequestId`] as its argument.

use poem::{FromRequest, Request, RequestBody, http::HeaderMap};

use super::header::{Sent, sent, text};
use crate::error::ApiError;

/// The header's name, as the contract spells it.
pub const HEADER: &str = "X-Request-ID";

/// The most characters of a request id.
pub const MAX_LENGTH: usize = 128;

/// What came in the header, or was made in its place.
#[derive(Debug, Clone)]
pub struct Received {
    /// The id under which the request is answered.
    pub id: String,
    /// Why the client's own could not be taken.
    flaw: Option<&'static str>,
}

impl Received {
    /// Reads the header; `make` makes an id where there is no usable one.
    pub fn of(headers: &HeaderMap, make: impl FnOnce() -> String) -> Self {
        let (flaw, id) = match sent(headers, HEADER) {
            Sent::Never => (Some("is required"), None),
            Sent::Repeatedly => (Some("must be sent once"), None),
            Sent::Once(value) => match text(value).filter(|id| is_valid(id)) {
                Some(id) => (None, Some(id.to_owned())),
                None => (Some("must be 1 to 128 visible ASCII characters"), None),
            },
        };
        Self { id: id.unwrap_or_else(make), flaw }
    }
}

/// Whether a text may be the id of a request.
pub(crate) fn is_valid(id: &str) -> bool {
    (1..=MAX_LENGTH).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The client's own request id: an argument of every operation that is idempotent by it.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

impl<'a> FromRequest<'a> for RequestId {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        let received = request
            .extensions()
            .get::<Received>()
            .ok_or_else(|| ApiError::internal("an operation was reached around the membrane"))?;
        match received.flaw {
            None => Ok(Self(received.id.clone())),
            Some(flaw) => Err(ApiError::bad_request(format!("{HEADER}: {flaw}")).into()),
        }
    }
}
