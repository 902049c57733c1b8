//! The HTTP server: hyper on TCP, from the first connection to an orderly end.
//!
//! `TCP_NODELAY` keeps small responses from being delayed. A failing `accept` (no file descriptors left) backs off
//! instead of spinning. The number of connections is limited, of all and of each peer, and the last places are kept free:
//! those that wait for their clients are closed for new ones ([`slots`]). Whatever a client is waited for has an end
//! ([`activity`]). A reply is handed over as the client reads it ([`reply`]).
//!
//! A reply either leaves the connection usable for the next request, or says `Connection: close`; then the connection is
//! closed so that the client can read the reply ([`connection`]). What the operation did not read of a body is
//! read here ([`unread`]). What hyper cannot read is answered like everything else ([`answer`]).
//!
//! The end comes in two steps. Once the service is *stopping*, connections and requests are still taken, but each reply
//! says that it is the connection's last. Once it is *closing*, connections that wait in the kernel are taken, and
//! further ones are refused, or left to the next process ([`port`]); each open connection has a moment for a request that is on its way, and is closed after it.

mod activity;
mod answer;
mod connection;
pub mod descriptors;
mod frames;
pub mod port;
mod reply;
mod slots;
mod unread;

use std::{convert::Infallible, future::Future, io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use futures_util::FutureExt;
use hyper::{
    body::{Body, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use poem::{Endpoint, Response};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::OwnedSemaphorePermit,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    activity::{Activity, Ending},
    answer::Answering,
    connection::{Connection, Version},
    port::{BACKLOG, Listening},
    reply::Streams,
    slots::ConnectionSlots,
};
use super::limits::{CONNECTION_WINDOW, HEAD_BUFFER, Limits, REPLY_BUFFER, STREAM_WINDOW, STREAMS};
use crate::telemetry::metrics::{HttpLimit, Metrics};

/// How long connections may take to end after the server begins to close.
const DRAIN: Duration = Duration::from_secs(20);
/// How long a connection of HTTP/2 that was kept long enough may take to end.
const FAREWELL: Duration = Duration::from_secs(5);
/// The pause after a failed `accept`.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves `endpoint` on `listener` until `close` is ready, then lets connections end. Once `stopping` is cancelled, each
/// connection ends with its next reply.
///
/// # Errors
/// An error of the listening socket.
pub async fn serve(
    listener: impl Into<Listening>,
    endpoint: impl Endpoint<Output = Response> + 'static,
    stopping: CancellationToken,
    close: impl Future<Output = ()>,
    limits: Limits,
    metrics: Arc<Metrics>,
) -> io::Result<()> {
    let listener = listener.into();
    let (limits, address) = (Arc::new(limits), listener.address()?);
    let server = Arc::new(Server {
        slots: Arc::new(ConnectionSlots::new(Arc::clone(&limits), Arc::clone(&metrics))),
        answering: Answering { endpoint, address, limits: Arc::clone(&limits), stopping },
        http1: http1(),
        limits,
        metrics,
        closing: CancellationToken::new(),
    });
    let connections = Connections { server, tasks: TaskTracker::new(), cut_off: CancellationToken::new() };
    tokio::select! {
        () = connections.accept(&listener.socket) => {}
        () = close => {}
    }
    connections.close(listener).await
}

fn http1() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.max_buf_size(usize::from(HEAD_BUFFER));
    http
}

/// The limits of floods (resets, settings, pings) are h2's own.
fn http2(streams: Streams) -> http2::Builder<Streams> {
    let mut http = http2::Builder::new(streams);
    http.max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_BUFFER.into())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(REPLY_BUFFER);
    http
}

/// The open connections.
struct Connections<E> {
    server: Arc<Server<E>>,
    tasks: TaskTracker,
    /// Cancelled when connections may no longer go on.
    cut_off: CancellationToken,
}

