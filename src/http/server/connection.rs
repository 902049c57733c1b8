//! A client's connection, beneath HTTP: which version it speaks, what is read and written, and an end that lets the client
//! read the last reply.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};

use super::{activity::Activity, frames::Frames};

/// With what a client begins that speaks HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long a connection that was shut down is read, so that what still comes does not reset it before the client has read
/// the reply: until the client closes it, is silent for the first, or the second has passed.
const LINGER_SILENCE: Duration = Duration::from_secs(1);
const LINGER: Duration = Duration::from_secs(5);

/// Which version of HTTP a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// HTTP/1.0 or HTTP/1.1.
    One,
    /// HTTP/2, known without being asked for.
    Two,
}

/// A client's connection.
pub(super) struct Connection {
    stream: TcpStream,
    activity: Arc<Activity>,
    /// What was read to find out the version.
    first: [u8; PREFACE.len()],
    /// How much that was, and how much of it was read again.
    first_read: usize,
    first_passed: usize,
    /// Of HTTP/2.
    frames: Option<Frames>,
    /// Whether a first line is on its way.
    in_first_line: bool,
    /// The head of the reply that hyper gave by itself, without a body, to what it could not read. It was not written.
    refusal: Vec<u8>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        Self {
            stream,
            activity,
            first: [0; PREFACE.len()],
            first_read: 0,
            first_passed: 0,
            frames: None,
            in_first_line: false,
            refusal: Vec::new(),
        }
    }

    /// Reads the first bytes: which version the client speaks, or `None` if it says nothing.
    pub(super) async fn version(&mut self) -> Option<Version> {
        loop {
            self.stream.readable().await.ok()?;
            let place = self.first.get_mut(self.first_read..)?;
            match self.stream.try_read(place) {
                Ok(0) => return None,
                Ok(count) => self.first_read += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(_) => return None,
            }
            self.in_first_line |= self.activity.bytes_read();
            let first = self.first.get(..self.first_read)?;
            if !PREFACE.starts_with(first) {
                self.in_first_line &= !first.contains(&b'\n');
                return Some(Version::One);
            }
            if first.len() == PREFACE.len() {
                self.activity.multiplexed();
                self.frames = Some(Frames::default());
                return Some(Version::Two);
            }
        }
    }

    /// The head of hyper's own reply, if it gave one, and whether the request line was all that it had read.
    pub(super) fn refusal(&mut self) -> Option<(Vec<u8>, bool)> {
        let head = std::mem::take(&mut self.refusal);
        (!head.is_empty()).then_some((head, self.in_first_line))
    }

    /// Writes what the client takes in time.
    pub(super) async fn write(&mut self, mut bytes: &[u8], limit: Duration) {
        while !bytes.is_empty() {
            let Ok(Ok(())) = timeout(limit, self.stream.writable()).await else { return };
            match self.stream.try_write(bytes) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }

    /// Ends the replies, then discards what still comes, until the client closes the connection.
    pub(super) async fn close(mut self) {
        self.activity.lingers();
        if std::future::poll_fn(|context| Pin::new(&mut self.stream).poll_shutdown(context)).await.is_err() {
            return;
        }
        let end = Instant::now() + LINGER;
        // Not on the stack: each connection would be that much larger.
        let mut scratch = vec![0; 4096];
        loop {
            let silence = (Instant::now() + LINGER_SILENCE).min(end);
            let Ok(Ok(())) = timeout_at(silence, self.stream.readable()).await else { return };
            match self.stream.try_read(&mut scratch) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
            if Instant::now() >= end {
                return;
            }
        }
    }

    /// Closes the connection at once, and forgets what the client has not read.
    pub(super) fn abort(self) {
        let _gone_already = self.stream.set_zero_linger();
    }

    /// Notes what was read.
    fn note(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        match &mut self.frames {
            Some(frames) => self.activity.frames_read(frames.read(bytes)),
            None => {
                self.in_first_line |= self.activity.bytes_read();
                self.in_first_line &= !bytes.contains(&b'\n');
            }
        }
    }

    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Pending => self.activity.wrote(false),
            Poll::Ready(Ok(_)) => self.activity.wrote(true),
            Poll::Ready(Err(_)) => {}
        }
        written
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let (first, read) = (self.first, self.first_read);
        if let Some(first) = first.get(self.first_passed..read).filter(|first| !first.is_empty()) {
            let count = first.len().min(buffer.remaining());
            buffer.put_slice(first.get(..count).unwrap_or_default());
            self.first_passed += count;
            return Poll::Ready(Ok(()));
        }
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.note(buffer.filled().get(before..).unwrap_or_default());
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.activity.owes_nothing() {
            self.refusal.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.activity.owes_nothing() {
            bytes.iter().for_each(|bytes| self.refusal.extend_from_slice(bytes));
            return Poll::Ready(Ok(bytes.iter().map(|bytes| bytes.len()).sum()));
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes what it has written, never what it has not.
        self.activity.flushed();
        Poll::Ready(Ok(()))
    }

    /// Left to [`Self::close`].
    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
