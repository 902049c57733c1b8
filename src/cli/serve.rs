//! `crm serve`: the service, from its configuration to its end.

use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use super::Outcome;
use crate::{
    app::{App, Clock, Ids, Parts},
    auth::Keys,
    config::{Config, JwtKey, Migrate},
    database::{Database, migrate},
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
    let app = App::new(Parts {
        keys: Keys::from_config(&config)?,
        database: Database::open(&config.database_url).await?,
        clock: Clock::System,
        ids: Ids::random(),
        config,
    });
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let listener = TcpListener::bind(address).await.map_err(|error| format!("cannot listen on {address}: {error}"))?;
    let address = listener.local_addr()?;
    tracing::info!(%address, docs = format!("http://{address}/docs"), "serving");

    let stop = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping: running requests are finished");
    };
    http::server::serve(listener, http::service(&app), stop, http::server::IDLE).await?;
    app.database().close().await?;
    tracing::info!("stopped");
    Ok(())
}
