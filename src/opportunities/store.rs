//! Queries on opportunities.

use std::{cmp::Reverse, ops::Bound};

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, Condition, FromQueryResult, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    sea_query::{Alias, Asterisk, Expr, ExprTrait, LockType, Query, UnionType},
};
use uuid::Uuid;

use super::{
    entity::{Column, Entity, Model},
    history,
    stage::{OpportunityStage, OpportunityStatus, StageState},
    types::{OpportunityCreate, OpportunityUpdate},
};
use crate::{
    change::Change,
    customers,
    database::{
        list::{Criterion, Direction, KeptPage, ListQuery, ListSource, Order, Rows, Slice, Total},
        pipeline::standing::Standing,
        tenancy::{SortKey, Tenanted},
    },
    error::{Error, Result},
    http::listing::Listing,
    resource::totals,
    values::{AmountCents, Currency, Tenant, Text, integer_enum::IntegerEnum},
};

/// Which opportunities to list.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Only of this customer.
    pub customer: Option<Uuid>,
    /// Only in one of these stages, unless there are none.
    pub stages: Vec<OpportunityStage>,
    /// Only with one of these statuses, unless there are none.
    pub statuses: Vec<OpportunityStatus>,
    /// Only in one of these currencies, unless there are none.
    pub currencies: Vec<String>,
    /// Only of at least the first amount, and at most the second one.
    pub amount: (Option<i64>, Option<i64>),
    /// Only those whose title holds the words that are searched.
    pub words: Option<Criterion<Entity>>,
    /// Only open ones about which nothing was changed or noted since.
    pub stalled_since: Option<DateTime<Utc>>,
}

impl Filter {
    /// By what the pipeline keeps totals, if anything is asked of that: stages, statuses and currencies.
    fn standing(&self) -> Option<Standing> {
        let Self { customer, stages, statuses, currencies, .. } = self;
        if stages.is_empty() && statuses.is_empty() && currencies.is_empty() {
            return None;
        }
        let is_meant = |stage: &&OpportunityStage| {
            (stages.is_empty() || stages.contains(stage)) && (statuses.is_empty() || statuses.contains(&stage.kind()))
        };
        let stages = OpportunityStage::ALL.iter().filter(is_meant).map(|stage| stage.code()).collect();
        Some(Standing { owner: *customer, stages, currencies: currencies.clone() })
    }

    /// What the opportunities are to meet, besides belonging to the customer: of that, and of the rest.
    fn criteria(self, tenant: &Tenant) -> (Vec<Criterion<Entity>>, Vec<Criterion<Entity>>) {
        let Self { customer: _, stages, statuses, currencies, amount: (from, to), words, stalled_since } = self;
        let in_stages =
            |stages: Vec<OpportunityStage>| Criterion::one_of(Column::Stage, stages.into_iter().map(IntegerEnum::code));
        // A status has no index of its own: it follows from the stage.
        let with_status = OpportunityStage::ALL.iter().copied().filter(|stage| statuses.contains(&stage.kind()));
        let bound = |amount: Option<i64>| amount.map_or(Bound::Unbounded, Bound::Included);
        let standing =
            [in_stages(stages), in_stages(with_status.collect()), Criterion::one_of(Column::Currency, currencies)];
        let others = [
            words,
            Criterion::within(Column::AmountCents, bound(from), bound(to)),
            stalled_since.map(|instant| stalled(tenant, instant)),
        ];
        (standing.into_iter().flatten().collect(), others.into_iter().flatten().collect())
    }
}

