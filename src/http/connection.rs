//! A client's connection, beneath HTTP: closed when idle, and closed in a way that lets the client read the last reply.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// How long a connection that was shut down is read, so that what still comes does not reset it before the client has read
/// the reply: until the client closes it, is silent for the first, or the second has passed.
const LINGER_SILENCE: Duration = Duration::from_secs(1);
const LINGER: Duration = Duration::from_secs(5);
/// How long the beginning of a request may be on its way when the service stops.
const ARRIVAL: Duration = Duration::from_millis(250);
/// How long the rest of a request's head may take then.
const HEAD: Duration = Duration::from_secs(5);
/// How often that is looked at.
const TICK: Duration = Duration::from_millis(10);

/// What a connection is doing.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// The number of requests that are not answered yet.
    running: AtomicUsize,
    /// Whether something of a request was read that is not one yet.
    begun: AtomicBool,
    /// Cancelled once a request came by HTTP/2.
    multiplexed: CancellationToken,
}

/// A request that is being answered.
pub(super) struct Running<'a>(&'a Activity);

impl Activity {
    /// A request was read.
    pub(super) fn begin(&self, multiplexed: bool) -> Running<'_> {
        if multiplexed {
            self.multiplexed.cancel();
        }
        self.running.fetch_add(1, Ordering::SeqCst);
        self.begun.store(false, Ordering::SeqCst);
        Running(self)
    }

    fn bytes_read(&self) {
        if self.running.load(Ordering::SeqCst) == 0 {
            self.begun.store(true, Ordering::SeqCst);
        }
    }

    /// Waits until the connection is one of HTTP/2.
    pub(super) async fn multiplexed(&self) {
        self.multiplexed.cancelled().await;
    }

    /// Waits for a request that is on its way, and until none is half read.
    pub(super) async fn between_requests(&self) {
        sleep(ARRIVAL).await;
        let end = Instant::now() + HEAD;
        while self.begun.load(Ordering::SeqCst) && Instant::now() < end {
            sleep(TICK).await;
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A connection that holds its semaphore permit until it is closed, and fails with `TimedOut` when idle.
pub(super) struct Connection {
    stream: TcpStream,
    activity: Arc<Activity>,
    idle: Duration,
    silence: Pin<Box<Sleep>>,
    /// When it was shut down.
    shut_down: Option<Instant>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, activity: Arc<Activity>, idle: Duration, place: OwnedSemaphorePermit) -> Self {
        Self { stream, activity, idle, silence: Box::pin(sleep(idle)), shut_down: None, _place: place }
    }

    /// Progress resets the idle timeout.
    fn watched<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.silence.as_mut().reset(Instant::now() + self.idle);
            return outcome;
        }
        self.silence.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Discards what still comes, until nothing does.
    fn poll_linger(&mut self, context: &mut Context<'_>, shut_down: Instant) -> Poll<()> {
        let mut scratch = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    let end = (Instant::now() + LINGER_SILENCE).min(shut_down + LINGER);
                    self.silence.set(sleep_until(end));
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.silence.as_mut().poll(context),
            }
            if Instant::now() >= shut_down + LINGER {
                return Poll::Ready(());
            }
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.bytes_read();
        }
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

    /// Ends the replies, then waits for the client to close the connection.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut_down = match self.shut_down {
            Some(at) => at,
            None => {
                std::task::ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
                let now = Instant::now();
                self.shut_down = Some(now);
                self.silence.as_mut().reset(now + LINGER_SILENCE);
                now
            }
        };
        self.poll_linger(context, shut_down).map(Ok)
    }
}
