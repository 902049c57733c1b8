//! Which tasks a process runs.

use std::{sync::Arc, time::Duration};

use sea_orm::DbBackend;

use super::{
    adapters::{AssignPositions, Consume, Every, Publish, WriteAuditEntries},
    business_figures::ReadBusinessFigures,
    erase::Erase,
    queues::ReadQueues,
    reindex::Reindex,
    remove_deleted::RemoveDeleted,
    retention::purge,
    search::BuildSearch,
    stage_history::FillStageHistory,
    steps::Slowly,
    supervisor::Supervisor,
    timeline::FillTimelines,
};
use crate::{
    app::App,
    audit::chain,
    broker,
    database::{counts::fold, search::build::SearchedTable},
    error::Result,
    pii::{PiiTable, key_registry},
    pipeline::gauges,
    timeline::fill::OwnedTable,
};

/// How often new audit entries are chained.
const CHAIN: Duration = Duration::from_millis(400);
/// How often the retention looks for what is due.
const PURGE: Duration = Duration::from_secs(600);
/// How often it is looked for refusals whose minute is over.
const REFUSALS: Duration = Duration::from_secs(5);
/// How often it is looked whether the keys of tokens are to be fetched.
const REFRESH: Duration = Duration::from_secs(1);
/// How often changes of counters are folded: a read sums up what has come since.
const FOLD: Duration = Duration::from_millis(250);
/// How often the sealing key is registered again.
const REGISTER: Duration = Duration::from_secs(15);

/// The running tasks.
pub struct Background {
    app: App,
    supervisor: Supervisor,
}

impl Background {
    /// Starts the tasks of `crm serve`: all, those of the broker unless `crm relay` runs them. `tables` are those with personal
    /// data, `searched` those that are searched by a text, `owned` those whose rows belong to customers.
    #[must_use]
    pub fn start(app: &App, tables: Vec<PiiTable>, searched: Vec<SearchedTable>, owned: Vec<OwnedTable>) -> Self {
        let tasks = Self::new(app);
        tasks.supervisor.spawn(WriteAuditEntries::new(app));
        tasks.assign_positions();
        tasks.supervisor.spawn(RemoveDeleted::new(app));
        tasks.supervisor.spawn(Erase::new(app));
        tasks.supervisor.spawn(Slowly::new(Reindex::new(app, tables)));
        tasks.supervisor.spawn(Slowly::new(BuildSearch::new(app, searched)));
        tasks.supervisor.spawn(Slowly::new(FillStageHistory::new(app)));
        tasks.supervisor.spawn(Slowly::new(FillTimelines::new(app, owned)));
        gauges::begin(&app.metrics().business, &app.config().default_currency);
        tasks.supervisor.spawn(ReadBusinessFigures::new(app));
        tasks.supervisor.spawn(ReadQueues::new(app));
        if app.config().events_relay {
            tasks.relay_events();
        }
        tasks.every("chain_audit_entries", CHAIN, "the audit trail cannot be chained", |app| async move {
            chain::link_entries(app.database()).await.map(drop)
        });
        tasks.every("record_refusals", REFUSALS, "refusals cannot be recorded", |app| async move {
            app.refusals().write_due();
            Ok(())
        });
        tasks.every("purge", PURGE, "what is past its time cannot be deleted", |app| async move {
            purge(&app).await.map(drop)
        });
        if app.database().backend() == DbBackend::Postgres {
            tasks.every("fold_counters", FOLD, "the counters of lists cannot be kept short", |app| async move {
                let waiting = fold::fold(app.database(), None).await?;
                app.metrics().upkeep.count_changes_waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
                Ok(())
            });
        }
        tasks.every("register_key", REGISTER, "the sealing key cannot be registered", |app| async move {
            key_registry::register(app.database(), app.cipher(), app.now()).await
        });
        tasks.every("fetch_token_keys", REFRESH, "the keys of tokens cannot be fetched", |app| async move {
            tokio::select! {
                fresh = app.tokens().keep_fresh() => fresh,
                () = app.stopping().cancelled() => Ok(()),
            }
        });
        tasks
    }

    /// Starts the tasks of `crm relay`: those that events are published and consumed by.
    #[must_use]
    pub fn relay(app: &App) -> Self {
        let tasks = Self::new(app);
        tasks.assign_positions();
        tasks.relay_events();
        tasks.supervisor.spawn(ReadQueues::new(app));
        tasks
    }

    fn new(app: &App) -> Self {
        Self { app: app.clone(), supervisor: Supervisor::new(app.metrics()) }
    }

    fn assign_positions(&self) {
        self.supervisor.spawn(AssignPositions::new(&self.app));
    }

    /// Publishes and consumes events, if there is a broker.
    fn relay_events(&self) {
        if let Some(url) = &self.app.config().events_url {
            let broker = broker::connect(url);
            self.supervisor.spawn(Publish::new(&self.app, Arc::clone(&broker)));
            self.supervisor.spawn(Consume::new(&self.app, broker));
        }
    }

    fn every<F>(
        &self,
        name: &'static str,
        pause: Duration,
        failure: &'static str,
        work: impl Fn(App) -> F + Send + 'static,
    ) where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        self.supervisor.spawn(Every { app: self.app.clone(), name, pause, failure, work });
    }

    /// Stops the tasks, writes the audit entries that still wait, and chains the last ones.
    ///
    /// # Errors
    /// A fault of the database.
    pub async fn finish(self) -> Result<()> {
        self.supervisor.stop().await;
        self.app.refusals().write_all();
        while self.app.audit_queue().flush(self.app.database()).await? > 0 {}
        chain::link_entries(self.app.database()).await.map(drop)
    }
}
