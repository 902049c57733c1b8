//! Request ids, and the idempotency keys of POST and PATCH: 1 to 128 visible ASCII characters.

/// Maximum length of a request id or an idempotency key, in characters.
pub const MAX_LENGTH: usize = 128;

/// What a value must be.
pub const EXPECTED: &str = "must be 1 to 128 visible ASCII characters";

/// What keeps a request from taking effect twice, as sent by the client.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    /// The header that it was sent in.
    pub header: &'static str,
    /// The key.
    pub key: String,
}

/// Whether the text is a valid request id, or a valid key.
#[must_use]
pub fn is_valid(id: &str) -> bool {
    (1..=MAX_LENGTH).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}
