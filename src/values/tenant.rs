//! Tenants, by name.

use std::fmt;

/// The name of a tenant.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tenant(String);

impl Tenant {
    /// What a tenant's name looks like, in words.
    pub const EXPECTED: &str = "must be 1 to 64 of A-Z a-z 0-9 . _ -";

    /// Reads a tenant's name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        ((1..=64).contains(&name.len()) && name.bytes().all(valid)).then(|| Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
