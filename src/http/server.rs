//! The HTTP server: hyper on TCP, from the first connection to an orderly end.
//!
//! `TCP_NODELAY` keeps small responses from being delayed. A failing `accept` (no file descriptors left) backs off
//! instead of spinning. The number of connections is limited, which leaves file descriptors for everything else. Idle
//! connections are closed, even in the middle of a request.
//!
//! A reply either leaves the connection usable for the next request, or says `Connection: close`; then the connection is
//! closed so that the client can read the reply ([`super::connection`]). What the operation did not read of a body is
//! read here ([`super::unread`]).
//!
//! The end comes in two steps. Once the service is *stopping*, connections and requests are still taken, but each reply
//! says that it is the connection's last. Once it is *closing*, connections that wait in the kernel are taken, and
//! further ones are refused; each open connection has a moment for a request that is on its way, and is closed after it.

use std::{convert::Infallible, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use poem::{
    Endpoint, Request, Response,
    http::{
        HeaderMap, HeaderValue, Version,
        header::{CONNECTION, EXPECT},
        uri::Scheme,
    },
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    connection::{Activity, Connection},
    unread::SharedBody,
};

/// The idle timeout of a connection in production.
pub const IDLE: Duration = Duration::from_secs(75);

/// Maximum number of concurrent connections, if there are enough file descriptors; further ones wait to be accepted.
pub const MOST_CONNECTIONS: usize = 4096;
/// Maximum number of connections that wait in the kernel to be accepted.
pub const BACKLOG: u32 = 1024;
/// File descriptors for everything but client connections: the private listener and its connections, SQLite's files,
/// the broker, the runtimes. PostgreSQL sessions come on top.
const RESERVED: usize = 128;
/// The usual soft limit on file descriptors.
const USUAL_LIMIT: u64 = 1024;
/// How long connections may take to end after the server begins to close.
const DRAIN: Duration = Duration::from_secs(20);
/// The pause after a failed `accept`.
const PAUSE: Duration = Duration::from_millis(50);
/// Maximum number of requests at once on a connection of HTTP/2.
const MOST_STREAMS: u32 = 200;
/// Maximum size of a request's headers in HTTP/2, in bytes.
const MOST_HEADERS: u32 = 16384;

type BoxBody = http_body_util::combinators::BoxBody<Bytes, io::Error>;

/// The maximum number of connections next to `database_sessions`: as many as the file descriptors of this process
/// allow, once their soft limit is raised to the hard one, but at most [`MOST_CONNECTIONS`].
#[must_use]
pub fn most_connections(database_sessions: u16) -> usize {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot raise the limit of file descriptors: {USUAL_LIMIT} are assumed");
        USUAL_LIMIT
    });
    // A limit that overflows `usize` is no limit.
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    // With so few descriptors, half of them for connections is better than none.
    let reserved = (RESERVED + usize::from(database_sessions)).min(limit / 2);
    (limit - reserved).min(MOST_CONNECTIONS)
}

/// What a server allows.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Maximum number of concurrent connections.
    pub connections: usize,
    /// How long a connection may be silent.
    pub idle: Duration,
    /// Maximum size of a body in bytes, and of what is read of one that nobody wants.
    pub body: usize,
}

/// Serves `endpoint` on `listener` until `close` is ready, then lets connections end. Once `stopping` is cancelled, each
/// connection ends with its next reply.
///
/// # Errors
/// An error of the listening socket.
pub async fn serve(
    listener: TcpListener,
    endpoint: impl Endpoint<Output = Response> + 'static,
    stopping: CancellationToken,
    close: impl Future<Output = ()>,
    limits: Limits,
) -> io::Result<()> {
    let server = Arc::new(Server {
        endpoint,
        address: listener.local_addr()?,
        http: http(),
        limits,
        places: Arc::new(Semaphore::new(limits.connections)),
        stopping,
        closing: CancellationToken::new(),
    });
    let connections = Connections { server, tasks: TaskTracker::new(), cut_off: CancellationToken::new() };
    tokio::select! {
        () = connections.accept(&listener) => {}
        () = close => {}
    }
    connections.close(listener).await
}

