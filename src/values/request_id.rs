//! The id of a request, which makes POST and PATCH idempotent: 1 to 128 visible ASCII characters.

/// The most characters of a request id.
pub const MAX_LENGTH: usize = 128;

/// The id that a client gave its request.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// Whether a text may be the id of a request.
#[must_use]
pub fn is_valid(id: &str) -> bool {
    (1..=MAX_LENGTH).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}
