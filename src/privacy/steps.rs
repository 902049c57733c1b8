//! An erasure after it was accepted: steps in transactions of their own, so small that others hardly notice. What is left to
//! do follows from the rows, and for events from the erasure's own row, so a step that is cut off is simply taken again.

#![expect(clippy::disallowed_methods, reason = "an erasure is no resource, and its steps are of all tenants")]

use std::time::Duration;

use futures_util::FutureExt;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    sea_query::{Expr, ExprTrait, LockBehavior, LockType},
};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use uuid::Uuid;

use super::{
    entity::{self, Column, Model},
    stored_events::{Window, erase_events},
    types::Erasure,
};
use crate::{
    audit::{AuditAction, AuditedAction, field_change::FieldChange},
    change::{Change, Changes, Intent},
    contacts, customers,
    database::tenancy::Tenanted,
    error::Result,
    events::erasure as events,
    follow_ups,
    http::tag::Tag,
    resource::Kind,
};

/// What the audit trail calls an erasure.
pub const ERASURES: Kind = Kind {
    name: "erasure",
    collection: "erasures",
    tag: Tag {
        name: "Privacy",
        description: "What a person may ask for: that their data is erased, and a copy of it.",
    },
};

/// Maximum number of erasures that are read at once.
pub const PENDING: u64 = 20;
/// Maximum number of rows per step.
const ROWS: u64 = 50;
/// How long a request waits for its erasure to be complete.
const AT_ONCE: Duration = Duration::from_secs(2);
/// The pause before a step that could not be taken is tried again, or before the log is emptied again that readers were in
/// the way of: at first, and after further attempts, each of which makes writers wait.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// An erasure that is under way.
#[derive(Debug, Clone)]
pub struct PendingErasure(Model);

/// Emptying the database's log once for all erasures that wait for that, and ever less often while readers are in the way.
#[derive(Debug, Default)]
pub struct LogEmptying {
    /// The pause after the last attempt, that was in vain, and its end.
    failed: Option<(Duration, Instant)>,
    is_done: bool,
}

impl LogEmptying {
    /// What was erased until now may not be out of the log yet. To be called before erasures are read that may be complete.
    fn begin(&mut self) {
        self.is_done = false;
    }

    async fn ensure(&mut self, changes: &Changes) -> Result<bool> {
        let now = Instant::now();
        if !self.is_done && self.failed.is_none_or(|(_, until)| until <= now) {
            self.is_done = changes.database.empty_log().await?;
            let pause = self.failed.map_or(PAUSE, |(pause, _)| longer(pause));
            self.failed = if self.is_done { None } else { Some((pause, Instant::now() + pause)) };
        }
        Ok(self.is_done)
    }
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).min(LONGEST_PAUSE)
}

/// What a step of an erasure did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErasureStep {
    /// It erased something, or found nothing where it looked; there may be more.
    Erased,
    /// Nothing is left to erase, but readers are in the way of emptying the database's log.
    Waiting,
    /// It did nothing: another process is at it, or has just completed it.
    Elsewhere,
    /// The erasure is complete.
    Done,
}

/// The erasures that are under way, of all tenants, oldest first and at most [`PENDING`]; `after` one of them, those that
/// follow.
///
/// # Errors
/// A database error.
pub async fn pending(
    changes: &Changes,
    after: Option<&PendingErasure>,
    log: &mut LogEmptying,
) -> Result<Vec<PendingErasure>> {
    log.begin();
    let order = [Column::RequestedAt, Column::ErasureId];
    let later = after.map(|PendingErasure(after)| {
        let key = Expr::tuple(order.map(|column| column.into_expr()));
        key.gt(Expr::tuple([Expr::val(after.requested_at), Expr::val(after.erasure_id)]))
    });
    let rows = entity::Entity::find().filter(Column::CompletedAt.is_null()).apply_if(later, QueryFilter::filter);
    let rows = order.into_iter().fold(rows, QueryOrder::order_by_asc);
    Ok(rows.limit(PENDING).all(&changes.database.read()).await?.into_iter().map(PendingErasure).collect())
}