fn http() -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http2().max_concurrent_streams(MOST_STREAMS).max_header_list_size(MOST_HEADERS);
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
        while let Ok(place) = Arc::clone(&self.server.places).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, remote)) => self.open(stream, remote, place),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn open(&self, stream: TcpStream, remote: SocketAddr, place: OwnedSemaphorePermit) {
        let connection = Arc::clone(&self.server).connection(stream, remote, place);
        self.tasks.spawn(self.cut_off.clone().run_until_cancelled_owned(connection));
    }

    /// Takes the connections that the kernel has accepted already, which closing the listener would reset, and waits
    /// until all have ended.
    async fn close(self, listener: TcpListener) -> io::Result<()> {
        let listener = listener.into_std()?;
        self.server.closing.cancel();
        let ended = async {
            for _ in 0..BACKLOG {
                let Ok((stream, remote)) = listener.accept() else { break };
                let Ok(place) = Arc::clone(&self.server.places).acquire_owned().await else { break };
                let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
                match stream {
                    Ok(stream) => self.open(stream, remote, place),
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
    endpoint: E,
    address: SocketAddr,
    http: auto::Builder<TokioExecutor>,
    limits: Limits,
    /// One for each connection.
    places: Arc<Semaphore>,
    /// Cancelled when each reply is to be its connection's last.
    stopping: CancellationToken,
    /// Cancelled when connections are to be closed.
    closing: CancellationToken,
}

impl<E: Endpoint<Output = Response> + 'static> Server<E> {
    /// Serves a connection to its end.
    async fn connection(self: Arc<Self>, stream: TcpStream, remote: SocketAddr, place: OwnedSemaphorePermit) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection ended before it was served");
            return;
        }
        let activity = Arc::new(Activity::default());
        let stream = TokioIo::new(Connection::new(stream, Arc::clone(&activity), self.limits.idle, place));
        let service = service_fn(|request| {
            let (server, activity) = (Arc::clone(&self), Arc::clone(&activity));
            async move { Ok::<_, Infallible>(server.answer(request, remote, &activity).await) }
        });
        let connection = self.http.serve_connection(stream, service);
        tokio::pin!(connection);
        tokio::select! {
            _ended = connection.as_mut() => return,
            () = self.may_close(&activity) => {}
        }
        // What runs is answered.
        connection.as_mut().graceful_shutdown();
        let _broke_off = connection.await;
    }

    /// Waits until a connection is to be closed. One of HTTP/2 is told so without losing a request; one of HTTP/1.1 is,
    /// by the last reply, and is closed without one only when the server is.
    async fn may_close(&self, activity: &Activity) {
        self.stopping.cancelled().await;
        let between_requests = async {
            self.closing.cancelled().await;
            activity.between_requests().await;
        };
        tokio::select! {
            () = activity.multiplexed() => {}
            () = between_requests => {}
        }
    }

    async fn answer(
        &self,
        request: poem::http::Request<Incoming>,
        remote: SocketAddr,
        activity: &Activity,
    ) -> poem::http::Response<BoxBody> {
        let multiplexed = request.version() == Version::HTTP_2;
        let _running = activity.begin(multiplexed);
        let waits = waits_for_100(request.headers());
        let (local, remote) = (LocalAddr(self.address.into()), RemoteAddr(remote.into()));
        let mut request = Request::from((request, local, remote, Scheme::HTTP));
        let body = SharedBody::new(request.take_body());
        request.set_body(body.reader());
        let mut response = self.endpoint.get_response(request).await;
        // The end of a stream of HTTP/2 is not that of its connection.
        if !multiplexed && (self.stopping.is_cancelled() || !body.end(self.limits.body, waits).await) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response.into()
    }
}

/// Whether the client may not send its body before it is asked for it.
fn waits_for_100(headers: &HeaderMap) -> bool {
    headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}
