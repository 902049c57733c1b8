//! Reading one row by its id.

use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::tenancy::Listed;
use crate::{
    error::{Error, Result},
    values::Tenant,
};

/// Reads the tenant's row with this id.
///
/// # Errors
/// [`Error::not_found`], or a fault of the database.
pub async fn one<E: Listed>(db: &impl ConnectionTrait, tenant: &Tenant, id: Uuid) -> Result<E::Model> {
    E::one(tenant, id).all(db).await?.pop().ok_or_else(Error::not_found)
}
