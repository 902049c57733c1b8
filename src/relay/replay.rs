//! Published events once more, for a consumer that comes later.
//!
//! It only reads the outbox and the relay's ledger, so it needs no lease and moves nothing: what is blocked, parked or not
//! published yet is left to the relay. As with the relay, an event is sent only once the one before it of the same resource
//! is confirmed.

use std::collections::HashSet;

use chrono::{DateTime, SecondsFormat, Utc};
use sea_orm::{ConnectionTrait, Value};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    backoff::RECONNECT,
    ledger::statement,
    status::{RelayStatus, status},
    stored_event::StoredEvent,
    worker::WINDOW,
};
use crate::{
    broker::{Broker, DeliveryOutcome, Down, Message, Publisher},
    database::Database,
    error::Result,
    values::Tenant,
};

/// How often in a row the broker may be away before a replay ends.
const MAX_FAILURES: u32 = 5;
/// Maximum number of events that a report names.
pub const NAMED: usize = 20;

/// Which of the published events are sent again.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The first of them.
    pub from: ReplayFrom,
    /// Only events of these types; empty for all types.
    pub types: Vec<String>,
    /// Only this tenant's events.
    pub tenant: Option<Tenant>,
}

/// Where a replay begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayFrom {
    /// With the event at this position.
    Position(i64),
    /// With what happened at this instant or later.
    Time(DateTime<Utc>),
}

/// A selection that can be carried out.
#[derive(Debug, Clone)]
pub struct ReplayPlan {
    selection: Selection,
    first: i64,
    last: i64,
    /// How many events it holds.
    pub count: u64,
}

/// What a replay did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayReport {
    /// How many events the broker has confirmed.
    pub sent: u64,
    /// How many of them no queue was bound to.
    pub unrouted: u64,
    /// How many were left out: they are damaged, refused by the broker, or behind a refused one of the same resource.
    pub left_out: u64,
    /// The position of the first of them that are damaged or refused, at most [`NAMED`], and why.
    pub named: Vec<(i64, String)>,
    /// Why it did not send all, if so.
    pub stopped: Option<ReplayStop>,
}

/// Why a replay did not send all, and from which position to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayStop {
    /// It was stopped.
    Interrupted(i64),
    /// The broker was away for too long, for this reason.
    Down(i64, String),
    /// So many events were deleted before it came to them: there is nothing to go on with.
    Deleted(u64),
}

/// Looks what a selection holds. The inner error says what is wrong with it.
///
/// # Errors
/// A fault of the database.
pub async fn plan(database: &Database, selection: Selection) -> Result<std::result::Result<ReplayPlan, String>> {
    let RelayStatus { head, position: last, .. } = status(database).await?;
    let purged = purged(database, selection.tenant.as_ref()).await?;
    let mut plan = ReplayPlan { selection, first: 1, last, count: 0 };
    match plan.selection.from {
        ReplayFrom::Position(from) if from > head => Ok(Err(format!("--from {from}: the last position is {head}"))),
        ReplayFrom::Position(from) if from > last => {
            Ok(Err(format!("--from {from}: events after position {last} are not published yet")))
        }
        ReplayFrom::Position(from) if from <= purged => Ok(Err(format!(
            "--from {from}: events up to position {purged} are no longer kept; the first that may be is {}",
            purged + 1
        ))),
        from => {
            if let ReplayFrom::Position(from) = from {
                plan.first = from;
            }
            if purged > 0
                && let Some(wrong) = plan.reaches_too_far(database, purged).await?
            {
                return Ok(Err(wrong));
            }
            plan.count = plan.count(database).await?;
            Ok(Ok(plan))
        }
    }
}

/// The last position that is no longer kept, of a tenant or of all.
async fn purged(database: &Database, tenant: Option<&Tenant>) -> Result<i64> {
    let db = database.read();
    let purged = match tenant {
        None => statement(&db, "SELECT max(position) FROM outbox_purged", []),
        Some(tenant) => {
            let sql = "SELECT max(position) FROM outbox_purged WHERE tenant_id = $1";
            statement(&db, sql, [tenant.as_str().into()])
        }
    };
    let row = db.query_one_raw(purged).await?;
    Ok(row.map(|row| row.try_get_by_index::<Option<i64>>(0)).transpose()?.flatten().unwrap_or_default())
}

