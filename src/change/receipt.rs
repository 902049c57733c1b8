//! What an accepted request did: its claim, read by whoever has its key.

use sea_orm::{ColumnTrait, ConnectionTrait, QueryFilter};

use super::{
    idempotent::{self, Column},
    open::Removal,
};
use crate::{
    database::tenancy::Tenanted,
    error::{NamedResource, Result},
    values::{Tenant, Timestamp},
};

/// What an accepted request did.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// The key that it claimed.
    pub key: String,
    /// What it did, as in the events; none if the release before this one accepted it.
    pub action: Option<String>,
    /// When it did so.
    pub committed_at: Timestamp,
    /// The resource that it created or changed.
    pub resource: NamedResource,
}

/// The receipt of the tenant's request with this key, if one was accepted and is still known. `removals` are those of all
/// resources.
pub(super) async fn find(
    db: &impl ConnectionTrait,
    tenant: &Tenant,
    key: &str,
    removals: &[Removal],
) -> Result<Option<Receipt>> {
    let claims = idempotent::Entity::of(tenant).filter(Column::RequestId.eq(key)).all(db).await?;
    Ok(claims.into_iter().next().map(|claim| of_claim(claim, removals)))
}

fn of_claim(claim: idempotent::Model, removals: &[Removal]) -> Receipt {
    let idempotent::Model { tenant_id: _, request_id, resource_type, resource_id, created_at, action, committed_at } =
        claim;
    let kind = removals.iter().map(|removal| removal.kind).find(|kind| kind.collection == resource_type);
    // A release that comes after this one, and runs beside it, may have further types: they are called like their collections.
    let name = kind.map_or_else(|| resource_type.clone(), |kind| kind.name.to_owned());
    Receipt {
        key: request_id,
        action,
        committed_at: Timestamp(committed_at.unwrap_or(created_at)),
        resource: NamedResource { kind: name, collection: resource_type, id: resource_id },
    }
}
