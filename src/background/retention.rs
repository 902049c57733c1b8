//! The retention: what is deleted once it was kept for long enough, by the horizon ([`crate::database::horizon`]).

use crate::{
    app::App,
    audit, change,
    database::horizon::Advanced,
    error::Result,
    events::{changes, outbox},
    telemetry::metrics::PurgedKind,
};

/// What was deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// Audit entries.
    pub entries: u64,
    /// Ids of accepted requests, and of the platform's events that were applied.
    pub request_ids: u64,
    /// Events.
    pub events: u64,
    /// Deletions, of which `/changes` told.
    pub deletions: u64,
}

/// Settles what the retention takes for the time, before this process writes anything. A fault of the database is logged
/// and does not end the start: the retention tries again.
pub async fn begin(app: &App) {
    if let Err(error) = app.horizon().begin(app.database()).await {
        let cause = error.cause().unwrap_or_default();
        tracing::warn!(cause, "the retention cannot begin: it tries again");
    }
}

/// Deletes what was kept for long enough; where there is a broker, only events that it has.
///
/// # Errors
/// A fault of the database. What was deleted until then stays deleted.
pub async fn purge(app: &App) -> Result<Purged> {
    let (config, database) = (app.config(), app.database());
    let Advanced { horizon, waiting } = app.horizon().advance(database).await?;
    app.metrics().upkeep.retention_waiting.set(waiting.map_or(0, |ahead| ahead.num_seconds()));
    let purged = Purged {
        entries: audit::retention::purge(database, horizon.days_before(config.audit_retention_days)).await?,
        request_ids: change::purge_claims(database, horizon.days_before(config.idempotency_retention_days)).await?,
        events: outbox::purge(database, horizon.days_before(config.events_retention_days), config.events_url.is_some())
            .await?,
        deletions: changes::retention::purge(database, horizon.days_before(config.changes_retention_days)).await?,
    };
    let Purged { entries, request_ids, events, deletions } = purged;
    for (kind, rows) in [
        (PurgedKind::audit_entries, entries),
        (PurgedKind::request_ids, request_ids),
        (PurgedKind::events, events),
        (PurgedKind::deletions, deletions),
    ] {
        app.metrics().upkeep.purged(kind, rows);
    }
    app.metrics().upkeep.retention_finished.set(app.now().0.timestamp());
    if purged != Purged::default() {
        tracing::info!(entries, request_ids, events, deletions, "deleted what is past its time");
    }
    Ok(purged)
}
