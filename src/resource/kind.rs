//! The names of a resource type.

use poem_openapi::{Tags, registry::Registry};
use uuid::Uuid;

use crate::http::{base_path::address, tag::Tag};

/// A resource type: its names in URLs, events, the audit trail and the contract.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// The singular, such as `customer`.
    pub name: &'static str,
    /// The collection in URLs, such as `customers`.
    pub collection: &'static str,
    /// The OpenAPI tag of its operations.
    pub tag: Tag,
}

impl Kind {
    /// The URL path of a resource of this type.
    #[must_use]
    pub fn address(self, id: Uuid) -> String {
        address(self.collection, id)
    }
}

impl Tags for Kind {
    fn register(&self, registry: &mut Registry) {
        self.tag.register(registry);
    }

    fn name(&self) -> &'static str {
        self.tag.name
    }
}
