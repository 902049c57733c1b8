//! Listening: what the HTTP library leaves to its user.
//!
//! Small replies leave at once (`TCP_NODELAY`); a failing `accept` (no file descriptors left) is waited out instead of
//! spun on; the number of connections is bounded; a connection on which nothing moves is closed, also in the middle of a
//! request that is never sent whole.

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

/// The most connections at a time; further ones wait to be accepted.
const MOST_CONNECTIONS: usize = 4096;
/// How long running requests may take to finish after a stop was asked for.
const DRAIN: Duration = Duration::from_secs(20);
/// How long to wait after a failed `accept`.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves `endpoint` on `listener` until `stop` is ready, then lets running requests finish. Connections may be silent
/// for `idle`.
///
/// # Errors
/// A fault of the listening socket.
pub async fn serve(
    listener: TcpListener,
    endpoint: impl Endpoint<Output = Response> + 'static,
    stop: impl Future<Output = ()>,
    idle: Duration,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    let acceptor = BoundedAcceptor { listener, address, idle, free: Arc::new(Semaphore::new(MOST_CONNECTIONS)) };
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
