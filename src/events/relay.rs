//! The relay: publishes what is committed, at least once, and each resource's events in order.
//!
//! It reads the outbox by position, as any reader of the feed, and keeps how far it came in the database. Several
//! processes may run it; a lease ([`LEASE`]) lets one of them work at a time, so that events are not sent twice. Order does
//! not hang on the lease: an event is only sent once the one before it in its resource was confirmed.
//!
//! - **Confirmed before marked.** Where the relay or the broker dies in between, the event is sent again, with the same id.
//! - **Refused** by the broker (unroutable, too large): the event is held and tried again, [`TRIES`] times with growing
//!   pauses, then set aside until `crm outbox retry`. Events of the same resource wait behind it, all others go on.
//! - **Down.** Where the broker cannot be reached nothing counts against an event: the breaker opens, and after a growing
//!   pause the broker is tried again, first with a single event.

use std::{collections::HashSet, sync::Arc, time::Duration};

use sea_orm::{ConnectionTrait, DbBackend, FromQueryResult, QueryResult, Statement, Value};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    broker::{Broker, Down, Message, Outcome, Publisher},
    entity::Model,
    types::Event,
};
use crate::{
    app::App,
    background::Stop,
    database::Transaction,
    error::{ApiError, Result},
    telemetry::trace::Trace,
};

/// For how long a relay that has not been heard of keeps the others from working.
const LEASE: Duration = Duration::from_secs(2);
/// How often the lease is renewed while the broker takes its time.
const RENEW: Duration = Duration::from_millis(500);
/// The most events on their way at once.
const WINDOW: u64 = 500;
/// How often an event is sent before it is set aside.
pub const TRIES: i32 = 8;
/// The first and the longest pause before a refused event is sent again.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The first and the longest pause before a broker that is down is tried again.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long what another process did, and what falls due, may go unseen.
const POLL: Duration = Duration::from_millis(250);
/// How long the end of the service waits for what is on its way.
const GRACE: Duration = Duration::from_secs(3);

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There is nothing to do.
    Idle,
    /// So many events were confirmed; there may be more.
    Sent(usize),
    /// Another process is at work.
    Elsewhere,
    /// The broker is down; there is no use in trying before this instant.
    Down(Instant),
}

/// How far the relay came, for operators.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The last position that was given out.
    pub head: i64,
    /// Up to here everything is published or held.
    pub position: i64,
    /// Events that are held.
    pub held: i64,
    /// Events that are set aside.
    pub aside: i64,
    /// Events that fall due for another try.
    due: i64,
}

/// An event that is set aside, for operators.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Aside {
    /// Its id.
    pub event_id: Uuid,
    /// Its type.
    pub event_type: String,
    /// The tenant it belongs to.
    pub tenant_id: String,
    /// The resource it tells of.
    pub aggregate_id: Uuid,
    /// Why the broker refused it last.
    pub reason: Option<String>,
}

/// A relay at work.
pub struct Relay {
    app: App,
    broker: Arc<dyn Broker>,
    owner: Uuid,
    publisher: Option<Box<dyn Publisher>>,
    /// At most so many are on their way: few after a failure, to find out what caused it.
    window: u64,
    /// Failures since the broker last answered.
    failures: u32,
    /// When it may be tried again.
    again: Instant,
}

/// An event that may be sent.
struct Candidate {
    row: Model,
    /// How often it was refused, if it is held.
    held: Option<i32>,
    /// Whether one of the same resource is held before it.
    blocked: bool,
}

/// What became of an event, to be written down.
#[derive(Debug, Clone)]
enum Mark {
    /// It waits: refused so often, with the last reason; `due` where it is tried again.
    Hold { seq: i64, attempts: i32, due: Option<i64>, reason: Option<String> },
    /// It was held, and is confirmed.
    Free { seq: i64, tenant: String, aggregate: Uuid },
}

impl Relay {
    /// A relay to this broker.
    #[must_use]
    pub fn new(app: App, broker: Arc<dyn Broker>) -> Self {
        let owner = app.new_id();
        Self { app, broker, owner, publisher: None, window: 1, failures: 0, again: Instant::now() }
    }

