//! `crm serve`: the service, from configuration to shutdown.
//!
//! The port is bound first: if it is taken, the database stays untouched. Listening begins last, when requests can be
//! answered: until then connections are refused, and do not hang. Where a service manager hands over a socket, its connections
//! wait there.

use std::{error::Error, io, net::SocketAddr, sync::Arc};

use listenfd::ListenFd;
use poem::{Endpoint, Response};
use sd_notify::NotifyState;

use super::{
    context::{ExitOutcome, StopSignal, check_schema, fault, open},
    service_manager,
};
use crate::{
    app::App,
    background::{Background, retention},
    config::{Config, Masked, Migrate, ScopePolicy, Tenancy, TokenKeys, development_secret_file},
    database::{self, migrate, permissions, reach::reach},
    http::{
        limits::Limits,
        server::{
            self,
            descriptors::most_connections,
            port::{Listening, Port},
        },
    },
    pii::key_registry,
    service::{
        private::PrivateListener,
        resources::{owned_tables, pii_tables, searched_tables},
        service,
    },
    telemetry::StandardError,
    values::build::{COMMIT, CONTRACT_SHA256, VERSION},
};

/// Serves; at the socket that the service manager hands over, if it does.
pub(super) async fn run(config: Config, handed_over: ListenFd, stderr: &StandardError) -> ExitOutcome {
    say_what_is_trusted(&config);
    key_registry::check_source(&config)?;
    let mut stop_signal = StopSignal::listen()?;
    let connections = most_connections(config.database_sessions());
    let address = config.address();
    let taken = |error| format!("cannot listen on {address}: {error}");
    let port = take_port(address, handed_over).map_err(taken)?;
    let app = tokio::select! {
        app = service_manager::starting(start(config)) => app?,
        () = stop_signal.received() => {
            tracing::info!("stopped before it served");
            return Ok(());
        }
    };
    let listener = port.listen().map_err(taken)?;
    let address = listener.address()?;
    stderr.counted_by(app.metrics().upkeep.log_lines_dropped.clone());
    let begun = begin(&app, connections);
    say_what_is_served(app.config(), address, connections);
    service_manager::tell(NotifyState::Ready);
    tokio::select! {
        served = serve(&app, listener, begun, stop_signal) => served,
        never = service_manager::keep_watchdog_calm() => match never {},
    }
}

/// What runs before requests are taken.
pub(super) struct Begun<E> {
    endpoint: E,
    background: Background,
    /// The listener for probes and metrics, where there is one.
    pub(super) private: Option<PrivateListener>,
    connections: usize,
}

/// Begins to work beside the requests, of which at most so many connections will be taken. Whoever reads the metrics comes last:
/// they are all there by then.
pub(super) fn begin(app: &App, connections: usize) -> Begun<impl Endpoint<Output = Response> + 'static> {
    app.metrics().http.connections_max.set(i64::try_from(connections).unwrap_or(i64::MAX));
    let endpoint = service(app);
    let background = Background::start(app, pii_tables(), searched_tables(), owned_tables());
    Begun { endpoint, background, private: PrivateListener::start(app), connections }
}

/// Serves until it is told to stop, and then finishes what is under way.
pub(super) async fn serve(
    app: &App,
    listener: Listening,
    begun: Begun<impl Endpoint<Output = Response> + 'static>,
    mut stop_signal: StopSignal,
) -> ExitOutcome {
    let (stopping, lame_duck) = (app.clone(), app.config().lame_duck);
    let stop = async move {
        stop_signal.received().await;
        stopping.stopping().cancel();
        service_manager::tell(NotifyState::Stopping);
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
    let Begun { endpoint, background, private, connections } = begun;
    let (limits, metrics) = (Limits::of(app.config(), connections), Arc::clone(app.metrics()));
    server::serve(listener, endpoint, app.stopping().clone(), stop, limits, metrics).await?;
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

/// The one line that says what runs here, with what, and whom it trusts.
fn say_what_is_served(config: &Config, address: SocketAddr, connections: usize) {
    tracing::info!(
        %address,
        docs = format!("http://{address}/docs"),
        version = VERSION,
        commit = COMMIT,
        contract = CONTRACT_SHA256,
        database = config.database_url.masked(),
        broker = config.events_url.as_ref().map(Masked::masked),
        tokens = config.auth.keys.to_string(),
        tenancy = %config.auth.tenancy,
        scopes = %config.auth.scopes,
        connections,
        "serving"
    );
}

/// Says what whoever can reach the service may do, where that is more than a token says.
fn say_what_is_trusted(config: &Config) {
    let auth = &config.auth;
    if auth.keys == TokenKeys::Development {
        let file = development_secret_file(&config.data_dir);
        let message =
            "no key for tokens is configured, CRM_JWT_SECRET or another: they are verified with a development secret";
        tracing::warn!(file = %file.display(), "{message}");
    }
    if config.host.is_loopback() {
        return;
    }
    if auth.tenancy == Tenancy::Header {
        tracing::warn!(
            "CRM_TENANCY=header: a token without the claim {} may act for any tenant that X-Tenant-Id names; the gateway \
             must set that header",
            auth.tenant_claim
        );
    }
    if auth.scopes == ScopePolicy::Optional {
        tracing::warn!("CRM_SCOPES=optional: a token that names no crm: scope may read and write");
    }
}

/// The socket that is handed over, or else the port of this address.
fn take_port(address: SocketAddr, mut handed_over: ListenFd) -> io::Result<Port> {
    match handed_over.take_tcp_listener(0) {
        Ok(Some(listener)) => Ok(Port::handed_over(listener)),
        Ok(None) => Port::bind(address),
        Err(error) => {
            Err(io::Error::other(format!("what was handed over is not the socket of a TCP listener: {error}")))
        }
    }
}

/// Opens the application, after migrating or checking the schema; the retention begins before anything is written.
pub(super) async fn start(config: Config) -> Result<App, Box<dyn Error + Send + Sync>> {
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
    permissions::warn_of_others(&app.config().database_url);
    retention::begin(&app).await;
    Ok(app)
}
