//! `X-Request-ID` identifies a request in responses, errors and logs. It makes POST and PATCH idempotent, unless
//! `Idempotency-Key` is sent: then that does, and whoever is on the way may replace the request id.
//!
//! The service stack reads the request id first ([`ReceivedRequestId::of`]), so that even a rejected request is identified.
//! An operation that takes effect once has an [`IdempotencyKey`] argument.

use poem::{FromRequest, Request, RequestBody, http::HeaderMap};

use super::header::{Sent, sent, text};
use crate::{
    error::{Error, Result},
    values::{
        IdempotencyKey,
        request_id::{EXPECTED, is_valid},
    },
};

/// The header's name, as spelled in the contract.
pub const HEADER: &str = "X-Request-ID";

/// The name of the header with the key, as spelled in the contract.
pub const KEY_HEADER: &str = "Idempotency-Key";

/// The request id used in the contract's examples.
pub const EXAMPLE: &str = "4f1c0f3e-2d4b-4c58-9a57-0d6a6f0f6a11";

const TWICE: &str = "must be sent once";

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
            Sent::Repeatedly => (Some(TWICE), None),
            Sent::Once(value) => match text(value).filter(|id| is_valid(id)) {
                Some(id) => (None, Some(id.to_owned())),
                None => (Some(EXPECTED), None),
            },
        };
        Self { id: id.unwrap_or_else(make), violation }
    }
}

impl<'a> FromRequest<'a> for IdempotencyKey {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        let received = request
            .extensions()
            .get::<ReceivedRequestId>()
            .ok_or_else(|| Error::internal("an operation was reached around the service stack"))?;
        if let Some(violation) = received.violation {
            return Err(Error::invalid(format!("{HEADER}: {violation}")).into());
        }
        match own_key(request.headers())? {
            Some(key) => Ok(Self { header: KEY_HEADER, key: key.to_owned() }),
            None => Ok(Self { header: HEADER, key: received.id.clone() }),
        }
    }
}

/// The value of `Idempotency-Key`, without the quotes that the IETF's draft puts around it.
fn own_key(headers: &HeaderMap) -> Result<Option<&str>> {
    let value = match sent(headers, KEY_HEADER) {
        Sent::Never => return Ok(None),
        Sent::Repeatedly => return Err(Error::invalid(format!("{KEY_HEADER}: {TWICE}"))),
        Sent::Once(value) => text(value),
    };
    match value.and_then(unquoted).filter(|key| is_valid(key)) {
        Some(key) => Ok(Some(key)),
        None => Err(Error::invalid(format!("{KEY_HEADER}: {EXPECTED}, in double quotes or without"))),
    }
}

fn unquoted(value: &str) -> Option<&str> {
    value.strip_prefix('"').map_or(Some(value), |value| value.strip_suffix('"'))
}
