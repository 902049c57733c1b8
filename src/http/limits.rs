//! The limits of HTTP, all in one place: [`Limits`]. What is beyond one is refused or closed, and counted under the name of
//! the limit ([`crate::telemetry::metrics::HttpLimit`]). `delivery/README.md` has the same list for operators.

use std::time::Duration;

use ipnet::IpNet;

use crate::config::Config;

/// Maximum number of concurrent connections, if there are enough file descriptors.
pub const MOST_CONNECTIONS: usize = 4096;
/// Maximum number of concurrent connections to the private listener: there are few clients, and the file descriptors are for
/// requests.
const PRIVATE_CONNECTIONS: usize = 64;
/// The share of all connections that one peer may have unless configured otherwise, and the number that it may have in any
/// case.
const SHARE_OF_A_PEER: usize = 8;
const LEAST_OF_A_PEER: usize = 64;

/// What hyper and h2 themselves take of a head, in bytes. It is wider than [`Limits::head_size`], so that a head between the
/// two is refused here, with a body.
pub const HEAD_BUFFER: u16 = u16::MAX;
/// Maximum number of header lines. hyper takes as many over HTTP/1.1 before it needs more memory for each head.
const HEAD_LINES: usize = 100;
/// Maximum number of requests at once on a connection of HTTP/2.
pub const STREAMS: u32 = 64;
/// What a client may send on a stream, and on a connection, of HTTP/2 before any of it was read, in bytes.
pub const STREAM_WINDOW: u32 = 65_535;
/// See [`STREAM_WINDOW`].
pub const CONNECTION_WINDOW: u32 = 4 * STREAM_WINDOW;
/// What is buffered of a reply before the client reads it, on a connection or a stream, in bytes.
pub const REPLY_BUFFER: usize = 65_536;
/// How many bytes of a reply are handed over at a time.
pub const REPLY_CHUNK: usize = 16_384;

/// The limits of a listener.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Maximum number of concurrent connections. The last ones are kept free: a connection that waits for its client, of the
    /// peer that has the most, is closed for a new one.
    pub connections: usize,
    /// Maximum number of concurrent connections of a peer (an IPv4 address, or a /64 of IPv6): further ones are closed at once.
    pub connections_per_peer: usize,
    /// Peers without that limit, whose connections are closed last for new ones.
    pub trusted_proxies: Vec<IpNet>,
    /// How long a connection is kept between requests.
    pub keep_alive: Duration,
    /// Maximum size of a request's head in bytes: 431.
    pub head_size: usize,
    /// Maximum number of header lines: 431.
    pub head_lines: usize,
    /// Maximum length of a URL in bytes: 414.
    pub url_size: usize,
    /// Maximum size of a body in bytes (413), and of what is read of one that nobody wants.
    pub body_size: usize,
    /// How long a head may take from its first byte on: then the connection is closed.
    pub head_time: Duration,
    /// How long a client may leave a reply unread: then the connection, or the stream of HTTP/2, is closed.
    pub reply_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: MOST_CONNECTIONS,
            connections_per_peer: MOST_CONNECTIONS / SHARE_OF_A_PEER,
            trusted_proxies: Vec::new(),
            keep_alive: Duration::from_secs(75),
            head_size: 32 * 1024,
            head_lines: HEAD_LINES,
            url_size: 16 * 1024,
            body_size: 128 * 1024,
            head_time: Duration::from_secs(10),
            reply_time: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// Those of the main listener, for which the file descriptors allow so many connections.
    #[must_use]
    pub fn of(config: &Config, connections: usize) -> Self {
        let share = (connections / SHARE_OF_A_PEER).max(LEAST_OF_A_PEER);
        Self {
            connections,
            connections_per_peer: config.connections_per_peer.unwrap_or(share),
            trusted_proxies: config.trusted_proxies.clone(),
            keep_alive: config.keep_alive,
            body_size: config.body_limit,
            ..Self::default()
        }
    }

    /// Those of the private listener.
    #[must_use]
    pub fn of_private_listener(config: &Config) -> Self {
        let connections = PRIVATE_CONNECTIONS;
        Self { connections_per_peer: connections, ..Self::of(config, connections) }
    }
}

/// The limits of a single request.
#[derive(Debug, Clone, Copy)]
pub struct RequestLimits {
    /// How long a body may take from the end of its head on: 408.
    pub body_time: Duration,
    /// How long a request may take from its end on: 503.
    pub request_time: Duration,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self { body_time: Duration::from_secs(30), request_time: Duration::from_secs(10) }
    }
}
