//! Finders that stay within a tenant. The framework's own, which do not, are forbidden by `.clippy.toml`: this file is
//! the one exception.

#![expect(clippy::disallowed_methods, reason = "here the tenant is put into every query")]

use sea_orm::{ColumnTrait, Condition, DeleteMany, EntityTrait, QueryFilter, Select, UpdateMany, sea_query::Expr};
use uuid::Uuid;

use crate::values::Tenant;

/// An entity whose rows belong to tenants.
pub trait Tenanted: EntityTrait {
    /// The column `tenant_id`.
    const TENANT: Self::Column;

    /// The tenant's rows, as the rest of the service sees them.
    #[must_use]
    fn of(tenant: &Tenant) -> Select<Self> {
        Self::as_shown(tenant, Self::stored_of(tenant).filter(Self::is_shown(tenant)))
    }

    /// Which of the stored rows the rest of the service sees.
    #[must_use]
    fn is_shown(_tenant: &Tenant) -> Condition {
        Condition::all()
    }

    /// Whether there may be others; none if there never are.
    #[must_use]
    fn hides(_tenant: &Tenant) -> Option<Expr> {
        None
    }

    /// The rows as the rest of the service sees them, instead of as they are stored.
    #[must_use]
    fn as_shown(_tenant: &Tenant, rows: Select<Self>) -> Select<Self> {
        rows
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

/// What a list can be sorted by.
#[derive(Debug)]
pub struct SortKey<C> {
    /// Its name in the contract.
    pub name: &'static str,
    /// The column, which is never empty. There is an index over tenant, this column, the time of creation and the id.
    pub column: C,
    /// All values of the column in ascending order, where it has few.
    pub values: &'static [i32],
}

impl<C> SortKey<C> {
    /// A key of many values.
    #[must_use]
    pub const fn new(name: &'static str, column: C) -> Self {
        Self { name, column, values: &[] }
    }
}

/// An entity whose rows are found by id and listed newest first.
pub trait Listed: Tenanted<Model: Sync> {
    /// The column of the row's own id; with the tenant, the primary key.
    const ID: Self::Column;
    /// The column of the instant of creation, by which lists are ordered.
    const CREATED: Self::Column;

    /// The columns that lists are filtered by. An index has them for a sample of the rows.
    const FILTERED: &'static [Self::Column];

    /// What lists can be sorted by.
    const SORTS: &'static [SortKey<Self::Column>] = &[];

    /// Whether pages of its lists are kept in memory: of those that are, whatever the service writes by itself forgets all, unless it
    /// [says](super::transaction::Transaction::changes_no_list) that it changes none.
    const IS_KEPT: bool = true;

    /// The tenant's row with this id.
    #[must_use]
    fn one(tenant: &Tenant, id: Uuid) -> Select<Self> {
        Self::of(tenant).filter(Self::ID.eq(id))
    }
}