/// The open opportunities that were not changed after this instant, and have no follow-up from after it. Follow-ups are a room
/// above this one; their table is not.
fn stalled(tenant: &Tenant, since: DateTime<Utc>) -> Criterion<Entity> {
    const TABLE: &str = "follow_ups";
    let column = |column: Column| Expr::col((Entity, column));
    let mut later = Query::select();
    later.expr(Expr::val(1)).from(TABLE);
    later.and_where(Expr::col((TABLE, "tenant_id")).eq(tenant.as_str()));
    later.and_where(Expr::col((TABLE, "opportunity_id")).eq(column(Column::OpportunityId)));
    later.and_where(Expr::col((TABLE, "created_at")).gt(since));
    // Asked of one after the other, as `limit` and `offset` say: PostgreSQL would else read all follow-ups, once.
    // As in the index of those that are open.
    let is_old_and_open = Condition::all()
        .add(Expr::cust("opportunities.status = 0 AND opportunities.deleted_at IS NULL"))
        .add(column(Column::UpdatedAt).lte(since));
    let mut ids = Query::select();
    ids.expr(column(Column::OpportunityId)).from(Entity);
    ids.and_where(column(Column::TenantId).eq(tenant.as_str())).cond_where(is_old_and_open.clone());
    Criterion::found_by(is_old_and_open.add(Expr::exists(later.limit(1).offset(0).take()).not()), ids)
}

/// A page of the tenant's opportunities.
///
/// # Errors
/// A database error.
pub async fn list(
    db: &impl ListSource,
    tenant: &Tenant,
    filter: Filter,
    listing: &Listing<Entity>,
    slice: Slice,
) -> Result<KeptPage<Model>> {
    let (customer, standing) = (filter.customer, filter.standing());
    let (mut kept, total) =
        totals::of_customer::<Entity, customers::Entity>(db.get_database_backend(), tenant, customer);
    let (by_standing, others) = filter.criteria(tenant);
    kept.extend(by_standing);
    let total = standing.map_or(total, Total::Standing);
    listing.query((kept, total), others, Column::UpdatedAt, slice).page(db, tenant).await
}

/// The customer's opportunities: those that are open, the furthest ones first, and then the others; the newest first of those that
/// are equal, at most so many; and how many there are.
///
/// # Errors
/// A database error.
pub async fn leading_of_customer(
    db: &impl ListSource,
    tenant: &Tenant,
    customer: Uuid,
    limit: u64,
) -> Result<Rows<Model>> {
    let backend = db.get_database_backend();
    // Of each stage the newest, by an index.
    let of_stage = |stage: &OpportunityStage| {
        let rows = Entity::of(tenant).filter(Column::CustomerId.eq(customer)).filter(Column::Stage.eq(*stage));
        let rows = rows.order_by_desc(Column::CreatedAt).order_by_desc(Column::OpportunityId).limit(limit);
        Query::select().column(Asterisk).from_subquery(rows.into_query(), Alias::new("of_stage")).take()
    };
    let (criteria, total) = totals::of_customer::<Entity, customers::Entity>(backend, tenant, Some(customer));
    let slice = Slice { offset: 0, limit: 1, after: None };
    let total = ListQuery { criteria, order: Order::default(), slice, total }.read(db, tenant).await?.total;
    let mut rows = Vec::new();
    let parts = OpportunityStage::ALL.iter().map(of_stage);
    let all = parts.reduce(|mut all, part| all.union(UnionType::All, part).take()).unwrap_or_default();
    for row in db.query_all_raw(backend.build(&all)).await? {
        rows.push(Model::from_query_result(&row, "")?);
    }
    let place = |row: &Model| {
        let furthest = if row.status == OpportunityStatus::Open { row.stage.code() } else { -1 };
        Reverse((furthest, row.created_at, row.opportunity_id))
    };
    rows.sort_by_key(place);
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(Rows { data: rows, total, next: None })
}

/// The open opportunities to which nothing has happened after this instant, neither a move nor a follow-up: those first to which
/// nothing has for the longest time.
///
/// # Errors
/// A database error.
pub async fn idle(db: &impl ListSource, tenant: &Tenant, since: DateTime<Utc>, slice: Slice) -> Result<Rows<Model>> {
    const BY_IDLE_SINCE: &SortKey<Column> = &SortKey::new("idleSince", Column::IdleSince);
    let criteria = Criterion::<Entity>::within(Column::IdleSince, Bound::Unbounded, Bound::Included(since));
    let order = Order::by([(BY_IDLE_SINCE, Direction::Ascending)]);
    let query = ListQuery { criteria: criteria.into_iter().collect(), order, slice, total: Total::Unknown };
    query.read(db, tenant).await
}

