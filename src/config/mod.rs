//! The configuration: every variable stands once, in [`Config::read`], with its default and its meaning.
//!
//! All mistakes are reported together, by the variable's name. `crm serve --help` prints the list by reading an empty
//! environment and keeping what was asked for.

mod url;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

pub use url::{DatabaseUrl, EventsUrl, Secret};

use crate::{
    pii::{keys::PiiKeys, normal::Country},
    telemetry::LogFormat,
    values::{ContractValue, Currency, Tenant},
};

/// What the service is told from outside. Secrets in it print as `***`.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address to listen on.
    pub host: IpAddr,
    /// The port to listen on; 0 lets the system choose.
    pub port: u16,
    /// Where probes and metrics are served, apart from the requests.
    pub metrics_addr: Option<SocketAddr>,
    /// How long the service goes on serving, no longer ready, after it was told to stop.
    pub lame_duck: Duration,
    /// The directory of the SQLite file and the development secret.
    pub data_dir: PathBuf,
    /// The database.
    pub database_url: DatabaseUrl,
    /// The most connections to PostgreSQL at a time.
    pub database_connections: u16,
    /// What stands between the service and PostgreSQL.
    pub database_pooler: Pooler,
    /// The same PostgreSQL database at an address for migrations, where `database_url` leads through a pooler.
    pub migrate_url: Option<DatabaseUrl>,
    /// How long a database that cannot be reached yet, and another process's migration, are waited for at start.
    pub database_wait: Duration,
    /// The tenant of a request that names none.
    pub default_tenant: Tenant,
    /// The currency of an opportunity that names none.
    pub default_currency: Currency,
    /// What tokens are signed with.
    pub jwt_key: JwtKey,
    /// The `iss` that a token must have.
    pub jwt_issuer: Option<String>,
    /// The `aud` that a token must name.
    pub jwt_audience: Option<String>,
    /// Which events are logged.
    pub log: String,
    /// How they are written.
    pub log_format: LogFormat,
    /// The largest request body, in bytes.
    pub body_limit: usize,
    /// What to do at start about a database that is behind.
    pub migrate: Migrate,
    /// Who sees phone numbers and e-mail addresses in clear.
    pub pii_display: PiiDisplay,
    /// What phone numbers and e-mail addresses are sealed with.
    pub pii_keys: PiiKeySource,
    /// Whether they are stored sealed.
    pub pii_encryption: bool,
    /// The country by whose rules phone numbers without a country are read, to find them.
    pub phone_country: Country,
    /// How many days audit entries are kept.
    pub audit_retention_days: u16,
    /// How many days events are kept.
    pub events_retention_days: u16,
    /// The broker that events are published to and taken from; without one they can be read over HTTP alone.
    pub events_url: Option<EventsUrl>,
    /// Whether `crm serve` speaks to the broker, or leaves that to `crm relay`.
    pub events_relay: bool,
    /// How many days the request ids of accepted requests are kept.
    pub idempotency_retention_days: u16,
}

/// What stands between the service and PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooler {
    /// Nothing, or what gives each connection a session of its own: PgBouncer with `pool_mode=session`.
    None,
    /// PgBouncer with `pool_mode=transaction`: nothing outlives a transaction, prepared statements neither.
    Transaction,
    /// The same from version 1.21 on with `max_prepared_statements`: prepared statements do.
    TransactionPrepared,
}

impl Pooler {
    /// Whether only a transaction stays with its session.
    #[must_use]
    pub fn shares_sessions(self) -> bool {
        self != Self::None
    }
}

/// Where the keys are that personal data is sealed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PiiKeySource {
    /// In the environment.
    Given(PiiKeys),
    /// In a file.
    File(PathBuf),
    /// Nothing was said: beside the embedded database, made when missing.
    Embedded(PathBuf),
    /// Nothing was said, and the database is not the embedded one.
    NotConfigured,
}

/// What tokens are signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwtKey {
    /// A shared secret: HS256.
    Secret(Secret),
    /// A PEM file with the issuer's public key: RS256 or PS256, ES256, EdDSA, as the key is.
    PublicKeyFile(PathBuf),
    /// Nothing was said: a development secret, only on a loopback address.
    Development,
}

/// What to do at start about a database that is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migrate {
    /// Bring it up to date.
    Auto,
    /// Refuse to start.
    Check,
}

/// Who sees phone numbers and e-mail addresses in clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PiiDisplay {
    /// Tokens with the scope `crm:pii:read`; everybody else sees them masked.
    Scoped,
    /// Everybody: the platform masks elsewhere.
    Clear,
}

/// A variable, for the list in `crm serve --help`.
#[derive(Debug, Clone)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Its value where none is set; empty where there is none.
    pub default: String,
    /// What it does.
    pub meaning: &'static str,
}

