//! The TCP server: what poem leaves to its users.
//!
//! `TCP_NODELAY` keeps small responses from being delayed. A failing `accept` (no file descriptors left) backs off
//! instead of spinning. The number of connections is limited, which leaves file descriptors for everything else. Idle
//! connections are closed, even in the middle of a request.

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

/// The idle timeout of a connection in production.
pub const IDLE: Duration = Duration::from_secs(75);

/// Maximum number of concurrent connections, if there are enough file descriptors; further ones wait to be accepted.
pub const MOST_CONNECTIONS: usize = 4096;
/// File descriptors for everything but client connections: the private listener and its connections, SQLite's files,
/// the broker, the runtimes. PostgreSQL sessions come on top.
const RESERVED: usize = 128;
/// The usual soft limit on file descriptors.
const USUAL_LIMIT: u64 = 1024;
/// How long requests in flight may take to finish after shutdown begins.
const DRAIN: Duration = Duration::from_secs(20);
/// The pause after a failed `accept`.
const PAUSE: Duration = Duration::from_millis(50);

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

/// Serves `endpoint` on `listener` until `stop` is ready, then lets requests in flight finish. Allows `most` concurrent
/// connections, each with the idle timeout `idle`.
///
/// # Errors
/// An error of the listening socket.
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

/// A connection that holds its semaphore permit until it is closed, and fails with `TimedOut` when idle.
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

    /// Progress resets the idle timeout.
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
