//! Reaching PostgreSQL at start: what is not there yet is waited for, what is wrong is said at once.
//!
//! The connections that are made here are for looking only, one after another; the service's own are made in
//! [`super::connect`]. What is said names host, port, user and database, and never the address as it was configured.

use std::{fmt, io, time::Duration};

use sea_orm::sqlx::{
    ConnectOptions as _, Connection as _, Error, Row as _,
    postgres::{PgConnectOptions, PgConnection},
    raw_sql,
};

use super::wait::Wait;
use crate::config::{DatabaseUrl, Secret};

/// How long one try may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait before the next.
const PAUSE: Duration = Duration::from_millis(500);

/// PostgreSQL is there but takes no connections yet: too many connections, starting up or shutting down. A pooler in front
/// of one says so by a connection exception (class 08).
const NOT_YET: [&str; 2] = ["53300", "57P03"];

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

/// Waits until the database takes connections, for so long at most. The embedded one always does.
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
    let (mut session, place) = connect(url, wait).await?;
    // As the simple protocol, which a pooler passes on.
    let settings = "SELECT current_setting('synchronous_commit'), current_setting('fsync')";
    let look = raw_sql(settings).fetch_one(&mut session);
    let settings = look.await.map_err(|error| place.fault(&error))?;
    let setting = |column: usize| settings.try_get::<String, _>(column).map_err(|error| place.fault(&error));
    let (synchronous_commit, fsync) = (setting(0)?, setting(1)?);
    close(session).await;
    if fsync == "off" {
        tracing::warn!("fsync is off in PostgreSQL: a crash of its machine loses acknowledged changes, or all data");
    }
    if synchronous_commit == "off" { Err(Unreachable::NotDurable) } else { Ok(()) }
}

async fn close(session: PgConnection) {
    // What was looked for is known; a session that does not end well ends all the same.
    let _closed = session.close().await;
}

/// Where a database is, as far as it may be shown.
struct Place {
    host: String,
    port: u16,
    user: String,
    name: String,
}

/// Why a try failed.
enum Failure {
    /// It may be otherwise in a moment.
    NotYet(String),
    /// It will not.
    Final(Unreachable),
}

impl Place {
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

    fn fault(&self, error: &Error) -> Unreachable {
        match self.failure(error) {
            Failure::NotYet(cause) => Unreachable::NotReached { at: self.at(), cause },
            Failure::Final(unreachable) => unreachable,
        }
    }

    fn failure(&self, error: &Error) -> Failure {
        let refused = |cause: String| Failure::Final(Unreachable::Refused { at: self.at(), cause });
        match error {
            Error::Io(error) => Failure::NotYet(match error.kind() {
                io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
                io::ErrorKind::UnexpectedEof => "the connection was closed".to_owned(),
                _ => error.to_string(),
            }),
            Error::Database(error) => match error.code().as_deref() {
                Some(code) if NOT_YET.contains(&code) || code.starts_with("08") => {
                    Failure::NotYet(error.message().to_owned())
                }
                Some("3D000") => Failure::Final(Unreachable::Missing {
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

async fn connect(url: &Secret, wait: Duration) -> Result<(PgConnection, Place), Unreachable> {
    // The configuration was read only because this can be; what cannot is not shown.
    let options: PgConnectOptions = url.reveal().parse().map_err(|_| Unreachable::Refused {
        at: "the configured address".to_owned(),
        cause: "it is not valid".to_owned(),
    })?;
    // A pooler may refuse the parameter, and no number with a fraction is read here.
    let options = options.extra_float_digits(None).disable_statement_logging();
    let place = Place::of(&options);
    let mut waiting = Wait::at_most(wait);
    loop {
        let patience = if wait.is_zero() { PATIENCE } else { PATIENCE.min(waiting.left()) };
        let failure = match tokio::time::timeout(patience, options.connect()).await {
            Ok(Ok(session)) => return Ok((session, place)),
            Ok(Err(error)) => place.failure(&error),
            Err(_) => Failure::NotYet(format!("no answer within {} s", patience.as_secs_f32().ceil())),
        };
        let cause = match failure {
            Failure::NotYet(cause) => cause,
            Failure::Final(unreachable) => return Err(unreachable),
        };
        let tell = |seconds| {
            tracing::warn!(host = place.host, port = place.port, cause, seconds, "the database cannot be reached yet");
        };
        if !waiting.pause(PAUSE, tell).await {
            return Err(Unreachable::NotReached { at: place.at(), cause });
        }
    }
}