/// Everything that is wrong with the environment, a line each.
#[derive(Debug)]
pub struct Mistakes(Vec<String>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the environment is not valid:")?;
        self.0.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

impl std::error::Error for Mistakes {}

/// Reads variables, keeping the list of them and of the mistakes.
struct Reader<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
    variables: Vec<Variable>,
    mistakes: Vec<String>,
}

impl Reader<'_> {
    /// The value of a variable, or of its default. `None` after a mistake, which is noted.
    fn value<T>(
        &mut self,
        name: &'static str,
        default: &str,
        meaning: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.variables.push(Variable { name, default: default.to_owned(), meaning });
        let text = self.set(name).unwrap_or_else(|| default.to_owned());
        self.parsed(name, &text, parse)
    }

    /// The value of a variable that may be missing. `None` where it is, and after a mistake.
    fn optional<T>(
        &mut self,
        name: &'static str,
        meaning: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.variables.push(Variable { name, default: String::new(), meaning });
        self.set(name).and_then(|text| self.parsed(name, &text, parse))
    }

    /// An empty variable counts as not set.
    fn set(&self, name: &str) -> Option<String> {
        (self.get)(name).filter(|text| !text.is_empty())
    }

    fn parsed<T>(&mut self, name: &str, text: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        parse(text).map_err(|mistake| self.mistakes.push(format!("{name}: {mistake}"))).ok()
    }
}

