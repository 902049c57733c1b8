//! The kinds of resources, and where the service is mounted: the names that addresses, the audit trail and request ids use.

use uuid::Uuid;

/// Where the gateway mounts the service. Operations are served here and, for gateways that strip it, without it.
pub const BASE_PATH: &str = "/api/v1/crm";

/// A kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// One of them: `customer`.
    pub name: &'static str,
    /// Their collection, as in addresses: `customers`.
    pub collection: &'static str,
}

impl Kind {
    /// The address of a resource of this kind.
    #[must_use]
    pub fn address(self, id: Uuid) -> String {
        address(self.collection, id)
    }

    /// The kind whose collection an address without [`BASE_PATH`] begins with.
    #[must_use]
    pub fn at(path: &str) -> Option<Self> {
        let collection = path.split('/').nth(1)?;
        ALL.into_iter().find(|kind| kind.collection == collection)
    }
}

/// The address of a resource in a collection.
#[must_use]
pub fn address(collection: &str, id: Uuid) -> String {
    format!("{BASE_PATH}/{collection}/{id}")
}

/// Customers.
pub const CUSTOMERS: Kind = Kind { name: "customer", collection: "customers" };
/// Contacts.
pub const CONTACTS: Kind = Kind { name: "contact", collection: "contacts" };
/// Opportunities.
pub const OPPORTUNITIES: Kind = Kind { name: "opportunity", collection: "opportunities" };
/// Follow-ups.
pub const FOLLOW_UPS: Kind = Kind { name: "followUp", collection: "follow-ups" };

/// All kinds.
pub const ALL: [Kind; 4] = [CUSTOMERS, CONTACTS, OPPORTUNITIES, FOLLOW_UPS];
