//! `crm relay`: events to and from the broker, in a process of its own.

use super::{Outcome, fault, open, told_to_stop};
use crate::{
    background::Background,
    config::Config,
    database::{self, migrate},
    telemetry,
};

pub(super) async fn run(config: Config) -> Outcome {
    telemetry::start(&config.log, config.log_format);
    if config.events_url.is_none() {
        return Err("CRM_EVENTS_URL: is needed, it names the broker".into());
    }
    migrate::check(&config.database_url).await?;
    let app = open(config, database::REQUEST).await?;
    let told = told_to_stop()?;
    let background = Background::relay(&app);
    tracing::info!("relaying");
    told.await;
    tracing::info!("stopping: what is on its way is finished");
    let finished = background.finish().await;
    app.database().close().await?;
    finished.map_err(fault)?;
    tracing::info!("stopped");
    Ok(())
}
