//! The database: where it is, what stands in front of it, who migrates it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    database_url::DatabaseUrl,
    variables::{FILE, SecretName, Variables, duration, path},
};

const MAX_DATABASE_WAIT: Duration = Duration::from_secs(3600);

/// What stands between the service and PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooler {
    /// Nothing, or a pooler that gives each connection a session of its own: PgBouncer with `pool_mode=session`.
    None,
    /// PgBouncer with `pool_mode=transaction`: nothing outlives a transaction, not even a prepared statement.
    Transaction,
    /// The same from version 1.21 on with `max_prepared_statements`: prepared statements outlive it.
    TransactionPrepared,
}

impl Pooler {
    /// Whether a session is kept for the length of a transaction only.
    #[must_use]
    pub fn shares_sessions(self) -> bool {
        self != Self::None
    }
}

/// What to do at start about a database that is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migrate {
    /// Bring it up to date.
    Auto,
    /// Refuse to start.
    Check,
}

/// As read: `None` after a mistake.
pub(super) struct Database {
    pub(super) data_dir: Option<PathBuf>,
    pub(super) url: Option<DatabaseUrl>,
    /// Also `None` where it is not set.
    pub(super) read_url: Option<DatabaseUrl>,
    pub(super) connections: Option<u16>,
    pub(super) pooler: Option<Pooler>,
    /// Also `None` where it is not set.
    pub(super) migrate_url: Option<DatabaseUrl>,
    pub(super) wait: Option<Duration>,
    pub(super) migrate: Option<Migrate>,
}

impl Database {
    pub(super) fn read(env: &mut Variables<'_>) -> Self {
        env.about("Database");
        let meaning = "directory of the SQLite file (with `-wal`, `-shm`, `.lock` and `.keys` beside it) and the development \
                       secret";
        let data_dir = env.value("CRM_DATA_DIR", "data", meaning, path);
        let default_file = data_dir.as_deref().unwrap_or(Path::new("data")).join("crm.db");
        Self {
            data_dir,
            url: env.secret_or(
                SecretName { name: "CRM_DATABASE_URL", file: "CRM_DATABASE_URL_FILE" },
                &format!("sqlite://{}", default_file.display()),
                (
                    "`sqlite://FILE` (by default `crm.db` in `CRM_DATA_DIR`), or `postgres://USER:PASSWORD@HOST:PORT/NAME` with \
                     `@ : / ? # [ ] %` percent-encoded in user, password and name, and `?sslmode=` where it is on another machine",
                    "file with it, see [Secrets](#secrets)",
                ),
                str::parse,
            ),
            read_url: read_url(env),
            connections: env.value(
                "CRM_DATABASE_CONNECTIONS",
                "24",
                "maximum connections to PostgreSQL, 3 to 1000: one probes, a third of the others reads, the rest write",
                connections,
            ),
            pooler: env.value(
                "CRM_DATABASE_POOLER",
                "none",
                "what is in front of PostgreSQL: `none`, or PgBouncer with `pool_mode` `session`, `transaction`, or \
                 `transaction-prepared`",
                pooler,
            ),
            migrate_url: env.secret(
                SecretName { name: "CRM_MIGRATE_URL", file: "CRM_MIGRATE_URL_FILE" },
                (
                    "the same PostgreSQL database, for the schema: a direct address where `CRM_DATABASE_URL` leads through \
                     PgBouncer",
                    FILE,
                ),
                postgres_url,
            ),
            wait: env.value(
                "CRM_DATABASE_WAIT",
                "30s",
                "how long to wait at start for PostgreSQL, and for another process's migration; `0s`: not at all; at most `1h`",
                |text| duration(text, MAX_DATABASE_WAIT),
            ),
            migrate: env.value(
                "CRM_MIGRATE",
                "auto",
                "a database that is behind is migrated (`auto`) or refused (`check`)",
                when_behind,
            ),
        }
    }

    pub(super) fn check(&self, env: &mut Variables<'_>) {
        if !matches!(self.url, Some(DatabaseUrl::Sqlite(_))) {
            return;
        }
        if self.migrate_url.is_some() {
            env.mistake("CRM_MIGRATE_URL: is for a CRM_DATABASE_URL that begins with postgres://");
        }
        if self.read_url.is_some() {
            env.mistake(
                "CRM_DATABASE_READ_URL: is for a CRM_DATABASE_URL that begins with postgres://; SQLite has no standbys",
            );
        }
    }
}

/// A standby where requests are read.
fn read_url(env: &mut Variables<'_>) -> Option<DatabaseUrl> {
    env.secret(
                SecretName { name: "CRM_DATABASE_READ_URL", file: "CRM_DATABASE_READ_URL_FILE" },
                (
                    "a streaming standby of the same PostgreSQL database, or several behind one address, where requests are read that \
                     need not see the newest: see [Standbys](#standbys); as many connections again as read, not through a pooler that \
                     shares sessions",
                    FILE,
                ),
                postgres_url,
            )
}

/// The file beside another one, with `suffix` behind its name.
#[must_use]
pub fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn connections(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(connections @ 3..=1000) => Ok(connections),
        _ => Err("must be 3 to 1000 connections".to_owned()),
    }
}

fn when_behind(text: &str) -> Result<Migrate, String> {
    match text {
        "auto" => Ok(Migrate::Auto),
        "check" => Ok(Migrate::Check),
        _ => Err("must be auto or check".to_owned()),
    }
}

fn pooler(text: &str) -> Result<Pooler, String> {
    match text {
        "none" | "session" => Ok(Pooler::None),
        "transaction" => Ok(Pooler::Transaction),
        "transaction-prepared" => Ok(Pooler::TransactionPrepared),
        _ => Err("must be none, session, transaction or transaction-prepared".to_owned()),
    }
}

fn postgres_url(text: &str) -> Result<DatabaseUrl, String> {
    match text.parse() {
        Ok(DatabaseUrl::Sqlite(_)) => Err("must begin with postgres://".to_owned()),
        url => url,
    }
}
