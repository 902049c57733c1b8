//! The private listener: probes and metrics at an address of their own (`CRM_METRICS_ADDR`), on their own thread.
//!
//! Monitoring gets a prompt response however busy the service is, and metrics stay off the address that the gateway
//! knows.

use std::{
    io, net,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{net::TcpListener, runtime, sync::oneshot};

use super::endpoints::private_service;
use crate::{
    app::App,
    http::{limits::Limits, server},
};

/// How long requests in flight may take to finish after shutdown begins.
const DRAIN: Duration = Duration::from_secs(1);

/// The running listener.
pub struct PrivateListener {
    address: net::SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl PrivateListener {
    /// Listens at the configured address. If that fails, logs a warning and returns `None`: monitoring is not worth
    /// failing for.
    #[must_use]
    pub fn start(app: &App) -> Option<Self> {
        let address = app.config().metrics_addr?;
        match Self::listen(app, address) {
            Ok(listener) => {
                tracing::info!(address = %listener.address, "probes and metrics");
                Some(listener)
            }
            Err(error) => {
                tracing::warn!(%address, %error, "cannot listen for probes and metrics: going on without");
                None
            }
        }
    }

    fn listen(app: &App, address: net::SocketAddr) -> io::Result<Self> {
        let listener = net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (endpoint, stopping) = (private_service(app), app.stopping().clone());
        let (limits, metrics) = (Limits::of_private_listener(app.config()), Arc::clone(app.metrics()));
        let (stop, stopped) = oneshot::channel();
        // An error means that the sender was dropped.
        let stopped = stopped.map(drop).shared();
        let serve = async move {
            let serving = async {
                let listener = TcpListener::from_std(listener)?;
                server::serve(listener, endpoint, stopping, stopped.clone(), limits, metrics).await
            };
            let end = async {
                stopped.clone().await;
                tokio::time::sleep(DRAIN).await;
            };
            tokio::select! {
                served = serving => if let Err(error) = served {
                    tracing::error!(%error, "probes and metrics are no longer served");
                },
                () = end => {}
            }
        };
        let thread = thread::Builder::new().name("probes".to_owned()).spawn(move || runtime.block_on(serve))?;
        Ok(Self { address, stop, thread })
    }

    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> net::SocketAddr {
        self.address
    }

    /// Stops listening, and waits for requests in flight.
    pub async fn finish(self) {
        let _gone_already = self.stop.send(());
        let _panicked = tokio::task::spawn_blocking(|| self.thread.join()).await;
    }
}