    /// Sends what can be sent now, at most a window of it.
    ///
    /// # Errors
    /// A fault of the database. What was sent and not marked is sent again.
    pub async fn step(&mut self) -> Result<Step> {
        let standing = standing(&self.app).await?;
        self.show(&standing);
        if standing.position >= standing.head && standing.due == 0 {
            return Ok(Step::Idle);
        }
        if self.failures > 0 && Instant::now() < self.again {
            return Ok(Step::Down(self.again));
        }
        let mut publisher = match self.publisher.take() {
            Some(publisher) => publisher,
            None => match self.broker.publisher().await {
                Ok(publisher) => publisher,
                Err(Down(reason)) => return Ok(self.failed(&reason)),
            },
        };
        let Some(position) = self.take_lease().await? else {
            self.publisher = Some(publisher);
            return Ok(Step::Elsewhere);
        };
        let (wave, position) = self.wave(position, standing.head).await?;
        let (sent, messages, mut of_row) = messages(&wave);
        let outcomes = self.publish(&mut *publisher, &messages).await?;
        let unanswered = outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Unanswered(reason) => Some(reason.clone()),
            Outcome::Confirmed | Outcome::Refused(_) => None,
        });
        let confirmed = outcomes.iter().filter(|outcome| **outcome == Outcome::Confirmed).count();
        let refused = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Refused(_))).count();
        for (index, outcome) in sent.into_iter().zip(outcomes) {
            if let Some(place) = of_row.get_mut(index) {
                *place = Some(outcome);
            }
        }
        self.mark(position, &wave, &of_row).await?;
        self.app.metrics().published.inc_by(confirmed as u64);
        self.app.metrics().refused.inc_by(refused as u64);
        match unanswered {
            Some(reason) => {
                let _tried_again_later = self.failed(&reason);
                Ok(Step::Sent(confirmed))
            }
            None => {
                self.works(publisher);
                Ok(Step::Sent(confirmed))
            }
        }
    }

    /// Lets the others work at once.
    ///
    /// # Errors
    /// A fault of the database: then they wait until the lease is over.
    pub async fn release(&self) -> Result<()> {
        let owner = self.owner;
        self.app
            .database()
            .transact(move |transaction| {
                Box::pin(async move {
                    let sql = "UPDATE outbox_relay SET until = 0 WHERE id = 1 AND owner = $1";
                    execute(transaction, sql, [owner.into()]).await.map(drop)
                })
            })
            .await
    }

    fn show(&self, standing: &Standing) {
        let metrics = self.app.metrics();
        metrics.waiting.set(standing.head - standing.position);
        metrics.held.set(standing.held);
        metrics.aside.set(standing.aside);
    }

    fn works(&mut self, publisher: Box<dyn Publisher>) {
        if self.failures > 0 {
            tracing::info!("the broker works again");
        }
        self.publisher = Some(publisher);
        self.failures = 0;
        self.window = (self.window * 2).min(WINDOW);
        self.app.metrics().breaker_open.set(0);
    }

    fn failed(&mut self, reason: &str) -> Step {
        if self.failures == 0 {
            tracing::warn!(reason, "the broker is down: events wait");
        }
        self.publisher = None;
        self.failures = self.failures.saturating_add(1);
        self.window = 1;
        self.again = Instant::now() + jittered(pause(RECONNECT, self.failures));
        self.app.metrics().failures.inc();
        self.app.metrics().breaker_open.set(1);
        Step::Down(self.again)
    }

    /// The position to go on from, if it is this relay's turn.
    async fn take_lease(&self) -> Result<Option<i64>> {
        let owner = self.owner;
        self.app
            .database()
            .transact(move |transaction| {
                Box::pin(async move {
                    let clock = clock(transaction.get_database_backend());
                    let sql = format!(
                        "UPDATE outbox_relay SET owner = $1, until = {clock} + {} \
                         WHERE id = 1 AND (owner = $1 OR until < {clock})",
                        LEASE.as_millis()
                    );
                    if execute(transaction, &sql, [owner.into()]).await? == 0 {
                        return Ok(None);
                    }
                    let sql = "SELECT position FROM outbox_relay WHERE id = 1";
                    let row = transaction.query_one_raw(statement(transaction, sql, [])).await?;
                    Ok(row.map(|row| row.try_get_by_index(0)).transpose()?)
                })
            })
            .await
    }

    /// What can be sent at once: held events that are due, then those behind `position`, up to the first of a resource that
    /// has one on its way already. With the position to go on from: up to `head` where nothing is left before it, because
    /// the retention took it while there was no broker.
    async fn wave(&self, position: i64, head: i64) -> Result<(Vec<Candidate>, i64)> {
        let db = self.app.database().read();
        let window = self.window;
        let held = format!(
            "SELECT o.*, h.attempts FROM outbox_held h JOIN outbox o ON o.seq = h.seq \
             WHERE h.due <= $1 ORDER BY h.position LIMIT {window}"
        );
        let held = db.query_all_raw(statement(db, &held, [self.now_millis().into()])).await?;
        let mut wave = held.iter().map(Candidate::held).collect::<Result<Vec<_>>>()?;
        // One alone after a failure: see [`Publisher::publish`].
        if window == 1 && !wave.is_empty() {
            return Ok((wave, position));
        }
        let next = format!(
            "SELECT o.*, EXISTS (SELECT 1 FROM outbox_held h \
             WHERE h.tenant_id = o.tenant_id AND h.aggregate_id = o.aggregate_id) AS blocked \
             FROM outbox o WHERE o.position > $1 ORDER BY o.position LIMIT {window}"
        );
        let next = db.query_all_raw(statement(db, &next, [position.into()])).await?;
        let mut on_their_way = HashSet::new();
        for row in &next {
            let candidate = Candidate::next(row)?;
            if !candidate.blocked && !on_their_way.insert((candidate.row.tenant_id.clone(), candidate.row.aggregate_id))
            {
                break;
            }
            wave.push(candidate);
        }
        Ok((wave, if next.is_empty() { position.max(head) } else { position }))
    }

    /// Publishes, and keeps the lease meanwhile.
    async fn publish(&self, publisher: &mut dyn Publisher, messages: &[Message]) -> Result<Vec<Outcome>> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let mut outcomes = publisher.publish(messages);
        loop {
            match tokio::time::timeout(RENEW, &mut outcomes).await {
                Ok(outcomes) => return Ok(outcomes),
                Err(_) => self.take_lease().await?.ok_or_else(lost)?,
            };
        }
    }

    /// Writes down what became of a wave, if the lease is still this relay's.
    async fn mark(&self, position: i64, wave: &[Candidate], outcomes: &[Option<Outcome>]) -> Result<()> {
        // Behind the last answer everything is as if it had not been sent; before it, what is not confirmed is held.
        let is_new = |candidate: &Candidate| candidate.held.is_none();
        let open = |outcome: &Option<Outcome>| matches!(outcome, Some(Outcome::Unanswered(_)));
        let all_answered = !outcomes.iter().any(open);
        let answered = wave.iter().zip(outcomes).rposition(|(candidate, outcome)| {
            is_new(candidate) && (all_answered || (outcome.is_some() && !open(outcome)))
        });
        let mut reached = position;
        let mut marks = Vec::new();
        for (index, (candidate, outcome)) in wave.iter().zip(outcomes).enumerate() {
            if is_new(candidate) && answered.is_none_or(|last| index > last) {
                continue;
            }
            if is_new(candidate) {
                reached = candidate.row.position.unwrap_or(reached);
            }
            marks.extend(self.verdict(candidate, outcome.as_ref()));
        }
        let owner = self.owner;
        let held = self
            .app
            .database()
            .transact(move |transaction| {
                let marks = marks.clone();
                Box::pin(async move { write(transaction, owner, reached, marks).await })
            })
            .await?;
        if held { Ok(()) } else { Err(lost()) }
    }

    fn verdict(&self, candidate: &Candidate, outcome: Option<&Outcome>) -> Option<Mark> {
        let Model { seq, tenant_id, aggregate_id, event_id, event_type, .. } = &candidate.row;
        let attempts = candidate.held.unwrap_or_default();
        match (outcome, candidate.held) {
            (Some(Outcome::Confirmed), None) | (Some(Outcome::Unanswered(_)), Some(_)) => None,
            (Some(Outcome::Confirmed), Some(_)) => {
                Some(Mark::Free { seq: *seq, tenant: tenant_id.clone(), aggregate: *aggregate_id })
            }
            (Some(Outcome::Unanswered(_)), None) => {
                Some(Mark::Hold { seq: *seq, attempts, due: Some(self.now_millis()), reason: None })
            }
            (None, _) => Some(Mark::Hold { seq: *seq, attempts, due: None, reason: None }),
            (Some(Outcome::Refused(reason)), _) => {
                let attempts = attempts + 1;
                tracing::warn!(tenant_id, %event_id, event_type, attempts, reason, "the broker refused an event");
                let wait = pause(RETRY, attempts.unsigned_abs());
                let due = self.now_millis() + i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
                let due = (attempts < TRIES).then_some(due);
                Some(Mark::Hold { seq: *seq, attempts, due, reason: Some(reason.clone()) })
            }
        }
    }

    fn now_millis(&self) -> i64 {
        self.app.now().0.timestamp_millis()
    }
}