impl<E: Endpoint<Output = Response> + 'static> Connections<E> {
    /// Accepts connections, for ever.
    async fn accept(&self, listener: &TcpListener) {
        while let Some(permit) = self.server.slots.free().await {
            match listener.accept().await {
                Ok((stream, remote)) => self.open(stream, remote, permit),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    self.server.slots.make_room();
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn open(&self, stream: TcpStream, remote: SocketAddr, permit: OwnedSemaphorePermit) {
        let (server, activity) = (Arc::clone(&self.server), Arc::new(Activity::default()));
        let Some(place) = server.slots.enter(permit, remote.ip(), Arc::clone(&activity)) else { return };
        let connection = async move {
            server.connection(stream, remote, activity).await;
            drop(place);
        };
        self.tasks.spawn(self.cut_off.clone().run_until_cancelled_owned(connection));
    }

    /// Takes the connections that the kernel has accepted already, which closing the listener would reset, and waits
    /// until all have ended. Those of a socket that stays open are the next process's.
    async fn close(self, listener: Listening) -> io::Result<()> {
        let waiting = if listener.stays_open { 0 } else { BACKLOG };
        let listener = listener.socket.into_std()?;
        self.server.closing.cancel();
        let ended = async {
            for _ in 0..waiting {
                let Ok((stream, remote)) = listener.accept() else { break };
                // Those that are open end by themselves now.
                let Some(permit) = self.server.slots.next().await else { break };
                let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
                match stream {
                    Ok(stream) => self.open(stream, remote, permit),
                    Err(error) => tracing::warn!(%error, "cannot serve a connection"),
                }
            }
            drop(listener);
            self.tasks.close();
            self.tasks.wait().await;
        };
        if tokio::time::timeout(DRAIN, ended).await.is_err() {
            tracing::warn!(connections = self.tasks.len(), "connections are cut off that did not end in time");
        }
        self.cut_off.cancel();
        Ok(())
    }
}

/// What connections share.
struct Server<E> {
    slots: Arc<ConnectionSlots>,
    answering: Answering<E>,
    http1: http1::Builder,
    limits: Arc<Limits>,
    metrics: Arc<Metrics>,
    /// Cancelled when connections are to be closed.
    closing: CancellationToken,
}

/// How a connection came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// In order: nothing follows the last reply.
    Over,
    /// It was not to go on, whatever was on its way.
    Cut(Ending),
}

impl<E: Endpoint<Output = Response> + 'static> Server<E> {
    /// Serves a connection to its end.
    async fn connection(self: Arc<Self>, stream: TcpStream, remote: SocketAddr, activity: Arc<Activity>) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection ended before it was served");
            return;
        }
        let mut connection = Connection::new(stream, Arc::clone(&activity));
        let version = tokio::select! {
            biased;
            version = connection.version() => version.ok_or(End::Over),
            ending = activity.end(&self.limits) => Err(End::Cut(ending)),
            () = self.may_close(&activity) => Err(End::Over),
        };
        // What few connections come to is not a part of each one's size.
        let end = match version {
            Ok(Version::One) => self.one(&mut connection, remote, &activity).await,
            Ok(Version::Two) => self.two(&mut connection, remote, &activity).boxed().await,
            Err(end) => end,
        };
        self.end(connection, end, &activity).boxed().await;
    }

    /// Ends a connection.
    async fn end(&self, mut connection: Connection, end: End, activity: &Activity) {
        match end {
            End::Over | End::Cut(Ending::Idle) => {
                if let Some((head, only_first_line)) = connection.refusal() {
                    let reply = self.answering.refuse(&head, only_first_line).await;
                    connection.write(&reply, self.limits.reply_time).await;
                }
                tokio::select! {
                    () = connection.close() => {}
                    _evicted = activity.end(&self.limits) => {}
                }
            }
            End::Cut(ending) => {
                self.metrics.refuse(match ending {
                    Ending::HeadTime => HttpLimit::head_time,
                    Ending::ReplyTime => HttpLimit::reply_time,
                    Ending::Evicted | Ending::Idle => HttpLimit::connections,
                });
                // The system would go on for long with what is not read.
                if activity.is_blocked() {
                    connection.abort();
                }
            }
        }
    }
}

impl<E: Endpoint<Output = Response> + 'static> Server<E> {
    /// Serves a connection of HTTP/1.1. Its last reply says that it is to be closed, so it is closed without one only when the
    /// server is.
    async fn one(self: &Arc<Self>, connection: &mut Connection, remote: SocketAddr, activity: &Arc<Activity>) -> End {
        let service = service_fn(|request: poem::http::Request<Incoming>| {
            let exchange = Arc::new(activity.begin(!request.body().is_end_stream()));
            let server = Arc::clone(self);
            // A connection between requests does not hold what answers them.
            async move { Ok::<_, Infallible>(server.answering.answer(request, remote, exchange).await) }.boxed()
        });
        let http = self.http1.serve_connection(TokioIo::new(connection), service);
        self.drive(http, activity, self.may_close(activity), |http| http.graceful_shutdown()).await
    }

    /// Serves a connection of HTTP/2, which is told to end without losing a request.
    async fn two(self: &Arc<Self>, connection: &mut Connection, remote: SocketAddr, activity: &Arc<Activity>) -> End {
        let streams = Streams::new(Arc::clone(&self.limits), Arc::clone(&self.metrics));
        let http = http2(streams.clone());
        let service = service_fn(|request: poem::http::Request<Incoming>| {
            let exchange = Arc::new(activity.begin(!request.body().is_end_stream()));
            streams.of(&exchange);
            let server = Arc::clone(self);
            async move { Ok::<_, Infallible>(server.answering.answer(request, remote, exchange).await) }
        });
        let http = http.serve_connection(TokioIo::new(connection), service);
        self.drive(http, activity, self.answering.stopping.cancelled(), |http| http.graceful_shutdown()).await
    }

    /// Runs a connection to its end. Once it is idle or may `close`, it has to `finish`: what runs is answered.
    async fn drive<C: Future>(
        &self,
        http: C,
        activity: &Activity,
        close: impl Future<Output = ()>,
        finish: impl Fn(Pin<&mut C>),
    ) -> End {
        tokio::pin!(http);
        let ending = tokio::select! {
            biased;
            _ended = http.as_mut() => return End::Over,
            ending = activity.end(&self.limits) => Some(ending),
            () = close => None,
        };
        match ending {
            Some(Ending::Idle) => {
                finish(http.as_mut());
                let _broke_off = tokio::time::timeout(FAREWELL, http).await;
                End::Over
            }
            Some(ending) => End::Cut(ending),
            None => {
                finish(http.as_mut());
                tokio::select! {
                    biased;
                    _ended = http => End::Over,
                    ending = activity.end(&self.limits) => End::Cut(ending),
                }
            }
        }
    }

    /// Waits until a connection is to be closed, because the server is and no request is on its way.
    async fn may_close(&self, activity: &Activity) {
        self.closing.cancelled().await;
        activity.between_requests().await;
    }
}