impl ReplayPlan {
    /// The condition of an event to be part of it, at or after a position, and the values in it.
    fn condition(&self, from: i64) -> (String, Vec<Value>) {
        let mut sql = "o.position >= $1 AND o.position <= $2 \
                       AND NOT EXISTS (SELECT 1 FROM outbox_held h WHERE h.seq = o.seq)"
            .to_owned();
        let mut values: Vec<Value> = vec![from.into(), self.last.into()];
        let mut next = |value: Value| {
            values.push(value);
            format!("${}", values.len())
        };
        if let Some(tenant) = &self.selection.tenant {
            sql += &format!(" AND o.tenant_id = {}", next(tenant.as_str().into()));
        }
        if !self.selection.types.is_empty() {
            let types: Vec<_> = self.selection.types.iter().map(|name| next(name.as_str().into())).collect();
            sql += &format!(" AND o.event_type IN ({})", types.join(", "));
        }
        if let ReplayFrom::Time(since) = self.selection.from {
            sql += &format!(" AND o.occurred_at >= {}", next(since.into()));
        }
        (sql, values)
    }

    /// What is wrong with a time to begin at, where events were deleted up to a position. How far back the kept ones reach
    /// is told by those behind it: one before it was blocked while others were deleted that are younger.
    async fn reaches_too_far(&self, database: &Database, purged: i64) -> Result<Option<String>> {
        let ReplayFrom::Time(since) = self.selection.from else { return Ok(None) };
        // It does not depend on the types that are asked for.
        let kept = Selection { from: ReplayFrom::Position(purged + 1), types: Vec::new(), ..self.selection.clone() };
        let kept = Self { selection: kept, ..self.clone() }.page(database, purged + 1).await?;
        // A damaged event has no time: the next one tells.
        let oldest = kept.iter().find_map(|event| event.row.as_ref().ok()).map(|row| row.occurred_at);
        if oldest.is_some_and(|oldest| oldest <= since) {
            return Ok(None);
        }
        let oldest = oldest.map_or("none is kept now".to_owned(), |oldest| {
            format!("all are kept that are of {} or later", oldest.to_rfc3339_opts(SecondsFormat::Millis, true))
        });
        Ok(Some(format!("--since: events of that time may have been deleted; {oldest}")))
    }

    async fn count(&self, database: &Database) -> Result<u64> {
        let (condition, values) = self.condition(self.first);
        let db = database.read();
        let count = format!("SELECT count(*) FROM outbox o WHERE {condition}");
        let row = db.query_one_raw(statement(&db, &count, values)).await?;
        let count: i64 = row.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or_default();
        Ok(count.unsigned_abs())
    }

    async fn page(&self, database: &Database, from: i64) -> Result<Vec<StoredEvent>> {
        let (condition, values) = self.condition(from);
        let sql = format!("SELECT o.* FROM outbox o WHERE {condition} ORDER BY o.position LIMIT {WINDOW}");
        let db = database.read();
        let rows = db.query_all_raw(statement(&db, &sql, values)).await?;
        rows.iter().map(StoredEvent::read).collect()
    }
}

/// Sends what the plan holds, until all is answered or `stop` is cancelled. `progress` hears how many events were sent
/// or left out, and up to which position.
///
/// # Errors
/// A fault of the database: then the last position that `progress` heard tells where to go on.
pub async fn replay(
    database: &Database,
    broker: &dyn Broker,
    plan: &ReplayPlan,
    progress: &(dyn Fn(u64, i64) + Sync),
    stop: &CancellationToken,
) -> Result<ReplayReport> {
    let mut sender = Sender::new(broker, stop);
    let mut next = plan.first;
    let stopped = 'all: loop {
        let page = plan.page(database, next).await?;
        if page.is_empty() {
            let deleted = plan.count.saturating_sub(sender.sent + sender.left_out);
            break (deleted > 0).then_some(ReplayStop::Deleted(deleted));
        }
        for run in runs(page) {
            let reached = run.last().and_then(|event| event.position).unwrap_or(next);
            if let Err(stopped) = sender.send_run(run).await {
                break 'all Some(stopped);
            }
            next = reached + 1;
            progress(sender.sent + sender.left_out, reached);
        }
    };
    let Sender { sent, unrouted, left_out, named, .. } = sender;
    Ok(ReplayReport { sent, unrouted, left_out, named, stopped })
}

