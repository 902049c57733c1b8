//! Reaching PostgreSQL at start: what is not there yet is waited for, what is wrong is reported at once.
//!
//! The connections that are made here only check, one after another; the service's own are made in [`super::connect`].
//! Errors name host, port, user and database, and never the address as it was configured: it may hold a password.

use std::{fmt, io, time::Duration};

use sea_orm::sqlx::{
    ConnectOptions as _, Connection as _, Error, Row as _,
    postgres::{PgConnectOptions, PgConnection},
    raw_sql,
};

use super::retry::Retry;
use crate::config::{DatabaseUrl, Secret};

/// How long one try may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait before the next.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// PostgreSQL is there but takes no connections yet: too many connections, starting up or shutting down. A pooler reports
/// the same by a connection exception (class 08).
const TRANSIENT: [&str; 2] = ["53300", "57P03"];

/// Why the database cannot be used.
#[derive(Debug)]
pub enum Unreachable {
    /// Nothing answers, or not in time.
    NotReached {
        /// Host and port, or the socket.
        at: String,
        /// Why not.
        cause: String,
    },
    /// The server refuses the connection: the user, the password, the host.
    Refused {
        /// Host and port, or the socket.
        at: String,
        /// Why.
        cause: String,
    },
    /// The server has no database of this name.
    Missing {
        /// Host, or the directory of the socket.
        host: String,
        /// Port.
        port: u16,
        /// Who may make one.
        user: String,
        /// Its name.
        name: String,
    },
    /// A commit would be acknowledged before it is safe on disk.
    NotDurable,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReached { at, cause } => write!(f, "the database at {at} cannot be reached: {cause}"),
            Self::Refused { at, cause } => write!(f, "the database at {at} refuses the connection: {cause}"),
            Self::Missing { host, port, user, name } => write!(
                f,
                "the database {name} does not exist at {host}:{port}; make it with `createdb -h {host} -p {port} -U \
                 {user} {name}`"
            ),
            Self::NotDurable => write!(
                f,
                "synchronous_commit is off in PostgreSQL: changes would be acknowledged that a crash loses; set \
                 synchronous_commit to on for this server, database or user"
            ),
        }
    }
}

impl std::error::Error for Unreachable {}

/// Waits until the database takes connections, for `wait` at most. The embedded one always does.
///
/// # Errors
/// A database that was not reached in this time, or that refuses the connection.
pub async fn reach(url: &DatabaseUrl, wait: Duration) -> Result<(), Unreachable> {
    if let DatabaseUrl::Postgres(url) = url {
        close(connect(url, wait).await?.0).await;
    }
    Ok(())
}

/// The same, and refuses a database that would acknowledge changes before they are safe on disk.
///
/// # Errors
/// As [`reach`], or such a database.
pub async fn reach_durable(url: &DatabaseUrl, wait: Duration) -> Result<(), Unreachable> {
    let DatabaseUrl::Postgres(url) = url else { return Ok(()) };
    let (mut session, address) = connect(url, wait).await?;
    // By the simple protocol, which a pooler passes on.
    let settings = "SELECT current_setting('synchronous_commit'), current_setting('fsync')";
    let settings = raw_sql(settings).fetch_one(&mut session).await.map_err(|error| address.unreachable(&error))?;
    let setting = |column: usize| settings.try_get::<String, _>(column).map_err(|error| address.unreachable(&error));
    let (synchronous_commit, fsync) = (setting(0)?, setting(1)?);
    close(session).await;
    if fsync == "off" {
        tracing::warn!("fsync is off in PostgreSQL: a crash of its machine loses acknowledged changes, or all data");
    }
    if synchronous_commit == "off" { Err(Unreachable::NotDurable) } else { Ok(()) }
}

/// A session, which is waited for as long as `wait`.
///
/// # Errors
/// As [`reach`].
pub(super) async fn session(url: &Secret, wait: Duration) -> Result<PgConnection, Unreachable> {
    Ok(connect(url, wait).await?.0)
}

async fn close(session: PgConnection) {
    // The answer is known already; a session that does not end well ends all the same.
    let _closed = session.close().await;
}

/// Where a database is, as far as it may be shown.
struct Address {
    host: String,
    port: u16,
    user: String,
    name: String,
}

/// Why a try failed.
enum ConnectError {
    /// The next one may succeed.
    Transient(String),
    /// None will.
    Final(Unreachable),
}

impl Address {
    fn of(options: &PgConnectOptions) -> Self {
        let socket = options.get_socket().map(|directory| directory.display().to_string());
        let user = options.get_username().to_owned();
        Self {
            host: socket.unwrap_or_else(|| options.get_host().to_owned()),
            port: options.get_port(),
            name: options.get_database().unwrap_or(&user).to_owned(),
            user,
        }
    }

    fn at(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    fn unreachable(&self, error: &Error) -> Unreachable {
        match self.classify(error) {
            ConnectError::Transient(cause) => Unreachable::NotReached { at: self.at(), cause },
            ConnectError::Final(unreachable) => unreachable,
        }
    }

    fn classify(&self, error: &Error) -> ConnectError {
        let refused = |cause: String| ConnectError::Final(Unreachable::Refused { at: self.at(), cause });
        match error {
            Error::Io(error) => ConnectError::Transient(match error.kind() {
                io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
                io::ErrorKind::UnexpectedEof => "the connection was closed".to_owned(),
                _ => error.to_string(),
            }),
            Error::Database(error) => match error.code().as_deref() {
                Some(code) if TRANSIENT.contains(&code) || code.starts_with("08") => {
                    ConnectError::Transient(error.message().to_owned())
                }
                Some("3D000") => ConnectError::Final(Unreachable::Missing {
                    host: self.host.clone(),
                    port: self.port,
                    user: self.user.clone(),
                    name: self.name.clone(),
                }),
                _ => refused(error.message().to_owned()),
            },
            error => refused(error.to_string()),
        }
    }
}

async fn connect(url: &Secret, wait: Duration) -> Result<(PgConnection, Address), Unreachable> {
    // The configuration has checked it. It may hold a password, so it is not shown.
    let options: PgConnectOptions = url.reveal().parse().map_err(|_| Unreachable::Refused {
        at: "the configured address".to_owned(),
        cause: "it is not valid".to_owned(),
    })?;
    // A pooler may refuse the parameter, and no float is read here.
    let options = options.extra_float_digits(None).disable_statement_logging();
    let address = Address::of(&options);
    let mut retry = Retry::for_at_most(wait);
    loop {
        let timeout = if wait.is_zero() { CONNECT_TIMEOUT } else { CONNECT_TIMEOUT.min(retry.remaining()) };
        let error = match tokio::time::timeout(timeout, options.connect()).await {
            Ok(Ok(session)) => return Ok((session, address)),
            Ok(Err(error)) => address.classify(&error),
            Err(_) => ConnectError::Transient(format!("no answer within {} s", timeout.as_secs_f32().ceil())),
        };
        let cause = match error {
            ConnectError::Transient(cause) => cause,
            ConnectError::Final(unreachable) => return Err(unreachable),
        };
        let log = |seconds| {
            tracing::warn!(
                host = address.host,
                port = address.port,
                cause,
                seconds,
                "the database cannot be reached yet"
            );
        };
        if !retry.pause(RETRY_INTERVAL, log).await {
            return Err(Unreachable::NotReached { at: address.at(), cause });
        }
    }
}
