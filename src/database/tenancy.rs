//! Finders that stay within a tenant. The framework's own, which do not, are forbidden by `.clippy.toml`: this file is
//! the one exception.

#![expect(clippy::disallowed_methods, reason = "here the tenant is put into every query")]

use sea_orm::{ColumnTrait, DeleteMany, EntityTrait, QueryFilter, Select, UpdateMany};
use uuid::Uuid;

use crate::values::Tenant;

/// An entity whose rows belong to tenants.
pub trait Tenanted: EntityTrait {
    /// The column `tenant_id`.
    const TENANT: Self::Column;

    /// The tenant's rows, as the rest of the service sees them.
    #[must_use]
    fn of(tenant: &Tenant) -> Select<Self> {
        Self::stored_of(tenant)
    }

    /// The tenant's rows, as they are stored.
    #[must_use]
    fn stored_of(tenant: &Tenant) -> Select<Self> {
        Self::find().filter(Self::TENANT.eq(tenant.as_str()))
    }

    /// An update of the tenant's rows.
    #[must_use]
    fn update_of(tenant: &Tenant) -> UpdateMany<Self> {
        Self::update_many().filter(Self::TENANT.eq(tenant.as_str()))
    }

    /// A deletion of the tenant's rows.
    #[must_use]
    fn delete_of(tenant: &Tenant) -> DeleteMany<Self> {
        Self::delete_many().filter(Self::TENANT.eq(tenant.as_str()))
    }
}

/// An entity whose rows are found by id and listed newest first.
pub trait Listed: Tenanted {
    /// The column of the row's own id; with the tenant, the primary key.
    const ID: Self::Column;
    /// The column of the instant of creation, by which lists are ordered.
    const CREATED: Self::Column;

    /// The tenant's row with this id.
    #[must_use]
    fn one(tenant: &Tenant, id: Uuid) -> Select<Self> {
        Self::of(tenant).filter(Self::ID.eq(id))
    }
}
