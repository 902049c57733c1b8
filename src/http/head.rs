//! What is wrong with the head of a request as a whole: its size, its URL, its `Host`.

use poem::http::{HeaderMap, Version, header::HOST, request::Parts, uri::Authority};

use super::{
    error::ErrorResponse,
    header::{Sent, sent},
    limits::Limits,
};
use crate::{error::Error, telemetry::metrics::HttpLimit};

/// The bytes of a header line besides name and value: colon, blank, end of line.
const LINE: usize = 4;

/// Why a request is refused that hyper refused, or that this service refuses before it looks at its resource. Attached to the
/// request; the service stack answers with it.
#[derive(Debug, Clone)]
pub struct Refused(pub ErrorResponse);

/// Judges a head that hyper could read.
///
/// # Errors
/// 414, 431, or 400 for a `Host` that is missing, repeated or malformed (RFC 9112, section 3.2).
pub fn judge(head: &Parts, limits: &Limits) -> Result<(), Refused> {
    let url = head.uri.path_and_query().map_or(0, |url| url.as_str().len());
    if url > limits.url_size {
        return Err(Refused(ErrorResponse::uri_too_long(limits.url_size)));
    }
    let lines = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + LINE);
    if head.headers.len() > limits.head_lines || url + lines.sum::<usize>() > limits.head_size {
        return Err(too_large(limits));
    }
    check_host(&head.headers, head.version).map_err(|wrong| malformed(&format!("Host: {wrong}")))
}

/// 431.
pub fn too_large(limits: &Limits) -> Refused {
    let Limits { head_size, head_lines, .. } = limits;
    let details = format!("the head of the request must have at most {head_lines} header lines and {head_size} bytes");
    Refused(ErrorResponse::headers_too_large(details).because_of(HttpLimit::head_size))
}

/// 400.
pub fn malformed(details: &str) -> Refused {
    Refused(Error::invalid(details).into())
}

fn check_host(headers: &HeaderMap, version: Version) -> Result<(), &'static str> {
    match sent(headers, HOST) {
        // HTTP/1.0 knows no such header, and HTTP/2 has `:authority`.
        Sent::Never if version == Version::HTTP_11 => Err("is required"),
        Sent::Never => Ok(()),
        Sent::Repeatedly => Err("must be sent once"),
        // RFC 9112 lets it be empty.
        Sent::Once(value) if value.is_empty() => Ok(()),
        Sent::Once(value) => match Authority::try_from(value.as_bytes()) {
            Ok(authority) if !authority.as_str().contains('@') => Ok(()),
            _ => Err("must be a host, and a port if any"),
        },
    }
}
