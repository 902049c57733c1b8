//! How many connections the file descriptors of this process allow.

use crate::http::limits::MOST_CONNECTIONS;

/// File descriptors for everything but client connections: the private listener and its connections, SQLite's files,
/// the broker, the runtimes. PostgreSQL sessions come on top.
const RESERVED: usize = 160;
/// What a service on SQLite opens at least.
const LEAST_RESERVED: usize = 64;
/// The usual soft limit on file descriptors.
const USUAL_LIMIT: u64 = 1024;

/// The maximum number of connections next to `database_sessions`: as many as the file descriptors of this process
/// allow, once their soft limit is raised to the hard one, but at most [`MOST_CONNECTIONS`]. The log says if they are fewer.
#[must_use]
pub fn most_connections(database_sessions: u16) -> usize {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot raise the limit of file descriptors: {USUAL_LIMIT} are assumed");
        USUAL_LIMIT
    });
    // A limit that overflows `usize` is no limit.
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let reserved = RESERVED + usize::from(database_sessions);
    let wanted = MOST_CONNECTIONS + reserved;
    if limit >= wanted {
        return MOST_CONNECTIONS;
    }
    // With so few descriptors, half of them for connections is better than none, if the rest is enough to work with.
    let connections = limit.saturating_sub(reserved.min((limit / 2).max(LEAST_RESERVED))).max(1);
    tracing::warn!(limit, wanted, connections, "the limit of file descriptors (RLIMIT_NOFILE) allows few connections");
    connections
}
