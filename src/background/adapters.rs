//! What each task does in a step, and when it takes the next.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::supervisor::{OnStop, Task};
use crate::{
    app::App,
    audit::AuditQueue,
    broker::{Broker, Down, RetryPolicy},
    database::Database,
    error::{Error, Result},
    events::{EventSignal, outbox, signal::Positions},
    inbound::Inbound,
    relay::{Backoff, Relay, Step},
};

/// How long entries gather before they are written, to share a commit.
const GATHER: Duration = Duration::from_millis(50);
/// The pause before entries are written again that the database could not take.
const REWRITE: Duration = Duration::from_secs(1);
/// How long the work of another process may go unnoticed.
pub(super) const POLL: Duration = Duration::from_millis(250);
/// How long the end of the service waits for events that the broker may still confirm: they are not sent again then.
const CONFIRMATION: Duration = Duration::from_secs(3);
/// Before the platform's events are asked for again.
const RECONNECT: Backoff = Backoff { first: Duration::from_millis(500), longest: Duration::from_secs(20) };
/// A connection that lasted for longer than this had worked.
const STABLE: Duration = Duration::from_secs(30);

/// Does the same again and again.
pub(super) struct Every<W> {
    pub app: App,
    pub name: &'static str,
    pub pause: Duration,
    /// What the log says when it fails.
    pub failure: &'static str,
    pub work: W,
}

impl<W, F> Task for Every<W>
where
    W: Fn(App) -> F + Send + 'static,
    F: Future<Output = Result<()>> + Send,
{
    const ON_STOP: OnStop = OnStop::Finish;

    fn name(&self) -> &'static str {
        self.name
    }

    fn step(&mut self) -> impl Future<Output = Result<()>> + Send {
        (self.work)(self.app.clone())
    }

    async fn pause(&mut self) {
        sleep(self.pause).await;
    }

    fn report(&self, error: &Error) {
        tracing::error!(cause = error.cause().unwrap_or_default(), "{}", self.failure);
    }
}

/// Writes audit entries as they come.
pub(super) struct WriteAuditEntries {
    queue: Arc<AuditQueue>,
    database: Arc<Database>,
    works: bool,
}

impl WriteAuditEntries {
    pub fn new(app: &App) -> Self {
        Self { queue: Arc::clone(app.audit_queue()), database: Arc::clone(app.database()), works: true }
    }
}

impl Task for WriteAuditEntries {
    const ON_STOP: OnStop = OnStop::Finish;

    fn name(&self) -> &'static str {
        "write_audit_entries"
    }

    async fn step(&mut self) -> Result<()> {
        let written = self.queue.write(&self.database).await;
        self.works = written.is_ok();
        written
    }

    async fn pause(&mut self) {
        sleep(if self.works { GATHER } else { REWRITE }).await;
        self.queue.wait().await;
    }

    fn report(&self, error: &Error) {
        tracing::warn!(cause = error.cause().unwrap_or_default(), "audit entries cannot be written");
    }
}

/// Assigns positions to events as soon as they are committed.
pub(super) struct AssignPositions {
    database: Arc<Database>,
    signal: Arc<EventSignal>,
    commits: watch::Receiver<u64>,
    /// How long the last step took.
    took: Duration,
}

impl AssignPositions {
    pub fn new(app: &App) -> Self {
        let (database, signal) = (Arc::clone(app.database()), Arc::clone(app.events()));
        Self { database, commits: signal.subscribe_commits(), signal, took: Duration::ZERO }
    }
}

impl Task for AssignPositions {
    const ON_STOP: OnStop = OnStop::Finish;

    fn name(&self) -> &'static str {
        "assign_positions"
    }

    async fn step(&mut self) -> Result<()> {
        // Before looking: a commit after that ends the pause.
        self.commits.mark_unchanged();
        let began = Instant::now();
        let assigned = outbox::assign_positions_and_wake(&self.database, &self.signal).await;
        self.took = began.elapsed();
        assigned
    }

    async fn pause(&mut self) {
        // While changes come without end, most of the time is theirs, and more events share what a step costs.
        sleep((self.took * LEFT_TO_CHANGES).min(LONGEST_GATHERING)).await;
        let _woken_or_in_vain = timeout(POLL, self.commits.changed()).await;
    }

    fn report(&self, error: &Error) {
        tracing::error!(cause = error.cause().unwrap_or_default(), "events cannot be put in order");
    }
}

