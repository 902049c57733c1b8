//! Listening: what the HTTP library leaves to its user.
//!
//! Small replies leave at once (`TCP_NODELAY`); a failing `accept` (no file descriptors left) is waited out instead of
//! spun on; the number of connections is bounded, so that file descriptors are left for the rest; a connection on which
//! nothing moves is closed, also in the middle of a request that is never sent whole.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use poem::{
    Endpoint, Response, Server,
    http::uri::Scheme,
    listener::Acceptor,
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep},
};

/// How long a connection may be silent, on a running service.
pub const IDLE: Duration = Duration::from_secs(75);

/// The most connections at a time, where there are file descriptors enough; further ones wait to be accepted.
pub const MOST_CONNECTIONS: usize = 4096;
/// The file descriptors that are no connection's: of the private listener and its connections, of SQLite's files, the
/// broker, the runtimes. Sessions of PostgreSQL come on top.
const RESERVED: usize = 128;
/// The soft limit of file descriptors that systems usually set.
const USUAL_LIMIT: u64 = 1024;
/// How long running requests may take to finish after a stop was asked for.
const DRAIN: Duration = Duration::from_secs(20);
/// How long to wait after a failed `accept`.
const PAUSE: Duration = Duration::from_millis(50);

/// How many connections there may be at a time, beside so many sessions of the database: as many as the file descriptors of
/// this process allow, once their soft limit is raised to the hard one, and [`MOST_CONNECTIONS`] at most.
#[must_use]
pub fn most_connections(database_sessions: u16) -> usize {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot raise the limit of file descriptors: {USUAL_LIMIT} are assumed");
        USUAL_LIMIT
    });
    // More than can be counted is no limit.
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    // So few descriptors are not enough in any case; half of them are more than none.
    let reserved = (RESERVED + usize::from(database_sessions)).min(limit / 2);
    (limit - reserved).min(MOST_CONNECTIONS)
}

/// Serves `endpoint` on `listener` until `stop` is ready, then lets running requests finish. There may be `most` connections
/// at a time, and each may be silent for `idle`.
///
/// # Errors
/// A fault of the listening socket.
pub async fn serve(
    listener: TcpListener,
    endpoint: impl Endpoint<Output = Response> + 'static,
    stop: impl Future<Output = ()>,
    most: usize,
    idle: Duration,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    let acceptor = BoundedAcceptor { listener, address, idle, free: Arc::new(Semaphore::new(most)) };
    Server::new_with_acceptor(acceptor).run_with_graceful_shutdown(endpoint, stop, Some(DRAIN)).await
}

struct BoundedAcceptor {
    listener: TcpListener,
    address: SocketAddr,
    idle: Duration,
    free: Arc<Semaphore>,
}

impl Acceptor for BoundedAcceptor {
    type Io = Connection;

    fn local_addr(&self) -> Vec<LocalAddr> {
        vec![LocalAddr(self.address.into())]
    }

    async fn accept(&mut self) -> io::Result<(Connection, LocalAddr, RemoteAddr, Scheme)> {
        let place = Arc::clone(&self.free).acquire_owned().await.map_err(io::Error::other)?;
        match self.listener.accept().await {
            Ok((stream, remote)) => {
                stream.set_nodelay(true)?;
                let connection = Connection::new(stream, self.idle, place);
                Ok((connection, LocalAddr(self.address.into()), RemoteAddr(remote.into()), Scheme::HTTP))
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
                Err(error)
            }
        }
    }
}

/// A connection that holds one of the bounded places until it is closed, and that fails when nothing moves on it.
struct Connection {
    stream: TcpStream,
    idle: Duration,
    silence: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn new(stream: TcpStream, idle: Duration, place: OwnedSemaphorePermit) -> Self {
        Self { stream, idle, silence: Box::pin(tokio::time::sleep(idle)), _place: place }
    }

    /// Lets what moves postpone the end, and what does not move meet it.
    fn watched<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.silence.as_mut().reset(Instant::now() + self.idle);
            return outcome;
        }
        self.silence.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.watched(context, read)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watched(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.watched(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
