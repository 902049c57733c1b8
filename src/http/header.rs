//! Headers that may be sent only once. poem silently uses the first of several values, and treats a value that is not
//! text as missing.

use poem::http::{HeaderMap, HeaderValue, header::AsHeaderName};

/// The response header with the processing time, in milliseconds.
pub const RESPONSE_TIME: &str = "X-Response-Time";

/// How often a header was sent.
#[derive(Debug)]
pub enum Sent<'h> {
    /// Not at all.
    Never,
    /// Once, with this value.
    Once(&'h HeaderValue),
    /// More than once, which is ambiguous.
    Repeatedly,
}

/// Looks up a header.
pub fn sent(headers: &HeaderMap, name: impl AsHeaderName) -> Sent<'_> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Sent::Never,
        (Some(value), None) => Sent::Once(value),
        (Some(_), Some(_)) => Sent::Repeatedly,
    }
}

/// The value as text, if it is UTF-8.
#[must_use]
pub fn text(value: &HeaderValue) -> Option<&str> {
    std::str::from_utf8(value.as_bytes()).ok()
}

/// The header as text, if it was sent once and is UTF-8.
pub fn text_once(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    match sent(headers, name) {
        Sent::Once(value) => text(value),
        Sent::Never | Sent::Repeatedly => None,
    }
}