/// Takes the next step of an erasure.
///
/// # Errors
/// A database error: then the step is not taken.
pub async fn run(
    changes: &Changes,
    PendingErasure(erasure): &PendingErasure,
    log: &mut LogEmptying,
) -> Result<ErasureStep> {
    step(changes, erasure, log).await.map(|(step, _)| step)
}

/// Goes on with an erasure for a moment, mostly until it is complete; whatever comes in the way, the erasure is accepted, and
/// goes on in the background.
pub(super) async fn for_a_moment(changes: &Changes, erasure: Model) -> Model {
    let (end, mut row, mut pause) = (Instant::now() + AT_ONCE, erasure, PAUSE);
    while row.completed_at.is_none() && Instant::now() < end {
        // One that takes longer goes on to its end, or is taken again in the background.
        let Ok(taken) = timeout_at(end, step(changes, &row, &mut LogEmptying::default())).await else { break };
        match taken {
            Ok((ErasureStep::Erased | ErasureStep::Done, latest)) => row = latest,
            Ok((ErasureStep::Waiting | ErasureStep::Elsewhere, latest)) => {
                row = latest;
                sleep_until(end.min(Instant::now() + pause)).await;
                pause = longer(pause);
            }
            Err(error) => {
                tracing::warn!(cause = error.cause(), "an erasure is not complete yet: it goes on in the background");
                break;
            }
        }
    }
    row
}

/// Goes on with an erasure until it is complete.
///
/// # Errors
/// A database error.
pub(super) async fn complete(changes: &Changes, mut row: Model, progress: &dyn Fn(&Erasure)) -> Result<Erasure> {
    let mut pause = PAUSE;
    while row.completed_at.is_none() {
        let (step, latest) = step(changes, &row, &mut LogEmptying::default()).await?;
        row = latest;
        progress(&Erasure::from_row(row.clone()));
        if step == ErasureStep::Erased {
            pause = PAUSE;
        } else {
            sleep(pause).await;
            pause = longer(pause);
        }
    }
    Ok(Erasure::from_row(row))
}

/// Takes the next step, and gives what the erasure's row is then.
async fn step(changes: &Changes, erasure: &Model, log: &mut LogEmptying) -> Result<(ErasureStep, Model)> {
    let actor = erasure.actor();
    let db = changes.database.read_for(&actor.tenant);
    let stored = entity::Entity::of(&actor.tenant).filter(Column::ErasureId.eq(erasure.erasure_id));
    let Some(row) = stored.all(&db).await?.pop() else { return Ok((ErasureStep::Done, done(erasure))) };
    let window = match row.events_until {
        _ if row.completed_at.is_some() => return Ok((ErasureStep::Done, row)),
        None => None,
        Some(until) if row.events_done < until => Some(Window::find(&db, &actor.tenant, &row, until).await?),
        // Its last step may have been taken elsewhere after the log was emptied for the others.
        Some(until) if erasure.events_until != Some(until) || erasure.events_done < until => {
            return Ok((ErasureStep::Erased, row));
        }
        Some(_) if !log.ensure(changes).await? => return Ok((ErasureStep::Waiting, row)),
        Some(_) => None,
    };
    let id = row.erasure_id;
    let intent = Intent::on_behalf_of(actor, ERASURES, id);
    let taken = changes.apply(intent, move |change| {
        let window = window.clone();
        async move { take(change, id, window).await }.boxed()
    });
    Ok(taken.await?.unwrap_or((ErasureStep::Elsewhere, row)))
}

/// Of an erasure that went with its tenant.
fn done(erasure: &Model) -> Model {
    Model { completed_at: Some(erasure.requested_at), ..erasure.clone() }
}

