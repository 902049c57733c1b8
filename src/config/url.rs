//! Addresses of what the service speaks to. They may hold passwords.

use std::{fmt, path::PathBuf, str::FromStr};

use sea_orm::sqlx::postgres::PgConnectOptions;

/// A value that must not be seen in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a secret.
    #[must_use]
    pub fn new(secret: String) -> Self {
        Self(secret)
    }

    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where the data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A file, made when missing.
    Sqlite(PathBuf),
    /// A PostgreSQL database; the address may hold a password.
    Postgres(Secret),
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return check_postgres(url).map(|()| Self::Postgres(Secret::new(url.to_owned())));
        }
        let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"));
        let path = path.and_then(|path| path.split('?').next()).unwrap_or_default();
        match path {
            "" => Err("must begin with sqlite:// and name a file, or with postgres://".to_owned()),
            ":memory:" => Err("must name a file: a database in memory loses every accepted write".to_owned()),
            path => Ok(Self::Sqlite(PathBuf::from(path))),
        }
    }
}

/// What is said of an address that cannot be read. What is wrong with it is not repeated: it may hold a password, and what
/// of it is one is not known where the parts of the address are not.
const POSTGRES: &str = "must be postgres://USER:PASSWORD@HOST:PORT/NAME; in user, password and name these characters must \
                        be percent-encoded: @ : / ? # [ ] %";

/// The parameters of an address that mean something; others would be passed over, and logged with their values.
const PARAMETERS: [&str; 18] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

/// Refuses an address that cannot be read, and one that can be read otherwise than it was meant: a password that holds
/// one of `/ ? #` ends the host and port, and its rest would be taken for the name, a parameter or a fragment.
fn check_postgres(url: &str) -> Result<(), String> {
    let (_, address) = url.split_once("://").ok_or(POSTGRES)?;
    let rest = address.find(['/', '?']).map_or("", |at| address.split_at(at).1);
    let (name, query) = rest.split_once('?').unwrap_or((rest, ""));
    if address.contains('#') || rest.contains('@') || name.trim_start_matches('/').contains('/') {
        return Err(POSTGRES.to_owned());
    }
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let key = parameter.split('=').next().unwrap_or_default();
        let setting = key.strip_prefix("options[").and_then(|setting| setting.strip_suffix(']'));
        let is_name = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        let known = PARAMETERS.contains(&key) || setting.is_some_and(|setting| !setting.is_empty() && is_name(setting));
        match known {
            false if is_name(key) && !key.is_empty() => return Err(format!("the parameter {key} is not known")),
            false => return Err(POSTGRES.to_owned()),
            true if format!("postgres:///?{parameter}").parse::<PgConnectOptions>().is_err() => {
                return Err(format!("the parameter {key} is not valid"));
            }
            true => {}
        }
    }
    url.parse::<PgConnectOptions>().map(drop).map_err(|_| POSTGRES.to_owned())
}

/// Where the broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventsUrl {
    /// RabbitMQ, at an AMQP 0-9-1 address, which may hold a password.
    Amqp(Secret),
    /// Kafka: its first brokers, `host:port,…`.
    #[cfg(feature = "kafka")]
    Kafka(String),
}

impl FromStr for EventsUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        match url.split_once("://") {
            // What is wrong with it is not repeated: it may hold a password.
            Some(("amqp", _)) if url.parse::<lapin::uri::AMQPUri>().is_ok() => {
                Ok(Self::Amqp(Secret::new(url.to_owned())))
            }
            #[cfg(feature = "kafka")]
            Some(("kafka", brokers)) if brokers.split(',').all(is_address) => Ok(Self::Kafka(brokers.to_owned())),
            #[cfg(not(feature = "kafka"))]
            Some(("kafka", _)) => Err("this program was built without the feature kafka".to_owned()),
            _ => Err("must be amqp://USER:PASSWORD@HOST:PORT/VHOST or kafka://HOST:PORT,…".to_owned()),
        }
    }
}

#[cfg(feature = "kafka")]
fn is_address(text: &str) -> bool {
    let parts = text.rsplit_once(':');
    parts.is_some_and(|(host, port)| !host.is_empty() && !host.contains(['/', '@']) && port.parse::<u16>().is_ok())
}
