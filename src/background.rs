//! What goes on beside the requests: notes are written, the audit trail is chained, events are
//! put in order, published and taken, what is past its time is deleted.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};

use crate::{app::App, error::Result, events::broker, pii::registry};

/// How often new audit entries are chained.
const CHAIN: Duration = Duration::from_millis(400);
/// How often the retention looks for what is due.
const PURGE: Duration = Duration::from_secs(600);
/// How often the sealing key is registered again.
const REGISTER: Duration = Duration::from_secs(15);

/// Tells a task when to stop.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Ready once the task should stop.
    pub async fn asked(&mut self) {
        // An error means that whoever could ask is gone.
        let _asked_or_gone = self.0.wait_for(|asked| *asked).await;
    }
}

/// The running tasks.
pub struct Background {
    app: App,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Background {
    /// Starts the tasks.
    #[must_use]
    pub fn start(app: &App) -> Self {
        let (sender, receiver) = watch::channel(false);
        let stop = Stop(receiver);
        let mut tasks = JoinSet::new();
        {
            let (app, stop) = (app.clone(), stop.clone());
            tasks.spawn(async move { app.keep_writing_notes(stop).await });
        }
        order_and_relay(&mut tasks, app, &stop, app.config().events_relay);
        tasks.spawn(every(CHAIN, "the audit trail cannot be chained", app.clone(), stop.clone(), |app| async move {
            app.chain_audit_entries().await.map(drop)
        }));
        tasks.spawn(every(
            PURGE,
            "what is past its time cannot be deleted",
            app.clone(),
            stop.clone(),
            |app| async move { app.purge().await.map(drop) },
        ));
        tasks.spawn(every(REGISTER, "the sealing key cannot be registered", app.clone(), stop, |app| async move {
            registry::register(app.database(), app.vault(), app.now()).await
        }));
        Self { app: app.clone(), stop: sender, tasks }
    }

    /// Starts the tasks of `crm relay`: those that events are published and taken by.
    #[must_use]
    pub fn relay(app: &App) -> Self {
        let (sender, receiver) = watch::channel(false);
        let mut tasks = JoinSet::new();
        order_and_relay(&mut tasks, app, &Stop(receiver), true);
        Self { app: app.clone(), stop: sender, tasks }
    }

    /// Stops the tasks, writes the notes that wait and chains what is not chained.
    ///
    /// # Errors
    /// A fault of the database.
    pub async fn finish(mut self) -> Result<()> {
        let _nobody_listens = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
        while self.app.write_notes().await? > 0 {}
        self.app.chain_audit_entries().await.map(drop)
    }
}

/// Events get their positions, and are published and taken where there is a broker and this process is to `relay`.
fn order_and_relay(tasks: &mut JoinSet<()>, app: &App, stop: &Stop, relay: bool) {
    {
        let (app, stop) = (app.clone(), stop.clone());
        tasks.spawn(async move { app.keep_ordering_events(stop).await });
    }
    let Some(url) = app.config().events_url.as_ref().filter(|_| relay) else { return };
    let broker = broker::at(url);
    {
        let (app, stop, broker) = (app.clone(), stop.clone(), Arc::clone(&broker));
        tasks.spawn(async move { app.keep_publishing(broker, stop).await });
    }
    let (app, stop) = (app.clone(), stop.clone());
    tasks.spawn(async move { app.keep_taking_in(broker, stop).await });
}

/// Does `work` now and then again and again, until `stop`. A failure is logged, once until it works again.
async fn every<F>(pause: Duration, failure: &'static str, app: App, mut stop: Stop, work: impl Fn(App) -> F)
where
    F: Future<Output = Result<()>>,
{
    let mut works = true;
    loop {
        let outcome = work(app.clone()).await;
        if let (true, Err(error)) = (works, &outcome) {
            tracing::error!(cause = error.cause().unwrap_or_default(), "{failure}");
        }
        works = outcome.is_ok();
        tokio::select! {
            () = stop.asked() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
