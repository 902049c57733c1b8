//! The port: bound by this process, or a socket that a service manager hands over and keeps open over restarts
//! (sd_listen_fds(3)), so that no connection is refused in between.

use std::{
    io,
    net::{self, SocketAddr},
};

use tokio::net::{TcpListener, TcpSocket};

/// Maximum number of connections that wait in the kernel to be accepted.
pub(super) const BACKLOG: u32 = 1024;

/// A port that this process has, and does not accept connections at yet.
pub struct Port(Taken);

enum Taken {
    Bound(TcpSocket),
    HandedOver(net::TcpListener),
}

impl Port {
    /// Binds the port without listening on it: connections are refused until the service can answer.
    ///
    /// # Errors
    /// Another process has it, or it is not this user's to have.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // Connections of the previous process in TIME_WAIT must not block the port.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Self(Taken::Bound(socket)))
    }

    /// A socket of the service manager's, which listens already: connections wait until the service can answer.
    #[must_use]
    pub fn handed_over(socket: net::TcpListener) -> Self {
        Self(Taken::HandedOver(socket))
    }

    /// Listens on it.
    ///
    /// # Errors
    /// Of the socket.
    pub fn listen(self) -> io::Result<Listening> {
        match self.0 {
            Taken::Bound(socket) => Ok(socket.listen(BACKLOG)?.into()),
            Taken::HandedOver(socket) => {
                socket.set_nonblocking(true)?;
                Ok(Listening { socket: TcpListener::from_std(socket)?, stays_open: true })
            }
        }
    }
}

/// A socket at which connections are accepted.
#[derive(Debug)]
pub struct Listening {
    pub(super) socket: TcpListener,
    /// Another process has it too, and keeps it open.
    pub(super) stays_open: bool,
}

impl Listening {
    /// Its address.
    ///
    /// # Errors
    /// Of the socket.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

impl From<TcpListener> for Listening {
    fn from(socket: TcpListener) -> Self {
        Self { socket, stays_open: false }
    }
}
