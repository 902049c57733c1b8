//! The finders of resources, which hide what is deleted.

use sea_orm::{ColumnTrait, ConnectionTrait, QueryFilter, Select};
use uuid::Uuid;

use super::{
    Resource,
    deletion::{being_cleared, without_deleted},
};
use crate::{
    database::tenancy::{Listed, Tenanted},
    error::Result,
    values::Tenant,
};

impl<E: Resource> Tenanted for E {
    const TENANT: E::Column = <E as Resource>::TENANT;

    #[expect(clippy::disallowed_methods, reason = "here what is deleted is hidden from every query")]
    fn of(tenant: &Tenant) -> Select<E> {
        without_deleted(tenant, E::stored_of(tenant), E::DELETED_AT.map(|_| E::ID), E::REFERENCES)
    }
}

impl<E: Resource> Listed for E {
    const ID: E::Column = <E as Resource>::ID;
    const CREATED: E::Column = <E as Resource>::CREATED;
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