impl Config {
    /// Reads the configuration of this process.
    ///
    /// # Errors
    /// Every variable that is wrong, and how.
    pub fn from_env() -> Result<Self, Mistakes> {
        #[expect(clippy::disallowed_methods, reason = "this is the place where the environment is read")]
        Self::read(&|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())).0
    }

    /// The variables there are, in the order of reading.
    #[must_use]
    pub fn variables() -> Vec<Variable> {
        Self::read(&|_| None).1
    }

    /// Reads the configuration from `get`, and lists the variables asked for.
    pub fn read(get: &dyn Fn(&str) -> Option<String>) -> (Result<Self, Mistakes>, Vec<Variable>) {
        let mut env = Reader { get, variables: Vec::new(), mistakes: Vec::new() };
        let host = env.value("CRM_HOST", "127.0.0.1", "address to listen on", host);
        let port = env.optional("PORT", "port to listen on where CRM_PORT is not set", port_number);
        let port = env.value("CRM_PORT", &port.unwrap_or(8080).to_string(), "port to listen on", port_number);
        let metrics_addr = env.value(
            "CRM_METRICS_ADDR",
            "127.0.0.1:9464",
            "private address of probes and metrics, HOST:PORT, or off",
            private_address,
        );
        let lame_duck =
            env.value("CRM_LAME_DUCK", "0s", "how long to go on serving, no longer ready, once told to stop", |text| {
                duration(text, MOST_LAME_DUCK)
            });
        let data_dir =
            env.value("CRM_DATA_DIR", "data", "directory of the SQLite file and the development secret", path);
        let default_url = data_dir.as_deref().unwrap_or(Path::new("data")).join("crm.db");
        let default_url = format!("sqlite://{}", default_url.display());
        let database_url = env.value(
            "CRM_DATABASE_URL",
            &default_url,
            "database: sqlite://FILE or postgres://USER@HOST/NAME",
            str::parse,
        );
        let database_connections = env.value(
            "CRM_DATABASE_CONNECTIONS",
            "24",
            "most connections to PostgreSQL, at least 3: one looks after it, a third reads, the others write",
            connections,
        );
        let database_pooler = env.value(
            "CRM_DATABASE_POOLER",
            "none",
            "what is in front of PostgreSQL: none, or PgBouncer with pool_mode session, transaction, or transaction-prepared \
             (from 1.21 on, with max_prepared_statements)",
            |text| match text {
                "none" | "session" => Ok(Pooler::None),
                "transaction" => Ok(Pooler::Transaction),
                "transaction-prepared" => Ok(Pooler::TransactionPrepared),
                _ => Err("must be none, session, transaction or transaction-prepared".to_owned()),
            },
        );
        let migrate_url = env.optional(
            "CRM_MIGRATE_URL",
            "PostgreSQL database for migrations, where CRM_DATABASE_URL leads through PgBouncer",
            |text| match text.parse() {
                Ok(DatabaseUrl::Sqlite(_)) => Err("must begin with postgres://".to_owned()),
                url => url,
            },
        );
        let database_wait = env.value(
            "CRM_DATABASE_WAIT",
            "30s",
            "how long to wait at start for PostgreSQL, and for another process's migration",
            |text| duration(text, MOST_DATABASE_WAIT),
        );
        let default_tenant =
            env.value("CRM_DEFAULT_TENANT", "default", "tenant of a request that names none", |text| {
                Tenant::parse(text).ok_or_else(|| Tenant::EXPECTED.to_owned())
            });
        let default_currency =
            env.value("CRM_DEFAULT_CURRENCY", "CNY", "currency of an opportunity that names none", |text| {
                Currency::from_value(text.into()).map_err(String::from)
            });
        let jwt_secret = env.optional("CRM_JWT_SECRET", "shared secret of HS256 tokens, at least 32 bytes", secret);
        let jwt_file = env.optional(
            "CRM_JWT_PUBLIC_KEY_FILE",
            "PEM file with the public key of RS256, PS256, ES256 or EdDSA tokens",
            path,
        );
        let jwt_issuer = env.optional("CRM_JWT_ISSUER", "the iss that every token must have", text);
        let jwt_audience = env.optional("CRM_JWT_AUDIENCE", "the aud that every token must name", text);
        let log =
            env.value("CRM_LOG", "info", "what to log: error, warn, info, debug, trace, or a filter by module", filter);
        let log_format = env.value("CRM_LOG_FORMAT", "json", "how to log: json or text", str::parse);
        let body_limit = env.value("CRM_BODY_LIMIT", "262144", "largest request body in bytes", body_limit);
        let migrate = env.value(
            "CRM_MIGRATE",
            "auto",
            "a database that is behind is migrated (auto) or refused (check)",
            |text| match text {
                "auto" => Ok(Migrate::Auto),
                "check" => Ok(Migrate::Check),
                _ => Err("must be auto or check".to_owned()),
            },
        );
        let pii_display = env.value(
            "CRM_PII_DISPLAY",
            "scoped",
            "phones and e-mails in replies: masked without the scope crm:pii:read (scoped), or never (clear)",
            |text| match text {
                "scoped" => Ok(PiiDisplay::Scoped),
                "clear" => Ok(PiiDisplay::Clear),
                _ => Err("must be scoped or clear".to_owned()),
            },
        );

        let pii_keys_given = env.optional(
            "CRM_PII_KEYS",
            "keys that phones and e-mails are sealed with, id:base64, …: the first seals, all open",
            |text| text.parse::<PiiKeys>(),
        );
        let pii_keys_file = env.optional("CRM_PII_KEYS_FILE", "file with these keys", path);
        let pii_encryption = env.value(
            "CRM_PII_ENCRYPTION",
            "on",
            "phones and e-mails are stored sealed (on) or in clear (off)",
            on_or_off,
        );
        let phone_country = env.value(
            "CRM_PHONE_COUNTRY",
            "CN",
            "country by whose rules a phone without + or 00 is read when it is searched for",
            str::parse,
        );
        let audit_retention_days =
            env.value("CRM_AUDIT_RETENTION_DAYS", "180", "days that audit entries are kept, at least 180", |text| {
                days(text, 180)
            });
        let idempotency_retention_days = env.value(
            "CRM_IDEMPOTENCY_RETENTION_DAYS",
            "30",
            "days that the ids of accepted requests and of events taken are kept, at least 1",
            |text| days(text, 1),
        );
        let events_retention_days =
            env.value("CRM_EVENTS_RETENTION_DAYS", "7", "days that events are kept, at least 1", |text| days(text, 1));
        let events_url = env.optional(
            "CRM_EVENTS_URL",
            "broker for events: amqp://USER:PASSWORD@HOST/VHOST or kafka://HOST:PORT; without it they are read over HTTP",
            str::parse,
        );
        let events_relay = env.value(
            "CRM_EVENTS_RELAY",
            "on",
            "crm serve speaks to the broker (on), or leaves that to crm relay (off)",
            on_or_off,
        );
        if let (Some(_), Some(DatabaseUrl::Sqlite(_))) = (&migrate_url, &database_url) {
            env.mistakes.push("CRM_MIGRATE_URL: is for a CRM_DATABASE_URL that begins with postgres://".to_owned());
        }
        if pii_keys_given.is_some() && pii_keys_file.is_some() {
            env.mistakes.push("CRM_PII_KEYS, CRM_PII_KEYS_FILE: set one of the two, not both".to_owned());
        }
        let pii_keys = match (pii_keys_given, pii_keys_file, &database_url) {
            (Some(keys), ..) => PiiKeySource::Given(keys),
            (None, Some(file), _) => PiiKeySource::File(file),
            (None, None, Some(DatabaseUrl::Sqlite(file))) => PiiKeySource::Embedded(beside(file, ".keys")),
            (None, None, _) => PiiKeySource::NotConfigured,
        };

        let jwt_key = match (jwt_secret, jwt_file) {
            (Some(_), Some(_)) => {
                env.mistakes.push("CRM_JWT_SECRET, CRM_JWT_PUBLIC_KEY_FILE: set one of the two, not both".to_owned());
                None
            }
            (Some(secret), None) => Some(JwtKey::Secret(secret)),
            (None, Some(file)) => Some(JwtKey::PublicKeyFile(file)),
            (None, None) => {
                let not_set = env.set("CRM_JWT_SECRET").is_none() && env.set("CRM_JWT_PUBLIC_KEY_FILE").is_none();
                if not_set && host.is_some_and(|host| !host.is_loopback()) {
                    env.mistakes.push(
                        "CRM_JWT_SECRET or CRM_JWT_PUBLIC_KEY_FILE: one is needed where CRM_HOST is not a loopback address"
                            .to_owned(),
                    );
                }
                Some(JwtKey::Development)
            }
        };

        let Reader { variables, mistakes, .. } = env;
        let config = (|| {
            Some(Self {
                host: host?,
                port: port?,
                metrics_addr: metrics_addr?,
                lame_duck: lame_duck?,
                data_dir: data_dir?,
                database_url: database_url?,
                database_connections: database_connections?,
                database_pooler: database_pooler?,
                migrate_url,
                database_wait: database_wait?,
                default_tenant: default_tenant?,
                default_currency: default_currency?,
                jwt_key: jwt_key?,
                jwt_issuer,
                jwt_audience,
                log: log?,
                log_format: log_format?,
                body_limit: body_limit?,
                migrate: migrate?,
                pii_display: pii_display?,
                pii_keys,
                pii_encryption: pii_encryption?,
                phone_country: phone_country?,
                audit_retention_days: audit_retention_days?,
                events_retention_days: events_retention_days?,
                events_url,
                events_relay: events_relay?,
                idempotency_retention_days: idempotency_retention_days?,
            })
        })();
        match config {
            Some(config) if mistakes.is_empty() => (Ok(config), variables),
            _ => (Err(Mistakes(mistakes)), variables),
        }
    }

    /// The address to listen on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }

    /// The database as migrations reach it.
    #[must_use]
    pub fn schema_url(&self) -> &DatabaseUrl {
        self.migrate_url.as_ref().unwrap_or(&self.database_url)
    }
}

