//! Claims on the id of a request or of a platform event: a row in `idempotent` or `inbox`, inserted in the transaction
//! of the change.

use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, Set,
    sea_query::{Expr, ExprTrait, OnConflict, Query},
};

use super::{
    idempotent::{self, Column},
    inbox,
    intent::Idempotency,
    open::Change,
};
use crate::{
    database::{Database, horizon::Due, tenancy::Tenanted},
    error::{Error, Result},
    values::RequestId,
};

/// Claims the change's idempotency key, if it has one. A concurrent change with the same key waits here for the first
/// one to end, and proceeds only if that was rolled back.
///
/// # Errors
/// Duplicate; for a request, with the resource that the first one created or changed.
pub(super) async fn claim(change: &Change<'_>) -> Result<()> {
    match &change.intent.idempotency {
        Idempotency::Inherent => Ok(()),
        Idempotency::Request(request_id) => claim_request(change, request_id).await,
        Idempotency::Event { consumer, event_type } => claim_event(change, consumer, event_type).await,
    }
}

async fn claim_request(change: &Change<'_>, RequestId(request_id): &RequestId) -> Result<()> {
    let (kind, id) = change.intent.resource;
    let claim = idempotent::ActiveModel {
        tenant_id: Set(change.tenant().as_str().to_owned()),
        request_id: Set(request_id.clone()),
        resource_type: Set(kind.collection.to_owned()),
        resource_id: Set(id),
        created_at: Set(change.now().0),
    };
    if insert(change, claim, [Column::TenantId, Column::RequestId]).await? {
        return Ok(());
    }
    let first =
        idempotent::Entity::of(change.tenant()).filter(Column::RequestId.eq(request_id)).all(change.db()).await?.pop();
    Err(first.map_or_else(
        || Error::unavailable("a claim was purged while it was looked at"),
        |first| Error::duplicate_request(first.resource_type, first.resource_id),
    ))
}

async fn claim_event(change: &Change<'_>, consumer: &str, event_type: &str) -> Result<()> {
    let claim = inbox::ActiveModel {
        consumer: Set(consumer.to_owned()),
        event_id: Set(change.intent.actor.request_id.clone()),
        tenant_id: Set(change.tenant().as_str().to_owned()),
        event_type: Set(event_type.to_owned()),
        created_at: Set(change.now().0),
    };
    match insert(change, claim, [inbox::Column::Consumer, inbox::Column::EventId]).await? {
        true => Ok(()),
        false => Err(Error::duplicate_event()),
    }
}

/// Inserts a claim; `false` if its key exists already.
#[expect(clippy::disallowed_methods, reason = "a claim is no resource: it leaves no entry in the trail")]
async fn insert<A: ActiveModelTrait>(
    change: &Change<'_>,
    claim: A,
    key: [<A::Entity as EntityTrait>::Column; 2],
) -> Result<bool> {
    let unless_claimed = OnConflict::columns(key).do_nothing().to_owned();
    let claimed = A::Entity::insert(claim).on_conflict(unless_claimed).exec_without_returning(change.db()).await?;
    Ok(claimed == 1)
}

/// Number of claims deleted per transaction.
const BATCH: u64 = 1000;

/// Deletes the claims from before `due` and returns their number.
///
/// # Errors
/// A database error. What was deleted by then stays deleted.
pub(crate) async fn purge_claims(database: &Database, due: Due) -> Result<u64> {
    let mut purged = 0;
    for (table, key) in [("idempotent", ["tenant_id", "request_id"]), ("inbox", ["consumer", "event_id"])] {
        purged += purge(database, table, key, due).await?;
    }
    Ok(purged)
}

async fn purge(database: &Database, table: &'static str, key: [&'static str; 2], due: Due) -> Result<u64> {
    let mut purged = 0;
    loop {
        let is_due = Expr::col("created_at").lt(due.instant());
        let oldest = Query::select().columns(key).from(table).and_where(is_due).limit(BATCH).to_owned();
        if database.read().query_one(&oldest).await?.is_none() {
            return Ok(purged);
        }
        let these = Expr::tuple(key.map(Expr::col)).in_subquery(oldest);
        let deletion = Query::delete().from_table(table).and_where(these).to_owned();
        purged += database
            .transact(move |transaction| {
                let deletion = deletion.clone();
                Box::pin(async move { Ok(transaction.execute(&deletion).await?.rows_affected()) })
            })
            .await?;
    }
}
