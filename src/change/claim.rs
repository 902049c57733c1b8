//! The claim on a request id: a row of `idempotent`, written in the same transaction as the change it belongs to.

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, Set, sea_query::OnConflict};

use super::{
    Change, address,
    idempotent::{ActiveModel, Column, Entity},
};
use crate::{
    database::tenancy::Tenanted,
    error::{ApiError, Result},
    http::request_id::RequestId,
};

/// Claims the change's request id, if it has one. A concurrent change with the same id waits here for the first to end,
/// and goes on only if that one left nothing.
///
/// # Errors
/// 409 with the address of the resource that the first request made or changed.
pub(super) async fn claim(change: &Change<'_>) -> Result<()> {
    let Some(RequestId(request_id)) = &change.intent.request_id else { return Ok(()) };
    let (kind, id) = change.intent.resource;
    let claim = ActiveModel {
        tenant_id: Set(change.tenant().as_str().to_owned()),
        request_id: Set(request_id.clone()),
        resource_type: Set(kind.0.to_owned()),
        resource_id: Set(id),
        created_at: Set(change.now().0),
    };
    let unless_claimed = OnConflict::columns([Column::TenantId, Column::RequestId]).do_nothing().to_owned();
    let claimed = Entity::insert(claim).on_conflict(unless_claimed).exec_without_returning(change.db()).await?;
    if claimed == 1 {
        return Ok(());
    }
    let first = Entity::of(change.tenant()).filter(Column::RequestId.eq(request_id)).all(change.db()).await?.pop();
    Err(first.map_or_else(
        || ApiError::unavailable("a claim was purged while it was looked at"),
        |first| ApiError::conflict(address(&first.resource_type, first.resource_id)),
    ))
}