impl Candidate {
    fn held(row: &QueryResult) -> Result<Self> {
        let attempts = row.try_get("", "attempts")?;
        Ok(Self { row: Model::from_query_result(row, "")?, held: Some(attempts), blocked: false })
    }

    fn next(row: &QueryResult) -> Result<Self> {
        let blocked = row.try_get("", "blocked")?;
        Ok(Self { row: Model::from_query_result(row, "")?, held: None, blocked })
    }
}

/// The messages of a wave, each with its place in it: of those that do not wait behind another. With the outcomes that are
/// known already: an event that somebody damaged in the database is refused here.
fn messages(wave: &[Candidate]) -> (Vec<usize>, Vec<Message>, Vec<Option<Outcome>>) {
    let (mut places, mut messages, mut outcomes) = (Vec::new(), Vec::new(), Vec::new());
    for (place, candidate) in wave.iter().enumerate() {
        let message = (!candidate.blocked).then(|| message(candidate.row.clone()));
        outcomes.push(match message {
            Some(Ok(message)) => {
                places.push(place);
                messages.push(message);
                None
            }
            Some(Err(error)) => Some(Outcome::Refused(error.cause().unwrap_or_default().to_owned())),
            None => None,
        });
    }
    (places, messages, outcomes)
}

fn message(row: Model) -> Result<Message> {
    let (id, event_type, at) = (row.event_id, row.event_type.clone(), row.occurred_at);
    let (tenant, aggregate) = (row.tenant_id.clone(), row.aggregate_id);
    let traceparent = Trace::parent_of(&row.trace_id, id);
    let payload = serde_json::to_vec(&Event::shown(row)?).map_err(ApiError::internal)?;
    Ok(Message { id, event_type, tenant, aggregate, at, traceparent, payload })
}

