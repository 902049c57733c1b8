//! Queries on the audit trail.

use std::{collections::HashMap, ops::Bound};

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    sea_query::{Expr, ExprTrait, Func},
};
use uuid::Uuid;

use super::{
    entity::{AuditAction, chain, heads, logs, queue},
    field_change::FieldChange,
};
use crate::{
    database::{
        Database,
        list::{Criterion, ListQuery, ListSource, Order, Rows, Slice, Total},
        tenancy::{Listed, Tenanted},
    },
    error::{Error, Result},
    values::Tenant,
};

/// Number of entries read at a time.
const BATCH: u64 = 1000;

/// Which entries to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only entries about this type of resource.
    pub resource_type: Option<String>,
    /// Only entries about this resource.
    pub resource_id: Option<Uuid>,
    /// Only entries of this actor.
    pub actor: Option<String>,
    /// Only entries with this action.
    pub action: Option<AuditAction>,
    /// Only entries at or after this time.
    pub from: Option<DateTime<Utc>>,
    /// Only entries before this time.
    pub to: Option<DateTime<Utc>>,
}

/// An entry and its link in the chain, if it has one yet.
#[derive(Debug, Clone)]
pub struct Chained {
    /// The entry.
    pub entry: logs::Model,
    /// The link: number and hash.
    pub link: Option<chain::Model>,
}

/// A page of the tenant's entries, with their number if that is wanted.
///
/// # Errors
/// A database error.
pub async fn list(
    db: &impl ListSource,
    tenant: &Tenant,
    filter: Filter,
    slice: Slice,
    has_total: bool,
) -> Result<Rows<Chained>> {
    let Filter { resource_type, resource_id, actor, action, from, to } = filter;
    let id = logs::Column::ResourceId;
    let resource = resource_id
        .map(|resource| Criterion::<logs::Entity>::equal_where(id, Condition::all().add(id.is_in(named(resource)))));
    let from = from.map_or(Bound::Unbounded, Bound::Included);
    let to = to.map_or(Bound::Unbounded, Bound::Excluded);
    let criteria = [
        resource,
        actor.map(|actor| Criterion::<logs::Entity>::equal(logs::Column::Actor, actor)),
        action.map(|action| Criterion::<logs::Entity>::equal(logs::Column::Action, action)),
        resource_type.map(|kind| Criterion::<logs::Entity>::equal(logs::Column::ResourceType, kind)),
        Criterion::within(logs::Column::OccurredAt, from, to),
    ];
    let criteria: Vec<_> = criteria.into_iter().flatten().collect();
    let total = Total::kept(number_of_entries).of_list(has_total, !criteria.is_empty());
    let query = ListQuery { criteria, order: Order::default(), slice, total };
    let Rows { data, total, next } = query.read(db, tenant).await?;
    Ok(Rows { data: chained(db, tenant, data).await?, total, next })
}

/// How many entries the tenant has, as an expression: those of the chain that the retention has not deleted, and those that wait
/// to be chained. Each entry is one or the other, at every instant.
fn number_of_entries(tenant: &Tenant) -> Expr {
    let kept = Expr::col(heads::Column::Sequence).sub(Expr::col(heads::Column::PurgedSequence));
    let kept = heads::Entity::of(tenant).select_only().expr(kept).into_query();
    let waiting = queue::Entity::of(tenant).select_only().expr(Expr::cust("count(*)")).into_query();
    let kept = Expr::from(Func::coalesce([Expr::from(kept), Expr::val(0_i64)]));
    kept.add(Expr::from(waiting)).cast_as("bigint")
}

/// The id, or none: the nil UUID stands for what is no id, and entries may hold it.
fn named(id: Uuid) -> Option<Uuid> {
    Some(id).filter(|id| !id.is_nil())
}

/// What an entry says of a resource.
#[derive(Debug, Clone)]
pub struct ResourceEntry {
    /// When it was done.
    pub occurred_at: DateTime<Utc>,
    /// Who did it.
    pub actor: String,
    /// What was done.
    pub action: AuditAction,
    /// The fields that changed.
    pub changes: Vec<FieldChange>,
}

/// The newest of the tenant's entries about a resource, oldest first and at most `limit`: of all times, or between two.
///
/// # Errors
/// A database error; internal, if stored changes are not a valid list.
pub async fn about(
    db: &impl ConnectionTrait,
    tenant: &Tenant,
    resource: Uuid,
    between: Option<(DateTime<Utc>, DateTime<Utc>)>,
    limit: u64,
) -> Result<Vec<ResourceEntry>> {
    let at = logs::Column::OccurredAt;
    let rows = logs::Entity::of(tenant).filter(logs::Column::ResourceId.eq(resource));
    let rows = rows.apply_if(between, |rows, (from, to)| rows.filter(at.gte(from)).filter(at.lte(to)));
    let rows = rows.order_by_desc(at).order_by_desc(<logs::Entity as Listed>::ID).limit(limit).all(db).await?;
    let entry = |logs::Model { occurred_at, actor, action, changes, .. }: logs::Model| {
        let changes = serde_json::from_str(&changes).map_err(Error::internal)?;
        Ok(ResourceEntry { occurred_at, actor, action, changes })
    };
    rows.into_iter().rev().map(entry).collect()
}

/// The tenants that have entries, sorted by name.
///
/// # Errors
/// A database error.
#[expect(clippy::disallowed_methods, reason = "the export covers all tenants, one at a time")]
pub async fn tenants(database: &Database) -> Result<Vec<Tenant>> {
    let names = logs::Entity::find().select_only().column(logs::Column::TenantId).distinct();
    let names = names.order_by_asc(logs::Column::TenantId).into_tuple::<String>().all(&database.read()).await?;
    Ok(names.into_iter().map(Tenant::stored).collect())
}

/// A batch of the tenant's entries after `after`, oldest first; empty at the end.
///
/// # Errors
/// A database error.
pub async fn after(
    db: &impl ConnectionTrait,
    tenant: &Tenant,
    after: Option<(DateTime<Utc>, Uuid)>,
) -> Result<Vec<Chained>> {
    let (at, id) = (logs::Column::OccurredAt, <logs::Entity as Listed>::ID);
    let rows = logs::Entity::of(tenant).apply_if(after, |rows, (instant, entry)| {
        let same_instant = Condition::all().add(at.eq(instant)).add(id.gt(entry));
        rows.filter(at.gte(instant)).filter(Condition::any().add(at.gt(instant)).add(same_instant))
    });
    let rows = rows.order_by_asc(at).order_by_asc(id).limit(BATCH).all(db).await?;
    chained(db, tenant, rows).await
}

/// The entries with their links.
async fn chained(db: &impl ConnectionTrait, tenant: &Tenant, entries: Vec<logs::Model>) -> Result<Vec<Chained>> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let ids = entries.iter().map(|entry| entry.audit_log_id);
    let links = chain::Entity::of(tenant).filter(chain::Column::AuditLogId.is_in(ids)).all(db).await?;
    let mut links: HashMap<Uuid, chain::Model> = links.into_iter().map(|link| (link.audit_log_id, link)).collect();
    let chained = |entry: logs::Model| Chained { link: links.remove(&entry.audit_log_id), entry };
    Ok(entries.into_iter().map(chained).collect())
}
