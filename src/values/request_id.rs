//! Request ids, the idempotency keys of POST and PATCH: 1 to 128 visible ASCII characters.

/// Maximum length of a request id, in characters.
pub const MAX_LENGTH: usize = 128;

/// A request id sent by the client.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// Whether the text is a valid request id.
#[must_use]
pub fn is_valid(id: &str) -> bool {
    (1..=MAX_LENGTH).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}
