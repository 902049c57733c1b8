//! Headers that may be sent once. The framework's reader silently takes the first of several, and takes one that is not
//! text for none at all.

use poem::http::{HeaderMap, HeaderValue, header::AsHeaderName};

/// The header of replies with the time from the request's first byte to the reply, in milliseconds.
pub const RESPONSE_TIME: &str = "X-Response-Time";

/// How often a header was sent.
#[derive(Debug)]
pub enum Sent<'h> {
    /// Not at all.
    Never,
    /// Once, with this value.
    Once(&'h HeaderValue),
    /// Several times: which one is meant cannot be told.
    Repeatedly,
}

/// Looks for the header.
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

/// The header as text, where it was sent once and is UTF-8.
pub fn text_once(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    match sent(headers, name) {
        Sent::Once(value) => text(value),
        Sent::Never | Sent::Repeatedly => None,
    }
}
