//! Claims on the id of a request or of a platform event: a row in `idempotent` or `inbox_events`, inserted in the transaction
//! of the change.

use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, Set,
    sea_query::{Expr, ExprTrait, OnConflict, Query},
};

use super::{
    idempotent, inbox, inbox_event,
    intent::{EventClaim, Idempotency},
    open::Change,
};
use crate::{
    database::{Database, Rows, horizon::Due, tenancy::Tenanted},
    error::{Error, Result},
    resource::Action,
    values::IdempotencyKey,
};

/// Claims the change's idempotency key, if it has one: that of a request as the first of what is left to the end of the change, that of
/// an event now. A concurrent change with the same key waits here for the first one to end, and proceeds only if that was rolled back.
///
/// # Errors
/// Of an event: duplicate; invalid, if the id belongs to another event.
pub(super) async fn claim(change: &Change<'_>) -> Result<()> {
    match &change.intent.idempotency {
        Idempotency::Inherent => Ok(()),
        Idempotency::Request(key, action) => {
            claim_request(change, key, *action);
            Ok(())
        }
        Idempotency::Event(claim) => claim_event(change, claim).await,
    }
}

/// Where the key is taken, the change fails with [`Error::claimed`].
#[expect(clippy::disallowed_methods, reason = "a claim is no resource: it leaves no entry in the trail")]
fn claim_request(change: &Change<'_>, key: &IdempotencyKey, action: Action) {
    let (kind, id) = change.intent.resource;
    let claim = idempotent::ActiveModel {
        tenant_id: Set(change.tenant().as_str().to_owned()),
        request_id: Set(key.key.clone()),
        resource_type: Set(kind.collection.to_owned()),
        resource_id: Set(id),
        created_at: Set(change.kept_from),
        action: Set(Some(action.name().to_owned())),
        committed_at: Set(Some(change.now.0)),
    };
    change.db().claim_at_end(id, Rows::of([claim]));
}

/// An id counts within its sender and its tenant. What it said before, it must say again.
async fn claim_event(change: &Change<'_>, event: &EventClaim) -> Result<()> {
    use inbox_event::Column;
    let event_id = &change.intent.actor.request_id;
    let claim = inbox_event::ActiveModel {
        tenant_id: Set(change.tenant().as_str().to_owned()),
        consumer: Set(event.consumer.to_owned()),
        sender: Set(event.sender.clone()),
        event_id: Set(event_id.clone()),
        event_type: Set(event.event_type.clone()),
        payload_hash: Set(event.payload_hash.clone()),
        created_at: Set(change.kept_from),
    };
    if insert(change, claim, [Column::TenantId, Column::Consumer, Column::Sender, Column::EventId]).await? {
        return claim_for_previous_release(change, event).await;
    }
    let first = inbox_event::Entity::of(change.tenant())
        .filter(Column::Consumer.eq(event.consumer))
        .filter(Column::Sender.eq(&event.sender))
        .filter(Column::EventId.eq(event_id))
        .all(change.db())
        .await?
        .pop();
    Err(match first {
        Some(first) if first.payload_hash == event.payload_hash => Error::duplicate_event(),
        Some(_) => Error::invalid("eventId: is that of another event, which was applied before"),
        None => Error::unavailable("a claim was purged while it was looked at"),
    })
}

/// The previous release looks into `inbox` alone, and claims there alone. So that neither applies what the other did, an
/// event is claimed there too. A row of another sender or tenant stays: there is room for one per id.
async fn claim_for_previous_release(change: &Change<'_>, event: &EventClaim) -> Result<()> {
    use inbox::Column;
    let event_id = &change.intent.actor.request_id;
    let claim = inbox::ActiveModel {
        consumer: Set(event.consumer.to_owned()),
        event_id: Set(event_id.clone()),
        tenant_id: Set(change.tenant().as_str().to_owned()),
        event_type: Set(event.event_type.clone()),
        created_at: Set(change.kept_from),
    };
    if insert(change, claim, [Column::Consumer, Column::EventId]).await? {
        return Ok(());
    }
    let of_tenant = inbox::Entity::of(change.tenant());
    let here = of_tenant.filter(Column::Consumer.eq(event.consumer)).filter(Column::EventId.eq(event_id));
    let mut first = here.all(change.db()).await?.into_iter();
    // That release knows no part of a sender and kept no hash: under its row, whatever the sender says counts as the same.
    let system = |text: &str| text.split(['.', '/']).next().map(str::to_owned);
    match first.find(|first| system(&first.event_type) == system(&event.sender)) {
        Some(first) if !is_of_another_part(change, event, &first.event_type).await? => Err(Error::duplicate_event()),
        _ => Ok(()),
    }
}

/// Whether an event of this type is known here from another part of the sender.
async fn is_of_another_part(change: &Change<'_>, event: &EventClaim, event_type: &str) -> Result<bool> {
    use inbox_event::Column;
    let others = inbox_event::Entity::of(change.tenant())
        .filter(Column::Consumer.eq(event.consumer))
        .filter(Column::EventId.eq(&change.intent.actor.request_id))
        .filter(Column::EventType.eq(event_type))
        .filter(Column::Sender.ne(&event.sender));
    Ok(!others.all(change.db()).await?.is_empty())
}

/// Inserts a claim; `false` if its key exists already.
#[expect(clippy::disallowed_methods, reason = "a claim is no resource: it leaves no entry in the trail")]
async fn insert<A: ActiveModelTrait, const N: usize>(
    change: &Change<'_>,
    claim: A,
    key: [<A::Entity as EntityTrait>::Column; N],
) -> Result<bool> {
    let unless_claimed = OnConflict::columns(key).do_nothing().to_owned();
    let claimed = A::Entity::insert(claim).on_conflict(unless_claimed).exec_without_returning(change.db()).await?;
    Ok(claimed == 1)
}

/// Number of claims deleted per transaction.
const BATCH: u64 = 1000;

/// Deletes the claims from before `due` and returns their number, those for the previous release not counted.
///
/// # Errors
/// A database error. What was deleted by then stays deleted.
pub(crate) async fn purge_claims(database: &Database, due: Due) -> Result<u64> {
    let requests = purge(database, "idempotent", &["tenant_id", "request_id"], due).await?;
    let events = purge(database, "inbox_events", &["tenant_id", "consumer", "sender", "event_id"], due).await?;
    purge(database, "inbox", &["consumer", "event_id"], due).await?;
    Ok(requests + events)
}

async fn purge(database: &Database, table: &'static str, key: &[&'static str], due: Due) -> Result<u64> {
    let mut purged = 0;
    loop {
        let columns = key.iter().copied();
        let oldest = Query::select()
            .columns(columns.clone())
            .from(table)
            .and_where(Expr::col("created_at").lt(due.instant()))
            .limit(BATCH)
            .to_owned();
        if database.read().query_one(&oldest).await?.is_none() {
            return Ok(purged);
        }
        let these = Expr::tuple(columns.map(Expr::col)).in_subquery(oldest);
        let deletion = Query::delete().from_table(table).and_where(these).to_owned();
        purged += database
            .transact(move |transaction| {
                let deletion = deletion.clone();
                Box::pin(async move { Ok(transaction.execute(&deletion).await?.rows_affected()) })
            })
            .await?;
    }
}
