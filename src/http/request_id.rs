//! `X-Request-ID`: identifies a request in responses, errors and logs, and makes POST and PATCH idempotent.
//!
//! The service stack reads it first ([`ReceivedRequestId::of`]), so that even a rejected request is identified. An
//! operation that needs it takes a [`RequestId`] argument.

use poem::{FromRequest, Request, RequestBody, http::HeaderMap};

use super::header::{Sent, sent, text};
use crate::{
    error::Error,
    values::{RequestId, request_id::is_valid},
};

/// The header's name, as spelled in the contract.
pub const HEADER: &str = "X-Request-ID";

/// The request id used in the contract's examples.
pub const EXAMPLE: &str = "4f1c0f3e-2d4b-4c58-9a57-0d6a6f0f6a11";

/// The request id from the header, or a generated one.
#[derive(Debug, Clone)]
pub struct ReceivedRequestId {
    /// The id that the response carries.
    pub id: String,
    /// Why the client's own id is not used.
    violation: Option<&'static str>,
}

impl ReceivedRequestId {
    /// Reads the header; `make` generates an id if there is no valid one.
    pub fn of(headers: &HeaderMap, make: impl FnOnce() -> String) -> Self {
        let (violation, id) = match sent(headers, HEADER) {
            Sent::Never => (Some("is required"), None),
            Sent::Repeatedly => (Some("must be sent once"), None),
            Sent::Once(value) => match text(value).filter(|id| is_valid(id)) {
                Some(id) => (None, Some(id.to_owned())),
                None => (Some("must be 1 to 128 visible ASCII characters"), None),
            },
        };
        Self { id: id.unwrap_or_else(make), violation }
    }
}

impl<'a> FromRequest<'a> for RequestId {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        let received = request
            .extensions()
            .get::<ReceivedRequestId>()
            .ok_or_else(|| Error::internal("an operation was reached around the service stack"))?;
        match received.violation {
            None => Ok(Self(received.id.clone())),
            Some(violation) => Err(Error::invalid(format!("{HEADER}: {violation}")).into()),
        }
    }
}
