//! `crm serve`: the service, from its configuration to its end.

use tokio::net::TcpListener;

use super::{Outcome, fault, open, told_to_stop};
use crate::{
    background::Background,
    config::{Config, JwtKey, Migrate},
    database::{self, migrate},
    http, telemetry,
};

pub(super) async fn run(config: Config) -> Outcome {
    telemetry::start(&config.log, config.log_format);
    if config.jwt_key == JwtKey::Development {
        let file = config.data_dir.join("jwt_secret");
        let message = "no CRM_JWT_SECRET or CRM_JWT_PUBLIC_KEY_FILE: tokens are verified with a development secret";
        tracing::warn!(file = %file.display(), "{message}");
    }
    match config.migrate {
        Migrate::Auto => migrate::up(&config.database_url, None).await?,
        Migrate::Check => migrate::check(&config.database_url).await?,
    }
    let address = config.address();
    let app = open(config, database::REQUEST).await?;
    match (app.vault().sealing_key(), app.vault().may_hold_clear()) {
        (None, _) => tracing::warn!("CRM_PII_ENCRYPTION=off: phone numbers and e-mail addresses are stored in clear"),
        (_, true) => tracing::warn!(
            "phone numbers and e-mail addresses from before are stored in clear, and not found by search: run `crm keys rotate`"
        ),
        _ => {}
    }
    let told = told_to_stop()?;
    let listener = TcpListener::bind(address).await.map_err(|error| format!("cannot listen on {address}: {error}"))?;
    let address = listener.local_addr()?;
    tracing::info!(%address, docs = format!("http://{address}/docs"), "serving");

    let waiting = app.clone();
    let stop = async move {
        told.await;
        tracing::info!("stopping: running requests are finished");
        waiting.outbox().stop_waiting();
    };
    let background = Background::start(&app);
    http::server::serve(listener, http::service(&app), stop, http::server::IDLE).await?;
    let finished = background.finish().await;
    app.database().close().await?;
    finished.map_err(fault)?;
    tracing::info!("stopped");
    Ok(())
}