/// The longest that may be asked for by `CRM_LAME_DUCK`.
const MOST_LAME_DUCK: Duration = Duration::from_secs(600);
/// The longest that may be asked for by `CRM_DATABASE_WAIT`.
const MOST_DATABASE_WAIT: Duration = Duration::from_secs(3600);

fn host(text: &str) -> Result<IpAddr, String> {
    match text {
        "localhost" => Ok(Ipv4Addr::LOCALHOST.into()),
        text => text.parse().map_err(|_| "must be an IP address or localhost".to_owned()),
    }
}

fn port_number(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "must be a port, 0 to 65535".to_owned())
}

/// `off`, or where to listen.
fn private_address(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "off" {
        return Ok(None);
    }
    let parts = text.rsplit_once(':').and_then(|(name, port)| {
        let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        Some(SocketAddr::new(host(name).ok()?, port.parse().ok()?))
    });
    parts.map(Some).ok_or_else(|| "must be HOST:PORT, where HOST is an IP address or localhost, or off".to_owned())
}

fn duration(text: &str, most: Duration) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= most => Ok(duration),
        _ => Err(format!("must be a time like 5s, at most {}", humantime::format_duration(most))),
    }
}

fn path(text: &str) -> Result<PathBuf, String> {
    Ok(PathBuf::from(text))
}

fn text(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

fn secret(text: &str) -> Result<Secret, String> {
    // A public key is no secret: whoever has it could sign with it (RFC 8725, section 2.1).
    if text.trim_start().starts_with("-----BEGIN") {
        return Err("is a PEM key; name its file in CRM_JWT_PUBLIC_KEY_FILE".to_owned());
    }
    match text.len() {
        ..32 => Err("must be at least 32 bytes".to_owned()),
        _ => Ok(Secret::new(text.to_owned())),
    }
}

fn filter(text: &str) -> Result<String, String> {
    crate::telemetry::check_filter(text).map(|()| text.to_owned())
}

fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("must be on or off".to_owned()),
    }
}

fn connections(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(connections @ 3..=1000) => Ok(connections),
        _ => Err("must be 3 to 1000 connections".to_owned()),
    }
}

fn days(text: &str, least: u16) -> Result<u16, String> {
    match text.parse() {
        Ok(days) if days >= least => Ok(days),
        _ => Err(format!("must be {least} to {} days", u16::MAX)),
    }
}

/// The file beside another one, with `suffix` behind its name.
#[must_use]
pub fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn body_limit(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(limit @ 1024..=16_777_216) => Ok(limit),
        _ => Err("must be 1024 to 16777216 bytes".to_owned()),
    }
}
