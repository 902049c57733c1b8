//! `crm relay`: events to and from the broker, in a process of its own.

use super::{Outcome, Told, check_schema, fault, open};
use crate::{background::Background, config::Config, database, http::private::Private};

pub(super) async fn run(config: Config) -> Outcome {
    if config.events_url.is_none() {
        return Err("CRM_EVENTS_URL: is needed, it names the broker".into());
    }
    let mut told = Told::listen()?;
    let start = async {
        check_schema(&config).await?;
        open(config, database::REQUEST).await
    };
    let app = tokio::select! {
        app = start => app?,
        () = told.asked() => {
            tracing::info!("stopped before it relayed");
            return Ok(());
        }
    };
    let private = Private::start(&app);
    let background = Background::relay(&app);
    tracing::info!("relaying");
    told.asked().await;
    app.stop();
    tracing::info!("stopping: what is on its way is finished");
    let finished = background.finish().await;
    app.database().close().await?;
    if let Some(private) = private {
        private.finish().await;
    }
    finished.map_err(fault)?;
    tracing::info!("stopped");
    Ok(())
}