fn lost() -> ApiError {
    ApiError::unavailable("another relay took over")
}

/// Writes marks, if the lease is the owner's; says whether it was.
async fn write(transaction: &Transaction, owner: Uuid, position: i64, marks: Vec<Mark>) -> Result<bool> {
    let clock = clock(transaction.get_database_backend());
    let sql = format!(
        "UPDATE outbox_relay SET position = $1, until = {clock} + {} WHERE id = 1 AND owner = $2",
        LEASE.as_millis()
    );
    if execute(transaction, &sql, [position.into(), owner.into()]).await? == 0 {
        return Ok(false);
    }
    let mut freed = Vec::new();
    for mark in marks {
        match mark {
            Mark::Hold { seq, attempts, due, reason } => {
                let sql = "INSERT INTO outbox_held (seq, position, tenant_id, aggregate_id, attempts, due, aside, reason) \
                           SELECT seq, position, tenant_id, aggregate_id, $2, $3, $4, $5 FROM outbox WHERE seq = $1 \
                           ON CONFLICT (seq) DO UPDATE SET attempts = excluded.attempts, due = excluded.due, \
                           aside = excluded.aside, reason = excluded.reason";
                let values = [seq.into(), attempts.into(), due.into(), (attempts >= TRIES).into(), reason.into()];
                execute(transaction, sql, values).await?;
            }
            Mark::Free { seq, tenant, aggregate } => {
                execute(transaction, "DELETE FROM outbox_held WHERE seq = $1", [seq.into()]).await?;
                freed.push((tenant, aggregate));
            }
        }
    }
    for (tenant, aggregate) in freed {
        let sql = "UPDATE outbox_held SET due = 0 WHERE seq = (SELECT seq FROM outbox_held \
                   WHERE tenant_id = $1 AND aggregate_id = $2 ORDER BY position LIMIT 1)";
        execute(transaction, sql, [tenant.into(), aggregate.into()]).await?;
    }
    Ok(true)
}

