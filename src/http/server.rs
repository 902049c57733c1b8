//! Listening: what the HTTP library leaves to its user.
//!
//! Small replies leave at once (`TCP_NODELAY`); a failing `accept` (no file descriptors left) is waited out instead of
//! spun on; the number of connections is bounded; a connection on which nothing moves is closed.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

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
};

/// The most connections at a time; further ones wait to be accepted.
const MOST_CONNECTIONS: usize = 4096;
/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(75);
/// How long running requests may take to finish after a stop was asked for.
const DRAIN: Duration = Duration::from_secs(20);
/// How long to wait after a failed `accept`.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves `endpoint` on `listener` until `stop` is ready, then lets running requests finish.
///
/// # Errors
/// A fault of the listening socket.
pub async fn serve(
    listener: TcpListener,
    endpoint: impl Endpoint<Output = Response> + 'static,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    let acceptor = BoundedAcceptor { listener, address, free: Arc::new(Semaphore::new(MOST_CONNECTIONS)) };
    Server::new_with_acceptor(acceptor).idle_timeout(IDLE).run_with_graceful_shutdown(endpoint, stop, Some(DRAIN)).await
}

struct BoundedAcceptor {
    listener: TcpListener,
    address: SocketAddr,
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
                let connection = Connection { stream, _place: place };
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

/// A connection that holds one of the bounded places until it is closed.
struct Connection {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        std::pin::Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> std::task::Poll<io::Result<usize>> {
        std::pin::Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
