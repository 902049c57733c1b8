//! For whom the database works: what is shared out fairly is shared out among these.

use crate::values::Tenant;

/// For whom a unit of work or a query is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Party {
    /// A tenant's request, or an event of the platform for it.
    Tenant(Tenant),
    /// Several of these, whose changes share a transaction.
    Several,
    /// The service itself: background tasks and commands.
    Service,
}

impl From<&Tenant> for Party {
    fn from(tenant: &Tenant) -> Self {
        Self::Tenant(tenant.clone())
    }
}