/// How many times as long as a step the pause after it is, and the longest one.
const LEFT_TO_CHANGES: u32 = 10;
const LONGEST_GATHERING: Duration = Duration::from_millis(20);

/// Publishes events as soon as they have positions.
pub(super) struct Publish {
    relay: Relay,
    positions: watch::Receiver<Positions>,
    last: Option<Step>,
}

impl Publish {
    pub fn new(app: &App, broker: Arc<dyn Broker>) -> Self {
        let (database, metrics) = (Arc::clone(app.database()), Arc::clone(app.metrics()));
        let relay = Relay::new(database, app.clock().clone(), metrics, broker, app.new_id()).traced_by(app.spans());
        Self { relay, positions: app.events().subscribe_positions(), last: None }
    }
}

impl Task for Publish {
    const ON_STOP: OnStop = OnStop::FinishWithin(CONFIRMATION);

    fn name(&self) -> &'static str {
        "publish_events"
    }

    async fn step(&mut self) -> Result<()> {
        // Before looking: a position after that ends the pause.
        self.positions.mark_unchanged();
        self.last = None;
        self.last = Some(self.relay.step().await?);
        Ok(())
    }

    async fn pause(&mut self) {
        match self.last {
            Some(Step::Sent(_)) => {}
            Some(Step::Down(until)) => sleep_until(until).await,
            Some(Step::Idle | Step::Elsewhere) | None => {
                let _woken_or_in_vain = timeout(POLL, self.positions.changed()).await;
            }
        }
    }

    fn report(&self, error: &Error) {
        tracing::error!(cause = error.cause().unwrap_or_default(), "events cannot be published");
    }

    async fn finish(&mut self) {
        if let Err(error) = self.relay.release().await {
            tracing::warn!(cause = error.cause().unwrap_or_default(), "the relay's lease cannot be given back");
        }
    }
}

/// Consumes the platform's events.
pub(super) struct Consume {
    inbound: Inbound,
    broker: Arc<dyn Broker>,
    /// Failures in a row.
    failures: u32,
    /// The last reason that the log was told.
    told: String,
}

impl Consume {
    pub fn new(app: &App, broker: Arc<dyn Broker>) -> Self {
        let (changes, ids, metrics) = (app.changes().clone(), Arc::clone(app.ids()), Arc::clone(app.metrics()));
        let (spans, retry_policy) = (app.spans().clone(), RetryPolicy::default());
        let inbound = Inbound { changes, ids, metrics, spans, retry_policy };
        Self { inbound, broker, failures: 0, told: String::new() }
    }
}

impl Task for Consume {
    /// What was not settled is delivered again.
    const ON_STOP: OnStop = OnStop::Drop;

    fn name(&self) -> &'static str {
        "consume_events"
    }

    /// Ends with the connection. The log is told each new reason, and one that comes back after it had worked.
    async fn step(&mut self) -> Result<()> {
        let start = Instant::now();
        let Down(reason) = self.inbound.consume(&*self.broker).await;
        if start.elapsed() > STABLE {
            (self.failures, self.told) = (0, String::new());
        }
        self.failures = self.failures.saturating_add(1);
        self.inbound.metrics.events.inbound_failures.inc();
        if self.told != reason {
            self.report(&Error::unavailable(&reason));
            self.told = reason;
        }
        Ok(())
    }

    async fn pause(&mut self) {
        sleep(RECONNECT.after(self.failures)).await;
    }

    fn report(&self, error: &Error) {
        let reason = error.cause().unwrap_or_default();
        tracing::error!(reason, "the platform's events cannot be taken: they wait");
    }
}
