//! Queries on the stage history.

use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, ConnectionTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Value, sea_query::Expr};
use uuid::Uuid;

use super::{
    entity::{Column, Entity, Model},
    types::{StageHistory, StageStay},
};
use crate::{
    change::Change,
    database::{list::Position, read, tenancy::Tenanted},
    error::{Error, Result},
    http::pages::Page,
    opportunities::entity::{Entity as Opportunities, Model as Opportunity},
    pii::PiiCipher,
    values::{Nullable, Tenant, Timestamp, page::NextCursor},
};

/// Says who moved the opportunity into the stage that it has come to by this change.
///
/// # Errors
/// A database error.
#[expect(clippy::disallowed_methods, reason = "the move itself is in the trail; this says whose it is")]
pub async fn attribute(change: &Change<'_>, row: &Opportunity) -> Result<()> {
    let stay = Entity::update_of(change.tenant())
        .col_expr(Column::Actor, Expr::value(change.actor().name.clone()))
        .col_expr(Column::NeedsActor, Expr::value(false))
        .filter(Column::OpportunityId.eq(row.opportunity_id))
        .filter(Column::EnteredAt.eq(row.updated_at));
    stay.exec(change.db()).await?;
    Ok(())
}

/// A part of an opportunity's stage history.
#[derive(Debug)]
pub struct Stays {
    /// The stages, the latest first.
    pub data: Vec<StageStay>,
    /// Where the next part begins, if there is one.
    pub next: Option<DateTime<Utc>>,
    /// From when on the history is complete; none while it is not filled in.
    pub since: Option<Timestamp>,
}

/// The stages of one of the tenant's opportunities, the latest first: at most `limit`, of those that it came into before `after`.
/// The opportunity must be one that callers can see.
///
/// # Errors
/// A database error.
pub async fn newest(
    db: &impl ConnectionTrait,
    tenant: &Tenant,
    opportunity: Uuid,
    (after, limit): (Option<DateTime<Utc>>, u64),
) -> Result<Stays> {
    let of_opportunity = || Entity::of(tenant).filter(Column::OpportunityId.eq(opportunity));
    let first = of_opportunity().order_by_asc(Column::EnteredAt).limit(1).all(db).await?.pop();
    let page = of_opportunity().apply_if(after, |rows, after| rows.filter(Column::EnteredAt.lt(after)));
    let mut rows = page.order_by_desc(Column::EnteredAt).limit(limit + 1).all(db).await?;
    let is_cut = rows.len() as u64 > limit;
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(Stays {
        next: rows.last().filter(|_| is_cut).map(|row| row.entered_at),
        data: rows.into_iter().map(StageStay::from_row).collect(),
        since: first.map(|row| Timestamp(complete_since(&row))),
    })
}

/// The page that a caller asks for, of the history of an opportunity.
///
/// # Errors
/// Not found; invalid, for a cursor of another history; or a database error.
pub async fn page(
    db: &impl ConnectionTrait,
    cipher: &PiiCipher,
    tenant: &Tenant,
    opportunity: Uuid,
    page: &Page,
) -> Result<StageHistory> {
    read::one::<Opportunities>(db, tenant, opportunity).await?;
    let after = page.slice.after.as_ref().map(|after| place(after, opportunity)).transpose()?;
    let Stays { data, next, since } = newest(db, tenant, opportunity, (after, page.slice.limit)).await?;
    let next = next.map(|next| page.cursor(cipher, &Position::new([opportunity.into(), next.into()]))).transpose()?;
    Ok(StageHistory { data, since: Nullable(since), next_cursor: NextCursor(next) })
}

/// The time that a cursor of this opportunity's history holds.
fn place(after: &Position, opportunity: Uuid) -> Result<DateTime<Utc>> {
    match after.values(2)?.as_slice() {
        [Value::Uuid(Some(of)), Value::ChronoDateTimeUtc(Some(after))] if *of == opportunity => Ok(*after),
        _ => Err(Error::invalid("after: must be the nextCursor of a page of the same history")),
    }
}

/// From when on a history is complete that begins with this row.
fn complete_since(first: &Model) -> DateTime<Utc> {
    match first.left_at {
        Some(left_at) if first.is_estimated => left_at,
        _ => first.entered_at,
    }
}
