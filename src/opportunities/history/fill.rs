//! Filling in, in steps, what the stage history does not have: that of the opportunities that were there before it, and who made
//! the moves of a process of the release before. Both come from the audit trail, as far as that reaches.
//!
//! What is left to do are the rows that two indexes hold; so a step that is cut off is taken again, by whichever process comes
//! to it.

#![expect(clippy::disallowed_methods, reason = "what is filled in is no change of an opportunity")]

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    Statement,
    sea_query::{Expr, ExprTrait, LockBehavior, LockType},
};
use uuid::Uuid;

use super::entity::{Column, Entity, Model};
use crate::{
    audit::{AuditAction, store as audit},
    database::{Database, Transaction, tenancy::Tenanted},
    error::Result,
    opportunities::{
        entity::{Column as OpportunityColumn, Entity as Opportunities, Model as Opportunity},
        stage::{OpportunityStage, OpportunityStatus},
    },
    values::{Tenant, integer_enum::IntegerEnum},
};

/// The opportunities of a transaction: so few that nobody who waits for one of them waits for long.
const ROWS: u64 = 20;
/// How many entries of the trail are looked at for an opportunity, the latest ones.
const ENTRIES: u64 = 1_000;
/// How far the time of an entry may be from that of the change that it is about: both are of one transaction.
const APART: TimeDelta = TimeDelta::seconds(10);

/// How far a pass through what is left is: past this opportunity, and past this stay.
#[derive(Debug, Default)]
pub struct Pass {
    unfilled: Option<(String, Uuid)>,
    unattributed: Option<(String, Uuid, DateTime<Utc>)>,
}

/// Fills in the next rows; how many. None is left for now where the pass is at its end.
///
/// # Errors
/// A fault of the database: then nothing is changed.
pub async fn step(database: &Database, pass: &mut Pass) -> Result<Option<u64>> {
    let filled = fill(database, pass).await?;
    let attributed = attribute(database, pass).await?;
    Ok(match (filled, attributed) {
        (None, None) => None,
        (filled, attributed) => Some(filled.unwrap_or_default() + attributed.unwrap_or_default()),
    })
}

async fn fill(database: &Database, pass: &mut Pass) -> Result<Option<u64>> {
    let (tenant, id) = (OpportunityColumn::TenantId, OpportunityColumn::OpportunityId);
    let rows = Opportunities::find().filter(OpportunityColumn::StageEnteredAt.is_null());
    let rows = rows.apply_if(pass.unfilled.clone(), |rows, (after_tenant, after_id)| {
        let behind = Expr::tuple([tenant.into_expr(), id.into_expr()]);
        rows.filter(behind.gt(Expr::tuple([Expr::val(after_tenant), Expr::val(after_id)])))
    });
    let rows = rows.order_by_asc(tenant).order_by_asc(id).limit(ROWS);
    let keys: Vec<(String, Uuid)> = rows.select_only().columns([tenant, id]).into_tuple().all(&database.read()).await?;
    pass.unfilled = keys.last().cloned();
    if keys.is_empty() {
        return Ok(None);
    }
    let filling = database.transact(move |transaction| {
        let keys = keys.clone();
        Box::pin(async move {
            let mut filled = 0;
            for (tenant, id) in keys {
                filled += u64::from(fill_one(transaction, &Tenant::stored(tenant), id).await?);
            }
            Ok(filled)
        })
    });
    filling.await.map(Some)
}

/// Fills in the history of an opportunity, unless somebody is changing it: then it is left for the next pass.
async fn fill_one(transaction: &Transaction, tenant: &Tenant, id: Uuid) -> Result<bool> {
    let row = Opportunities::stored_of(tenant)
        .filter(OpportunityColumn::OpportunityId.eq(id))
        .filter(OpportunityColumn::StageEnteredAt.is_null())
        // Follow-ups that come meanwhile wait for this, and are then noted by the triggers.
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
    let Some(row) = row.all(transaction).await?.pop() else { return Ok(false) };
    let stays = stays(&row, &moves(transaction, tenant, id, None).await?);
    let Some(entered_at) = stays.last().map(|stay| stay.entered_at) else { return Ok(false) };
    let stays = stays.into_iter().map(IntoActiveModel::into_active_model);
    Entity::insert_many(stays).exec_without_returning(transaction).await?;
    let is_open = row.status == OpportunityStatus::Open && row.deleted_at.is_none();
    let idle_since = match is_open {
        true => Some(
            newest_follow_up(transaction, &row).await?.map_or(entered_at, |newest| std::cmp::max(newest, entered_at)),
        ),
        false => None,
    };
    Opportunities::update_of(tenant)
        .col_expr(OpportunityColumn::StageEnteredAt, Expr::value(entered_at))
        .col_expr(OpportunityColumn::IdleSince, Expr::value(idle_since))
        .filter(OpportunityColumn::OpportunityId.eq(id))
        .exec(transaction)
        .await?;
    Ok(true)
}

/// When the opportunity got its newest follow-up. These are a room above this one; their table is not.
async fn newest_follow_up(transaction: &Transaction, row: &Opportunity) -> Result<Option<DateTime<Utc>>> {
    let sql = "SELECT created_at FROM follow_ups WHERE tenant_id = $1 AND opportunity_id = $2 \
               ORDER BY created_at DESC LIMIT 1";
    let values = [row.tenant_id.as_str().into(), row.opportunity_id.into()];
    let newest = Statement::from_sql_and_values(transaction.get_database_backend(), sql, values);
    Ok(transaction.query_one_raw(newest).await?.map(|row| row.try_get_by_index(0)).transpose()?)
}

