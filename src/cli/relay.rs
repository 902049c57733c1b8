//! `crm relay`: publishes and consumes events, in a process of its own.

use super::context::{ExitOutcome, StopSignal, check_schema, fault, open};
use crate::{
    background::{Background, retention},
    config::Config,
    database,
    service::private::PrivateListener,
    telemetry::StandardError,
};

pub(super) async fn run(config: Config, stderr: &StandardError) -> ExitOutcome {
    if config.events_url.is_none() {
        return Err("CRM_EVENTS_URL: is needed, it names the broker".into());
    }
    let mut stop = StopSignal::listen()?;
    let start = async {
        check_schema(&config).await?;
        let app = open(config, database::REQUEST).await?;
        // What it consumes is written by its clock.
        retention::begin(&app).await;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(app)
    };
    let app = tokio::select! {
        app = start => app?,
        () = stop.received() => {
            tracing::info!("stopped before it relayed");
            return Ok(());
        }
    };
    stderr.counted_by(app.metrics().upkeep.log_lines_dropped.clone());
    let private = PrivateListener::start(&app);
    let background = Background::relay(&app);
    tracing::info!("relaying");
    stop.received().await;
    app.stopping().cancel();
    tracing::info!("stopping: what is on its way is finished");
    let finished = background.finish().await;
    app.database().close().await?;
    app.spans().finish().await;
    if let Some(private) = private {
        private.finish().await;
    }
    finished.map_err(fault)?;
    tracing::info!("stopped");
    Ok(())
}
