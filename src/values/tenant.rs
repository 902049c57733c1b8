//! Tenant names.

use std::{borrow::Cow, fmt};

use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use serde::Serialize;
use serde_json::Value;

use super::{ContractValue, Violation, contract_type};

/// A tenant's name.
#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Tenant(String);

impl Tenant {
    /// The rule for tenant names, as a message.
    pub const EXPECTED: &str = "must be 1 to 64 of A-Z a-z 0-9 . _ -";

    /// Parses a tenant's name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        ((1..=64).contains(&name.len()) && name.bytes().all(valid)).then(|| Self(name.to_owned()))
    }

    /// A name from the database, which was validated when it was written.
    #[must_use]
    pub fn stored(name: String) -> Self {
        Self(name)
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

impl ContractValue for Tenant {
    fn name() -> Cow<'static, str> {
        "Tenant".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            min_length: Some(1),
            max_length: Some(64),
            pattern: Some("^[A-Za-z0-9._-]+$".to_owned()),
            example: Some(Value::from("default")),
            ..MetaSchema::new("string")
        }))
    }

    fn from_value(value: Value) -> Result<Self, Violation> {
        value.as_str().and_then(Self::parse).ok_or(Cow::Borrowed(Self::EXPECTED))
    }
}

contract_type!(Tenant);