/// A move that the trail knows of.
#[derive(Debug, Clone)]
struct Move {
    at: DateTime<Utc>,
    /// The stage before; none if the opportunity was created with this move.
    from: Option<OpportunityStage>,
    to: OpportunityStage,
    actor: String,
}

/// The moves of an opportunity that the trail knows of, the earliest first; only around this time, if one is given.
async fn moves(
    transaction: &Transaction,
    tenant: &Tenant,
    id: Uuid,
    around: Option<DateTime<Utc>>,
) -> Result<Vec<Move>> {
    let between = around.map(|around| (around - APART, around + APART));
    let mut moves = Vec::new();
    for entry in audit::about(transaction, tenant, id, between, ENTRIES).await? {
        let is_creation = entry.action == AuditAction::Create;
        if !is_creation && entry.action != AuditAction::Update {
            continue;
        }
        let Some(change) = entry.changes.into_iter().find(|change| change.field == "stage") else { continue };
        let (from, to) = (change.old.as_deref().and_then(named), change.new.as_deref().and_then(named));
        if let (Some(to), true) = (to, is_creation || from.is_some()) {
            moves.push(Move { at: entry.occurred_at, from, to, actor: entry.actor });
        }
    }
    Ok(moves)
}

/// The stage that the trail calls so.
fn named(name: &str) -> Option<OpportunityStage> {
    OpportunityStage::ALL.iter().copied().find(|stage| format!("{stage:?}") == name)
}

/// The stages that an opportunity was in, by the moves that are known. Where its beginning is not, the first stage is taken to
/// begin with the opportunity; where no move is, the present one with its last change, or with the opportunity, if there was none.
fn stays(row: &Opportunity, moves: &[Move]) -> Vec<Model> {
    let is_known = moves.last().is_some_and(|last| last.to == row.stage);
    let moves = if is_known { moves } else { &[] };
    let begin = |stage, entered_at, actor: Option<String>, is_estimated| Model {
        tenant_id: row.tenant_id.clone(),
        opportunity_id: row.opportunity_id,
        entered_at,
        stage,
        left_at: None,
        next_stage: None,
        actor,
        needs_actor: false,
        is_estimated,
    };
    let mut stays: Vec<Model> = match moves.first() {
        None => vec![begin(row.stage, row.updated_at, None, row.updated_at != row.created_at)],
        Some(Move { from: None, .. }) => Vec::new(),
        Some(Move { from: Some(from), .. }) => vec![begin(*from, row.created_at, None, true)],
    };
    for Move { at, from, to, actor } in moves {
        let at = if from.is_none() { row.created_at } else { *at };
        let entered_at = match stays.last_mut() {
            Some(before) => {
                let at = std::cmp::max(at, before.entered_at + TimeDelta::milliseconds(1));
                (before.left_at, before.next_stage) = (Some(at), Some(*to));
                at
            }
            None => at,
        };
        stays.push(begin(*to, entered_at, Some(actor.clone()), false));
    }
    stays
}

async fn attribute(database: &Database, pass: &mut Pass) -> Result<Option<u64>> {
    let key = [Column::TenantId, Column::OpportunityId, Column::EnteredAt];
    // As in the index of those that need it.
    let rows = Entity::find().filter(Expr::cust("needs_actor"));
    let rows = rows.apply_if(pass.unattributed.clone(), |rows, (tenant, id, at)| {
        let behind = Expr::tuple(key.map(|column| column.into_expr()));
        rows.filter(behind.gt(Expr::tuple([Expr::val(tenant), Expr::val(id), Expr::val(at)])))
    });
    let rows = key.into_iter().fold(rows, QueryOrder::order_by_asc).limit(ROWS).all(&database.read()).await?;
    pass.unattributed = rows.last().map(|row| (row.tenant_id.clone(), row.opportunity_id, row.entered_at));
    if rows.is_empty() {
        return Ok(None);
    }
    let count = rows.len() as u64;
    let attributing = database.transact(move |transaction| {
        let rows = rows.clone();
        Box::pin(async move {
            for row in rows {
                attribute_one(transaction, &row).await?;
            }
            Ok(())
        })
    });
    attributing.await.map(|()| Some(count))
}

/// Says who made a move, or that the trail does not know.
async fn attribute_one(transaction: &Transaction, row: &Model) -> Result<()> {
    let tenant = Tenant::stored(row.tenant_id.clone());
    let moves = moves(transaction, &tenant, row.opportunity_id, Some(row.entered_at)).await?;
    let there = moves.into_iter().filter(|one| one.to == row.stage);
    let nearest = there.min_by_key(|one| (one.at - row.entered_at).abs());
    Entity::update_of(&tenant)
        .col_expr(Column::Actor, Expr::value(nearest.map(|one| one.actor)))
        .col_expr(Column::NeedsActor, Expr::value(false))
        .filter(Column::OpportunityId.eq(row.opportunity_id))
        .filter(Column::EnteredAt.eq(row.entered_at))
        .exec(transaction)
        .await?;
    Ok(())
}