/// Cuts a page where a resource comes again, as far as that can be read: the events of a run may be under way together.
fn runs(page: Vec<StoredEvent>) -> Vec<Vec<StoredEvent>> {
    let mut runs = Vec::new();
    let (mut run, mut resources) = (Vec::new(), HashSet::new());
    for event in page {
        // One of an unknown resource may be of any: nothing is under way behind it.
        let behind_unknown = run.last().is_some_and(|last: &StoredEvent| last.resource.is_none());
        if behind_unknown || event.resource.as_ref().is_some_and(|resource| resources.contains(resource)) {
            runs.push(std::mem::take(&mut run));
            resources.clear();
        }
        resources.extend(event.resource.clone());
        run.push(event);
    }
    runs.push(run);
    runs
}

struct Sender<'r> {
    broker: &'r dyn Broker,
    stop: &'r CancellationToken,
    publisher: Option<Box<dyn Publisher>>,
    /// Maximum number of events under way: one after a failure, to find out which event caused it.
    window: usize,
    sent: u64,
    unrouted: u64,
    left_out: u64,
    named: Vec<(i64, String)>,
    /// The resources of which the broker refused an event: those behind it would come without it.
    refused: HashSet<(String, Uuid)>,
}

impl<'r> Sender<'r> {
    fn new(broker: &'r dyn Broker, stop: &'r CancellationToken) -> Self {
        let (named, refused) = (Vec::new(), HashSet::new());
        Self { broker, stop, publisher: None, window: 1, sent: 0, unrouted: 0, left_out: 0, named, refused }
    }

    fn leave_out(&mut self, position: i64, reason: String) {
        self.left_out += 1;
        if self.named.len() < NAMED {
            self.named.push((position, reason));
        }
    }

    /// Sends events of different resources, each until it is answered.
    async fn send_run(&mut self, run: Vec<StoredEvent>) -> std::result::Result<(), ReplayStop> {
        let (mut waiting, mut failures) = (Vec::new(), 0);
        for event in run {
            let position = event.position.unwrap_or_default();
            if event.resource.as_ref().is_some_and(|resource| self.refused.contains(resource)) {
                self.left_out += 1;
                continue;
            }
            match event.message() {
                Ok(message) => waiting.push((position, message)),
                Err(damage) => self.leave_out(position, damage),
            }
        }
        while let Some(position) = waiting.first().map(|(position, _)| *position) {
            if self.stop.is_cancelled() {
                return Err(ReplayStop::Interrupted(position));
            }
            let before = waiting.len();
            let trouble = self.try_send(&mut waiting).await.err();
            failures = if waiting.len() < before { 0 } else { failures + 1 };
            let Some(Down(reason)) = trouble else { continue };
            (self.publisher, self.window) = (None, 1);
            if failures >= MAX_FAILURES {
                return Err(ReplayStop::Down(position, reason));
            }
            tokio::select! {
                () = self.stop.cancelled() => return Err(ReplayStop::Interrupted(position)),
                () = tokio::time::sleep(RECONNECT.jittered_after(failures.max(1))) => {}
            }
        }
        Ok(())
    }

    /// Sends a window of the waiting events and takes out those that were answered.
    async fn try_send(&mut self, waiting: &mut Vec<(i64, Message)>) -> std::result::Result<(), Down> {
        let publisher = match &mut self.publisher {
            Some(publisher) => publisher,
            none => none.insert(self.broker.publisher().await?),
        };
        let messages: Vec<Message> = waiting.iter().take(self.window).map(|(_, message)| message.clone()).collect();
        let mut outcomes = publisher.publish(&messages).await;
        outcomes.resize(messages.len(), DeliveryOutcome::Unanswered("the broker gave no answer".to_owned()));
        let (mut outcomes, mut trouble) = (outcomes.into_iter(), Ok(()));
        waiting.retain(|(position, message)| match outcomes.next() {
            Some(DeliveryOutcome::Confirmed) => {
                self.sent += 1;
                false
            }
            Some(DeliveryOutcome::Unrouted) => {
                self.sent += 1;
                self.unrouted += 1;
                false
            }
            Some(DeliveryOutcome::Refused(reason)) => {
                self.refused.insert((message.tenant.clone(), message.aggregate));
                self.leave_out(*position, reason);
                false
            }
            Some(DeliveryOutcome::Unanswered(reason)) => {
                trouble = Err(Down(reason));
                true
            }
            None => true,
        });
        if trouble.is_ok() {
            self.window = (self.window * 2).min(usize::try_from(WINDOW).unwrap_or(usize::MAX));
        }
        trouble
    }
}
