//! What a database says of itself, for operators.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::sqlx::{
    AssertSqlSafe, Connection as _, Error, PgConnection, Row as _, SqliteConnection, postgres::PgRow, raw_sql,
    sqlite::SqliteConnectOptions,
};

use super::reach::{self, Unreachable};
use crate::config::DatabaseUrl;

/// What a database says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The program and its version.
    pub version: String,
    /// Settings that matter to the service, by name.
    pub settings: Vec<(&'static str, String)>,
    /// The size of the data, in bytes.
    pub size: u64,
    /// The time by its clock, where it has one of its own.
    pub clock: Option<DateTime<Utc>>,
}

impl Facts {
    /// What this setting is.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

/// The version of the SQLite that is built in.
///
/// # Errors
/// A fault of SQLite.
pub async fn sqlite_version() -> Result<String, Error> {
    let mut connection = SqliteConnection::connect("sqlite::memory:").await?;
    raw_sql("SELECT sqlite_version()").fetch_one(&mut connection).await?.try_get(0)
}

/// The settings of PostgreSQL that are shown.
const SETTINGS: [&str; 5] =
    ["synchronous_commit", "fsync", "full_page_writes", "max_connections", "default_transaction_read_only"];

/// Asks the database, which is waited for as long as `wait`. Nothing is written.
///
/// # Errors
/// A database that cannot be reached, or does not answer.
pub async fn facts(url: &DatabaseUrl, wait: Duration) -> Result<Facts, Box<dyn std::error::Error + Send + Sync>> {
    match url {
        DatabaseUrl::Postgres(url) => Ok(postgres(reach::session(url, wait).await?).await?),
        DatabaseUrl::Sqlite(file) => {
            let version = format!("SQLite {}", sqlite_version().await?);
            if !file.exists() {
                return Ok(Facts { version, settings: Vec::new(), size: 0, clock: None });
            }
            let options = SqliteConnectOptions::new().filename(file).read_only(true);
            let mut connection = SqliteConnection::connect_with(&options).await?;
            let mode: String = raw_sql("PRAGMA journal_mode").fetch_one(&mut connection).await?.try_get(0)?;
            connection.close().await?;
            let settings = vec![("journal_mode", mode)];
            Ok(Facts { version, settings, size: file.metadata()?.len(), clock: None })
        }
    }
}

async fn postgres(mut session: PgConnection) -> Result<Facts, Unreachable> {
    let settings = SETTINGS.map(|name| format!("current_setting('{name}')")).join(", ");
    let ask = format!(
        "SELECT current_setting('server_version'), pg_database_size(current_database())::text, \
         (extract(epoch FROM clock_timestamp()) * 1000)::bigint::text, {settings}"
    );
    let answer = raw_sql(AssertSqlSafe(ask)).fetch_one(&mut session).await;
    let _closed = session.close().await;
    let read = |row: PgRow| {
        let text = |column: usize| row.try_get::<String, _>(column);
        let values = (3..).zip(SETTINGS).map(|(column, name)| Ok((name, text(column)?)));
        Ok::<_, Error>(Facts {
            version: format!("PostgreSQL {}", text(0)?),
            size: text(1)?.parse().unwrap_or_default(),
            clock: text(2)?.parse().ok().and_then(DateTime::from_timestamp_millis),
            settings: values.collect::<Result<_, Error>>()?,
        })
    };
    answer
        .and_then(read)
        .map_err(|error| Unreachable::NotReached { at: "the configured address".to_owned(), cause: error.to_string() })
}