/// Inserts a new opportunity with the id of the change.
///
/// # Errors
/// Invalid, if the customer does not exist, or a database error.
pub async fn insert(change: &mut Change<'_>, body: OpportunityCreate) -> Result<Model> {
    let OpportunityCreate { customer_id, title, amount_cents, currency, stage } = body;
    change.lock_referenced::<customers::Entity>("customerId", customer_id.0, LockType::KeyShare).await?;
    let StageState { stage, last_open } = StageState::new(stage.into_option().unwrap_or(OpportunityStage::New));
    let AmountCents(amount_cents) = amount_cents.into_option().unwrap_or(AmountCents(0));
    let row = Model {
        tenant_id: change.tenant().as_str().to_owned(),
        opportunity_id: change.id(),
        customer_id: customer_id.0,
        title: title.into_string(),
        amount_cents,
        currency: currency.into_option().as_ref().unwrap_or(change.default_currency()).code().to_owned(),
        stage,
        status: stage.kind(),
        last_open_stage: last_open,
        created_at: change.now().0,
        updated_at: change.now().0,
        version: 0,
        deleted_at: None,
        title_sort: String::new(),
        stage_entered_at: None,
        idle_since: None,
    };
    let row = change.insert::<Entity>(row)?;
    // With the row, a trigger inserts its history.
    change.db().insert_now().await?;
    history::attribute(change, &row).await?;
    Ok(row)
}

/// Updates the opportunity of the change.
///
/// # Errors
/// Not found; invalid, if stage and status contradict each other; or a database error.
pub async fn update(change: &mut Change<'_>, body: OpportunityUpdate) -> Result<Model> {
    let OpportunityUpdate { title, amount_cents, currency, stage, status } = body;
    let before = change.lock_own::<Entity>().await?;
    let moved = state(&before).moved(stage.into_option(), status.into_option())?;
    let mut row = with_state(before.clone(), moved);
    row.title = title.into_option().map_or(row.title, Text::into_string);
    row.amount_cents = amount_cents.into_option().map_or(row.amount_cents, |amount| amount.0);
    row.currency = currency.into_option().map_or(row.currency, |currency: Currency| currency.code().to_owned());
    update_row(change, before, row).await
}

/// Updates a locked row, and says in its history who moved it.
async fn update_row(change: &mut Change<'_>, before: Model, row: Model) -> Result<Model> {
    let is_moved = before.stage != row.stage;
    let row = change.update::<Entity>(before, row).await?;
    if is_moved {
        history::attribute(change, &row).await?;
    }
    Ok(row)
}

/// Marks an opportunity of the change's customer as won; no effect if it is already. The customer must be locked.
///
/// # Errors
/// Invalid, if the customer has no such opportunity, or a database error.
pub async fn win(change: &mut Change<'_>, id: Uuid) -> Result<()> {
    let before = change.lock_referenced::<Entity>("opportunityId", id, LockType::Update).await?;
    if before.customer_id != change.id() {
        return Err(Error::invalid("opportunityId: belongs to another customer"));
    }
    let won = state(&before).moved(None, Some(OpportunityStatus::Won))?;
    update_row(change, before.clone(), with_state(before, won)).await.map(drop)
}

fn state(row: &Model) -> StageState {
    StageState { stage: row.stage, last_open: row.last_open_stage }
}

fn with_state(row: Model, StageState { stage, last_open }: StageState) -> Model {
    Model { stage, status: stage.kind(), last_open_stage: last_open, ..row }
}

/// Deletes the opportunity of the change; its follow-ups stay, without their reference to it.
///
/// # Errors
/// Not found, or a database error.
pub async fn delete(change: &mut Change<'_>) -> Result<()> {
    let row = change.lock_own_below::<customers::Entity, Entity>(LockType::KeyShare).await?;
    change.delete_own::<Entity>(row).await
}
