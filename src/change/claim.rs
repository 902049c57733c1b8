//! The claim on a request id: a row of `idempotent`, written in the same transaction as the change it belongs to.

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, Set,
    sea_query::{Expr, ExprTrait, OnConflict, Query},
};

use super::{
    Change,
    idempotent::{ActiveModel, Column, Entity},
};
use crate::{
    database::{Database, tenancy::Tenanted},
    error::{ApiError, Result},
    http::request_id::RequestId,
    kind::address,
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
        resource_type: Set(kind.collection.to_owned()),
        resource_id: Set(id),
        created_at: Set(change.now().0),
    };
    let unless_claimed = OnConflict::columns([Column::TenantId, Column::RequestId]).do_nothing().to_owned();
    #[expect(clippy::disallowed_methods, reason = "a claim is no resource: it leaves no entry in the trail")]
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

/// How many claims a transaction deletes.
const BATCH: u64 = 1000;

/// Deletes the claims from before `due`; gives how many there were.
///
/// # Errors
/// A fault of the database. What was deleted until then stays deleted.
pub(crate) async fn purge_request_ids(database: &Database, due: DateTime<Utc>) -> Result<u64> {
    let mut purged = 0;
    loop {
        let key = ["tenant_id", "request_id"];
        let oldest = Query::select()
            .columns(key)
            .from("idempotent")
            .and_where(Expr::col("created_at").lt(due))
            .limit(BATCH)
            .to_owned();
        if database.read().query_one(&oldest).await?.is_none() {
            return Ok(purged);
        }
        let these = Expr::tuple(key.map(Expr::col)).in_subquery(oldest);
        let deletion = Query::delete().from_table("idempotent").and_where(these).to_owned();
        purged += database
            .transact(move |transaction| {
                let deletion = deletion.clone();
                Box::pin(async move { Ok(transaction.execute(&deletion).await?.rows_affected()) })
            })
            .await?;
    }
}
