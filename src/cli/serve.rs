//! `crm serve`: the service, from its configuration to its end.
//!
//! The port is taken first: where it is another's, nothing is changed in the database. It is listened on last, once
//! requests can be answered, so that nobody waits at a service that is not there yet.

use std::{error::Error, io, net::SocketAddr};

use tokio::net::TcpSocket;

use super::context::{ExitOutcome, StopSignal, check_schema, fault, open};
use crate::{
    app::App,
    background::Background,
    config::{Config, JwtKey, Migrate},
    database::{self, migrate, reach::reach},
    http::server,
    service::{private::PrivateListener, service},
};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

pub(super) async fn run(config: Config) -> ExitOutcome {
    if config.jwt_key == JwtKey::Development {
        let file = config.data_dir.join("jwt_secret");
        let message = "no CRM_JWT_SECRET or CRM_JWT_PUBLIC_KEY_FILE: tokens are verified with a development secret";
        tracing::warn!(file = %file.display(), "{message}");
    }
    let (mut stop_signal, lame_duck) = (StopSignal::listen()?, config.lame_duck);
    let connections = server::most_connections(config.database_connections);
    let address = config.address();
    let taken = |error| format!("cannot listen on {address}: {error}");
    let port = take_port(address).map_err(taken)?;
    let app = tokio::select! {
        app = start(config) => app?,
        () = stop_signal.received() => {
            tracing::info!("stopped before it served");
            return Ok(());
        }
    };
    let listener = port.listen(BACKLOG).map_err(taken)?;
    let address = listener.local_addr()?;
    let private = PrivateListener::start(&app);
    tracing::info!(%address, connections, docs = format!("http://{address}/docs"), "serving");

    let stopping = app.clone();
    let stop = async move {
        stop_signal.received().await;
        stopping.stopping().cancel();
        if !lame_duck.is_zero() {
            tracing::info!(seconds = lame_duck.as_secs_f64(), "stopping: no longer ready, and still serving");
            tokio::select! {
                () = tokio::time::sleep(lame_duck) => {}
                () = stop_signal.received() => {}
            }
        }
        tracing::info!("stopping: running requests are finished");
        stopping.events().stop_waiting();
    };
    let background = Background::start(&app);
    server::serve(listener, service(&app), stop, connections, server::IDLE).await?;
    let finished = background.finish().await;
    app.database().close().await?;
    if let Some(private) = private {
        private.finish().await;
    }
    finished.map_err(fault)?;
    tracing::info!("stopped");
    Ok(())
}

/// Takes the port without listening on it: connections are refused until the service can answer.
fn take_port(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // What remains of connections to the process before does not keep this one from its port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// The service on its database, whose schema is brought up to date or only looked at.
async fn start(config: Config) -> Result<App, Box<dyn Error + Send + Sync>> {
    match config.migrate {
        Migrate::Auto => {
            reach(config.schema_url(), config.database_wait).await?;
            migrate::up_to_date(config.schema_url(), config.database_wait).await?;
        }
        Migrate::Check => check_schema(&config).await?,
    }
    let app = open(config, database::REQUEST).await?;
    match (app.cipher().sealing_key(), app.cipher().may_hold_clear()) {
        (None, _) => tracing::warn!("CRM_PII_ENCRYPTION=off: phone numbers and e-mail addresses are stored in clear"),
        (_, true) => tracing::warn!(
            "phone numbers and e-mail addresses from before are stored in clear, and not found by search: run `crm keys rotate`"
        ),
        _ => {}
    }
    Ok(app)
}