/// One step, in its transaction; none if another process has the erasure.
async fn take(change: &mut Change<'_>, id: Uuid, window: Option<Window>) -> Result<Option<(ErasureStep, Model)>> {
    let stored = entity::Entity::of(change.tenant()).filter(Column::ErasureId.eq(id));
    let stored = stored.filter(Column::CompletedAt.is_null());
    let stored = stored.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
    let Some(mut row) = stored.all(change.db()).await?.pop() else { return Ok(None) };
    let before = row.clone();
    let mut step = ErasureStep::Erased;
    match (row.events_until, window) {
        (None, _) => erase_rows(change, &mut row).await?,
        (Some(until), _) if row.events_done >= until => {
            row.completed_at = Some(change.now().0);
            step = ErasureStep::Done;
            note_completion(change, &row)?;
        }
        (Some(_), Some(window)) if window.after == row.events_done => {
            row.events += erase_events(change, &row, &window).await?;
            row.events_done = window.up_to;
        }
        // Another process was here in the meantime.
        (Some(_), _) => return Ok(None),
    }
    save(change, &before, &row).await?;
    Ok(Some((step, row)))
}

/// Erases some rows; where none are left, the events up to now are next: whoever wrote one about these rows has committed it,
/// because their rows had to be locked.
async fn erase_rows(change: &mut Change<'_>, row: &mut Model) -> Result<()> {
    let count = |ids: Vec<Uuid>| i64::try_from(ids.len()).unwrap_or_default();
    change.lock_stored::<customers::Entity>(row.customer_id).await?;
    let contacts = count(change.erase_of_customer::<contacts::Entity>(row.customer_id, ROWS).await?);
    row.contacts += contacts;
    let mut erased = contacts;
    if erased == 0 && row.with_follow_ups {
        let follow_ups = count(change.erase_of_customer::<follow_ups::Entity>(row.customer_id, ROWS).await?);
        row.follow_ups += follow_ups;
        erased = follow_ups;
    }
    if erased == 0 {
        row.events_until = Some(events::last(change.db()).await?);
    }
    Ok(())
}

/// Says in the trail what was erased.
fn note_completion(change: &mut Change<'_>, row: &Model) -> Result<()> {
    let Model { customers, contacts, follow_ups, events, .. } = row;
    let counts = [("customers", customers), ("contacts", contacts), ("followUps", follow_ups), ("events", events)];
    let count = |(name, new): (&str, &i64)| FieldChange {
        field: format!("counts.{name}"),
        old: None,
        new: Some(new.to_string()),
    };
    change.note(AuditedAction {
        action: AuditAction::Update,
        kind: Some(ERASURES),
        id: Some(row.erasure_id),
        changes: counts.map(count).into(),
        summary: format!(
            "erased the personal data of customer {}: in {contacts} contacts, {follow_ups} follow-ups and {events} events",
            row.customer_id
        ),
    })
}

/// Notes that no stored event up to this one holds personal data, so that these need not be looked at again.
///
/// # Errors
/// A database error.
pub(super) async fn remember_clean(change: &Change<'_>, complete: &Model, up_to: i64) -> Result<Model> {
    let row = Model { events_done: up_to, events_until: Some(up_to), ..complete.clone() };
    save(change, complete, &row).await?;
    Ok(row)
}

async fn save(change: &Change<'_>, before: &Model, row: &Model) -> Result<()> {
    let mut changed = before.clone().into_active_model();
    changed.set_if_not_equals(Column::Contacts, row.contacts.into());
    changed.set_if_not_equals(Column::FollowUps, row.follow_ups.into());
    changed.set_if_not_equals(Column::Events, row.events.into());
    changed.set_if_not_equals(Column::EventsDone, row.events_done.into());
    changed.set_if_not_equals(Column::EventsUntil, row.events_until.into());
    changed.set_if_not_equals(Column::CompletedAt, row.completed_at.into());
    if changed.is_changed() {
        let stored = entity::Entity::update_of(change.tenant()).set(changed);
        stored.filter(Column::ErasureId.eq(row.erasure_id)).exec(change.db()).await?;
    }
    Ok(())
}
