//! The names of a kind of resource.

use poem_openapi::{Tags, registry::Registry};
use uuid::Uuid;

use crate::http::{base_path::address, tag::Tag};

/// A kind of resource, by the names that addresses, events, the audit trail and the contract use.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// One of them: `customer`.
    pub name: &'static str,
    /// Their collection, as in addresses: `customers`.
    pub collection: &'static str,
    /// How their operations are grouped in the contract.
    pub tag: Tag,
}

impl Kind {
    /// The address of a resource of this kind.
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