/// How far the relay came.
///
/// # Errors
/// A fault of the database.
pub async fn standing(app: &App) -> Result<Standing> {
    let db = app.database().read();
    let sql = "SELECT h.position, r.position, (SELECT count(*) FROM outbox_held), \
               (SELECT count(*) FROM outbox_held WHERE aside), (SELECT count(*) FROM outbox_held WHERE due <= $1) \
               FROM outbox_head h, outbox_relay r WHERE h.id = 1 AND r.id = 1";
    let now = app.now().0.timestamp_millis();
    let Some(row) = db.query_one_raw(statement(db, sql, [now.into()])).await? else { return Ok(Standing::default()) };
    Ok(Standing {
        head: row.try_get_by_index(0)?,
        position: row.try_get_by_index(1)?,
        held: row.try_get_by_index(2)?,
        aside: row.try_get_by_index(3)?,
        due: row.try_get_by_index(4)?,
    })
}

/// The events that are set aside, oldest first, at most so many.
///
/// # Errors
/// A fault of the database.
pub async fn aside(app: &App, limit: u64) -> Result<Vec<Aside>> {
    let db = app.database().read();
    let sql = format!(
        "SELECT o.event_id, o.event_type, o.tenant_id, o.aggregate_id, h.reason \
         FROM outbox_held h JOIN outbox o ON o.seq = h.seq WHERE h.aside ORDER BY h.position LIMIT {limit}"
    );
    let rows = db.query_all_raw(statement(db, &sql, [])).await?;
    rows.iter().map(|row| Ok(Aside::from_query_result(row, "")?)).collect()
}

/// Lets the events that are set aside be sent again, all or one; gives how many there were.
///
/// # Errors
/// A fault of the database.
pub async fn retry(app: &App, event: Option<Uuid>) -> Result<u64> {
    app.database()
        .transact(move |transaction| {
            Box::pin(async move {
                let retry = "UPDATE outbox_held SET attempts = 0, due = 0, aside = false WHERE aside";
                match event {
                    None => execute(transaction, retry, []).await,
                    Some(id) => {
                        let sql = format!("{retry} AND seq IN (SELECT seq FROM outbox WHERE event_id = $1)");
                        execute(transaction, &sql, [id.into()]).await
                    }
                }
            })
        })
        .await
}

impl App {
    /// Publishes events as soon as they have positions, until `stop`.
    pub async fn keep_publishing(&self, broker: Arc<dyn Broker>, mut stop: Stop) {
        let mut relay = Relay::new(self.clone(), broker);
        let mut ordered = self.outbox().ordered();
        let mut works = true;
        loop {
            ordered.mark_unchanged();
            let outcome = {
                let step = relay.step();
                tokio::pin!(step);
                tokio::select! {
                    outcome = &mut step => Some(outcome),
                    () = stop.asked() => {
                        // What is on its way may still be confirmed, and is not sent again then.
                        let _confirmed_or_sent_again = tokio::time::timeout(GRACE, step).await;
                        None
                    }
                }
            };
            let Some(outcome) = outcome else { break };
            if let (true, Err(error)) = (works, &outcome) {
                tracing::error!(cause = error.cause().unwrap_or_default(), "events cannot be published");
            }
            works = outcome.is_ok();
            let pause = match outcome {
                Ok(Step::Sent(_)) => continue,
                Ok(Step::Down(again)) => again.saturating_duration_since(Instant::now()),
                Ok(Step::Idle | Step::Elsewhere) | Err(_) => POLL,
            };
            let down = matches!(outcome, Ok(Step::Down(_)));
            tokio::select! {
                () = stop.asked() => break,
                () = tokio::time::sleep(pause) => {}
                _ = ordered.changed(), if !down => {}
            }
        }
        if let Err(error) = relay.release().await {
            tracing::warn!(cause = error.cause().unwrap_or_default(), "the relay's lease cannot be given back");
        }
    }
}

/// The pause after so many failures in a row: doubled each time.
fn pause((first, longest): (Duration, Duration), failures: u32) -> Duration {
    first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(longest)
}

/// Between half of a pause and all of it, so that many do not come back at the same instant.
fn jittered(pause: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or_default();
    pause / 2 + (pause / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// The database's own clock, in milliseconds since 1970: that of each process may be off.
fn clock(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
        _ => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
    }
}

fn statement(db: &impl ConnectionTrait, sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
    Statement::from_sql_and_values(db.get_database_backend(), sql, values)
}

async fn execute(db: &Transaction, sql: &str, values: impl IntoIterator<Item = Value>) -> Result<u64> {
    Ok(db.execute_raw(statement(db, sql, values)).await?.rows_affected())
}
