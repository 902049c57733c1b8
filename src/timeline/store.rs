//! Queries on timelines, and writing them.

use std::cmp::Reverse;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, FromQueryResult, IntoActiveModel, Statement, Value};
use uuid::Uuid;

use super::{
    entity::Model,
    kind::{TYPES, TimelineType, bits},
};
use crate::{
    database::{
        Rows, Transaction,
        list::{BOUND, Position},
    },
    error::{Error, Result},
    values::Tenant,
};

/// Maximum number of rows per INSERT: databases limit the number of parameters.
const ROWS: usize = 500;

/// Writes items at the end of the transaction, but those that are there.
#[expect(clippy::disallowed_methods, reason = "items are written here and nowhere else")]
pub(crate) fn write(transaction: &Transaction, items: &[Model]) {
    for items in items.chunks(ROWS) {
        let rows = Rows::of(items.iter().map(|item| item.clone().into_active_model()));
        transaction.insert_at_end(rows.if_absent());
    }
}

/// The place of an item in the timeline of its customer.
fn place(item: &Model) -> Position {
    Position::new([item.customer_id.into(), item.occurred_at.into(), item.audit_log_id.into()])
}

/// The time and the entry that a cursor of this customer's timeline holds.
fn behind(after: &Position, customer: Uuid) -> Result<[Value; 2]> {
    match <[Value; 3]>::try_from(after.values(3)?) {
        Ok([Value::Uuid(Some(of)), at, entry]) if of == customer => Ok([at, entry]),
        _ => Err(Error::invalid("after: must be the nextCursor of a page of the same timeline")),
    }
}

/// Which items of a timeline to read.
#[derive(Debug, Clone)]
pub(crate) struct Slice {
    /// Only those behind this place.
    pub after: Option<Position>,
    /// Only those of these types.
    pub types: Vec<TimelineType>,
    /// Maximum number of items.
    pub limit: u64,
}

/// The customer's items, newest first, and where the next page begins, unless this is the last one.
///
/// # Errors
/// Invalid, for a cursor of another timeline; or a database error.
pub(crate) async fn page(
    db: &impl ConnectionTrait,
    tenant: &Tenant,
    customer: Uuid,
    Slice { after, types, limit }: Slice,
) -> Result<(Vec<Model>, Option<Position>)> {
    let number = |rows: u64| i64::try_from(rows).unwrap_or(i64::MAX);
    let mut values: Vec<Value> = vec![tenant.as_str().into(), customer.into(), number(limit + 1).into()];
    let mut is_behind = "";
    if let Some(after) = after {
        values.extend(behind(&after, customer)?);
        // A pair would not be looked for in the index of SQLite, but compared row by row.
        is_behind = " AND occurred_at <= $4 AND (occurred_at < $4 OR audit_log_id < $5)";
    }
    let items = format!(
        "SELECT tenant_id, customer_id, occurred_at, audit_log_id, types, resource_type, resource_id, actor, changes, \
         summary FROM timeline WHERE tenant_id = $1 AND customer_id = $2{is_behind} \
         ORDER BY occurred_at DESC, audit_log_id DESC"
    );
    let sql = match TYPES == types.len() {
        true => format!("SELECT 1 AS is_found, items.* FROM ({items} LIMIT $3) AS items"),
        // As many are looked at as may be. The last one of these is where the next page begins if too few are of these types.
        false => {
            values.extend([bits(&types).into(), number(BOUND).into(), number(BOUND - 1).into()]);
            let [mask, bound, last] = [values.len() - 2, values.len() - 1, values.len()];
            format!(
                "SELECT * FROM (SELECT 1 AS is_found, items.* FROM ({items} LIMIT ${bound}) AS items \
                 WHERE (items.types & ${mask}) <> 0 LIMIT $3) AS found \
                 UNION ALL SELECT * FROM (SELECT 0 AS is_found, items.* FROM ({items} LIMIT 1 OFFSET ${last}) AS items) \
                 AS cut"
            )
        }
    };
    let rows = db.query_all_raw(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).await?;
    let (mut found, mut cut) = (Vec::new(), None);
    for row in &rows {
        let item = Model::from_query_result(row, "")?;
        match row.try_get::<i32>("", "is_found")? {
            0 => cut = Some(place(&item)),
            _ => found.push(item),
        }
    }
    found.sort_by_key(|item| Reverse((item.occurred_at, item.audit_log_id)));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_full = found.len() > limit;
    found.truncate(limit);
    let next = if is_full { found.last().map(place) } else { cut };
    Ok((found, next))
}

/// From when on the timeline of a customer that was created at this time is complete: from its creation, unless the timelines of
/// the tenant began later, or what the release before has written is not in them yet.
///
/// # Errors
/// A database error.
pub(crate) async fn since(
    db: &impl ConnectionTrait,
    tenant: &Tenant,
    created_at: DateTime<Utc>,
) -> Result<DateTime<Utc>> {
    let sql = "SELECT coalesce((SELECT since FROM timeline_starts WHERE tenant_id = $1), \
               (SELECT since FROM timeline_starts WHERE tenant_id = '')) AS began, \
               (SELECT occurred_at FROM timeline_queue WHERE tenant_id = $1 \
               ORDER BY occurred_at DESC, audit_log_id DESC LIMIT 1) AS queued";
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, [tenant.as_str().into()]);
    let Some(row) = db.query_one_raw(statement).await? else { return Ok(created_at) };
    let began: Option<DateTime<Utc>> = row.try_get("", "began")?;
    let queued: Option<DateTime<Utc>> = row.try_get("", "queued")?;
    let behind_queue = queued.map(|queued| queued + TimeDelta::milliseconds(1));
    Ok([began, behind_queue].into_iter().flatten().fold(created_at, Ord::max))
}
