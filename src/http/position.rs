//! `X-Database-Position`: where reads go to a standby, a change says how far the database had come, and a read that brings this back
//! sees it. To clients it is opaque.

use poem::{
    Request,
    http::{HeaderMap, HeaderName, HeaderValue},
};

use super::header::{Sent, sent, text};
use crate::{
    database::{Position, Recency},
    error::{Error, Result},
};

/// The header's name, as spelled in the contract.
pub const HEADER: &str = "X-Database-Position";

const NAME: HeaderName = HeaderName::from_static("x-database-position");

/// How new what a request reads must be. Only a request that changes nothing says so; a change sees the newest anyway.
///
/// # Errors
/// Invalid, if the header is malformed or repeated.
pub(super) fn recency(request: &Request) -> Result<Recency> {
    let recency = request.extensions().get::<Recency>().cloned().unwrap_or_default();
    Ok(if request.method().is_safe() { recency.after(after(request.headers())?) } else { recency })
}

/// Tells whoever changed something how far the database had come.
pub(super) fn set_header(headers: &mut HeaderMap, recency: &Recency) {
    let position = recency.reached().map(|reached| HeaderValue::try_from(reached.to_string()));
    if let Some(Ok(position)) = position {
        headers.insert(NAME, position);
    }
}

fn after(headers: &HeaderMap) -> Result<Option<Position>> {
    match sent(headers, HEADER) {
        Sent::Never => Ok(None),
        Sent::Repeatedly => Err(Error::invalid(format!("{HEADER}: must be sent once"))),
        Sent::Once(value) => match text(value).and_then(Position::parse) {
            Some(position) => Ok(Some(position)),
            None => Err(Error::invalid(format!("{HEADER}: {}", Position::EXPECTED))),
        },
    }
}
