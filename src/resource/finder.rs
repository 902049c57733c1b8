//! The finders of resources, which hide what is deleted.

use sea_orm::{ColumnTrait, Condition, ConnectionTrait, QueryFilter, Select, sea_query::Expr};
use uuid::Uuid;

use super::{
    Resource,
    deletion::{being_cleared, is_not_deleted, something_is_deleted, without_cleared},
};
use crate::{
    database::tenancy::{Listed, SortKey, Tenanted},
    error::Result,
    values::Tenant,
};

impl<E: Resource> Tenanted for E {
    const TENANT: E::Column = <E as Resource>::TENANT;

    fn is_shown(tenant: &Tenant) -> Condition {
        is_not_deleted(tenant, E::DELETED_AT.map(|_| E::ID), E::REFERENCES)
    }

    fn hides(tenant: &Tenant) -> Option<Expr> {
        (E::DELETED_AT.is_some() || !E::REFERENCES.is_empty()).then(|| something_is_deleted(tenant))
    }

    fn as_shown(tenant: &Tenant, rows: Select<E>) -> Select<E> {
        without_cleared(tenant, rows, E::REFERENCES)
    }
}

impl<E: Resource> Listed for E {
    const ID: E::Column = <E as Resource>::ID;
    const CREATED: E::Column = <E as Resource>::CREATED;
    const FILTERED: &'static [E::Column] = <E as Resource>::FILTERED;
    const SORTS: &'static [SortKey<E::Column>] = <E as Resource>::SORTS;
}

/// Whether the resource is shown without a reference that its row still has, because what it referred to is being removed. Its
/// version moves when that is done.
///
/// # Errors
/// A database error.
#[expect(clippy::disallowed_methods, reason = "here is looked for what finders hide")]
pub async fn is_being_cleared<E: Resource>(db: &impl ConnectionTrait, tenant: &Tenant, id: Uuid) -> Result<bool> {
    let Some(condition) = being_cleared(tenant, E::REFERENCES) else { return Ok(false) };
    let row = E::stored_of(tenant).filter(<E as Resource>::ID.eq(id)).filter(condition);
    Ok(!row.all(db).await?.is_empty())
}
