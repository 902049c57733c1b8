//! The configuration, from environment variables: each stands once, in the file of its section, with its default and its
//! meaning.
//!
//! All mistakes are reported together, by the variable's name. `crm serve --help` and the table in `delivery/README.md` are
//! made by reading an empty environment; `crm config show` by reading that of the process.
//!
//! | file | what |
//! |---|---|
//! | [`variables`], [`unknown`] | how a variable is read, listed and found wrong · names that are no variable |
//! | [`server`], [`logs`], [`defaults`] | where the service listens · what it logs · what stands in for what a request leaves out |
//! | [`database`](mod@database), [`database_url`], [`retention`] | the database · its address · how long history is kept |
//! | [`auth`], [`platform`] | how tokens are verified · how the platform is asked about them |
//! | [`pii`], [`events`] | personal data · the broker |
//! | [`traces`] | where spans go, by the standard variables of OpenTelemetry |
//! | [`rates`], [`browsers`] | how much a tenant and a caller may ask for · whose pages may ask |
//! | [`demo`] | what of all that holds for `crm demo` |
//! | [`events_url`], [`ca_file`] | the broker's address · whose certificates are trusted |
//! | [`secret`], [`pii_keys`], [`country`], [`secret_file`] | the values in them · files that hold a secret |

mod auth;
mod browsers;
mod ca_file;
mod country;
mod database;
mod database_url;
mod defaults;
mod demo;
mod events;
mod events_url;
mod logs;
mod pii;
mod pii_keys;
mod platform;
mod rates;
mod retention;
mod secret;
pub mod secret_file;
mod server;
mod traces;
mod unknown;
mod variables;

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;

pub use auth::{AuthConfig, ScopePolicy, Tenancy, TokenKeys, development_secret_file};
pub use browsers::CorsOrigins;
pub use ca_file::CaFile;
pub use country::Country;
pub use database::{Migrate, Pooler, beside};
pub use database_url::DatabaseUrl;
pub use demo::DemoConfig;
pub use events_url::{AmqpAddress, EventsUrl, KafkaAddress, KafkaLogin, KafkaTls};
pub use pii::{PiiDisplay, PiiKeySource};
pub use pii_keys::{KeyId, PiiKey, PiiKeys};
pub use platform::{Introspection, PlatformAccess, is_allowed};
pub use rates::Rate;
pub use secret::{Masked, Secret};
pub use variables::{Mistakes, Source, Variable};

use crate::{
    telemetry::{LogFormat, span_export::TraceExport},
    values::{Currency, Tenant},
};

/// The configuration of the service. Secrets in it print as `***`.
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
    /// How long a connection is kept between requests.
    pub keep_alive: Duration,
    /// The maximum number of connections of one address; where it is not set, a share of all.
    pub connections_per_peer: Option<usize>,
    /// Addresses without that limit.
    pub trusted_proxies: Vec<IpNet>,
    /// The maximum number of requests that are answered at once.
    pub requests_in_flight: usize,
    /// The directory of the SQLite file and the development secret.
    pub data_dir: PathBuf,
    /// The database.
    pub database_url: DatabaseUrl,
    /// A standby of the same PostgreSQL database, where requests are read that need not see the newest.
    pub database_read_url: Option<DatabaseUrl>,
    /// The maximum number of connections to PostgreSQL.
    pub database_connections: u16,
    /// What stands between the service and PostgreSQL.
    pub database_pooler: Pooler,
    /// The same PostgreSQL database at an address for migrations, where `database_url` leads through a pooler.
    pub migrate_url: Option<DatabaseUrl>,
    /// How long to wait at start for PostgreSQL, and for another process's migration.
    pub database_wait: Duration,
    /// The tenant of a request that names none.
    pub default_tenant: Tenant,
    /// The currency of an amount that names none.
    pub default_currency: Currency,
    /// How tokens are verified.
    pub auth: AuthConfig,
    /// What is logged: a filter by level and module.
    pub log: String,
    /// How log events are written.
    pub log_format: LogFormat,
    /// Where spans go; without it there are no traces but the ids in headers, logs and the audit trail.
    pub traces: Option<TraceExport>,
    /// The largest request body, in bytes.
    pub body_limit: usize,
    /// Which pages may use the service from a browser.
    pub cors_origins: CorsOrigins,
    /// The requests that a tenant may send in a time; further ones are refused.
    pub tenant_rate: Option<Rate>,
    /// The same of a caller.
    pub caller_rate: Option<Rate>,
    /// How many readers may wait for events at once, in all.
    pub event_waiters: usize,
    /// The same of a tenant.
    pub event_waiters_per_tenant: usize,
    /// What to do at start about a database that is behind.
    pub migrate: Migrate,
    /// Who sees phone numbers and e-mail addresses in clear.
    pub pii_display: PiiDisplay,
    /// Where the keys come from that phone numbers and e-mail addresses are sealed with.
    pub pii_keys: PiiKeySource,
    /// Whether they are stored sealed.
    pub pii_encryption: bool,
    /// The country by whose rules phone numbers without a country are read when they are searched for.
    pub phone_country: Country,
    /// How many days audit entries are kept.
    pub audit_retention_days: u16,
    /// How many days events are kept.
    pub events_retention_days: u16,
    /// How many days it is told at `/changes` that a resource was deleted.
    pub changes_retention_days: u16,
    /// The broker that events are published to and consumed from; without one they can be read over HTTP alone.
    pub events_url: Option<EventsUrl>,
    /// Whether `crm serve` speaks to the broker, or leaves that to `crm relay`.
    pub events_relay: bool,
    /// How many days the request ids of accepted requests are kept.
    pub idempotency_retention_days: u16,
    /// What does not keep the service from starting, but should be looked at.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads the configuration of this process. Names that are no variable are among the warnings.
    ///
    /// # Errors
    /// Every variable that is wrong, and how.
    pub fn from_env() -> Result<Self, Mistakes> {
        Self::inspect().0
    }

    /// The same, with all variables as they are set.
    pub fn inspect() -> (Result<Self, Mistakes>, Vec<Variable>) {
        let (mut config, variables) = Self::read(&environment);
        let names: Vec<String> = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
        let known: Vec<&str> = variables.iter().map(|variable| variable.name).collect();
        let unknown = unknown::warnings(&names, &known);
        match &mut config {
            Ok(config) => config.warnings.extend(unknown),
            Err(mistakes) => mistakes.add(unknown),
        }
        (config, variables)
    }

    /// Where the service of this environment listens: host and port are read, and nothing else.
    ///
    /// # Errors
    /// Either is wrong, and how.
    pub fn endpoint() -> Result<SocketAddr, Mistakes> {
        let mut env = variables::Variables::new(&environment);
        let server::Endpoint { host, port } = server::Endpoint::read(&mut env);
        env.finish(host.zip(port).map(SocketAddr::from)).0
    }

    /// How this environment wants lines to be written, where it says so; it is read before anything else may be wrong.
    #[must_use]
    pub fn log_format_of_env() -> Option<LogFormat> {
        environment("CRM_LOG_FORMAT").and_then(|format| format.parse().ok())
    }

    /// All variables, in the order of reading.
    #[must_use]
    pub fn variables() -> Vec<Variable> {
        Self::read(&|_| None).1
    }

    /// Reads the configuration from `lookup`, and lists the variables.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> (Result<Self, Mistakes>, Vec<Variable>) {
        let mut env = variables::Variables::new(lookup);
        let config = Self::read_sections(&mut env);
        env.finish(config)
    }

    /// The order of reading is the order of the list.
    fn read_sections(env: &mut variables::Variables<'_>) -> Option<Self> {
        let endpoint = server::Endpoint::read(env);
        let server = server::Server::read(env);
        let database = database::Database::read(env);
        let auth = auth::Auth::read(env);
        env.about("What requests may do, and what stands in for what they leave out");
        let defaults = defaults::Defaults::read(env);
        let body_limit = server::body_limit(env);
        let rates = rates::Rates::read(env);
        let cors_origins = browsers::cors_origins(env);
        let pii = pii::Pii::read(env);
        let events = events::Events::read(env);
        let retention = retention::Retention::read(env);
        let logs = logs::Logs::read(env);
        let traces = traces::read(env);

        database.check(env);
        let pii_keys = pii.key_source(database.url.as_ref());
        let auth = auth.check(env, endpoint.host);
        note_what_is_made(env, &pii_keys, auth.as_ref(), database.data_dir.as_deref());
        Some(Self {
            host: endpoint.host?,
            port: endpoint.port?,
            metrics_addr: server.metrics_addr?,
            lame_duck: server.lame_duck?,
            keep_alive: server.keep_alive?,
            connections_per_peer: server.connections_per_peer,
            trusted_proxies: server.trusted_proxies?,
            requests_in_flight: server.requests_in_flight?,
            data_dir: database.data_dir?,
            database_url: database.url?,
            database_read_url: database.read_url,
            database_connections: database.connections?,
            database_pooler: database.pooler?,
            migrate_url: database.migrate_url,
            database_wait: database.wait?,
            default_tenant: defaults.tenant?,
            default_currency: defaults.currency?,
            auth: auth?,
            log: logs.filter?,
            log_format: logs.format?,
            traces,
            body_limit: body_limit?,
            cors_origins: cors_origins?,
            tenant_rate: rates.tenant?,
            caller_rate: rates.caller?,
            event_waiters: rates.event_waiters?,
            event_waiters_per_tenant: rates.event_waiters_per_tenant?,
            migrate: database.migrate?,
            pii_display: pii.display?,
            pii_keys,
            pii_encryption: pii.encryption?,
            phone_country: pii.phone_country?,
            audit_retention_days: retention.audit?,
            events_retention_days: retention.events?,
            changes_retention_days: retention.changes?,
            events_url: events.url,
            events_relay: events.relay?,
            idempotency_retention_days: retention.idempotency?,
            warnings: env.warnings(),
        })
    }

    /// The same, for a process that sends requests to itself and to nobody else: its tokens are signed with this secret, and it
    /// may send as many as it likes.
    #[must_use]
    pub fn for_own_requests(mut self, secret: Secret) -> Self {
        self.auth.keys = TokenKeys::Secret(secret);
        self.auth.introspection = None;
        (self.tenant_rate, self.caller_rate) = (None, None);
        self
    }

    /// The address to listen on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }

    /// How many sessions the service may have on PostgreSQL servers: with those on a standby, as many as read the primary.
    #[must_use]
    pub fn database_sessions(&self) -> u16 {
        let on_a_standby = self.database_read_url.as_ref().map_or(0, |_| self.reading_connections());
        self.database_connections.saturating_add(on_a_standby)
    }

    /// How many of the connections to PostgreSQL read: one is the probe's, a third of the others.
    #[must_use]
    pub fn reading_connections(&self) -> u16 {
        (self.database_connections.saturating_sub(1) / 3).max(1)
    }

    /// The database's address for migrations.
    #[must_use]
    pub fn schema_url(&self) -> &DatabaseUrl {
        self.migrate_url.as_ref().unwrap_or(&self.database_url)
    }
}

/// Where those secrets are that nobody has set, and that the service makes.
fn note_what_is_made(
    env: &mut variables::Variables<'_>,
    pii_keys: &PiiKeySource,
    auth: Option<&AuthConfig>,
    data_dir: Option<&Path>,
) {
    if let PiiKeySource::Embedded(file) = pii_keys {
        env.made_in("CRM_PII_KEYS", file.clone());
    }
    if auth.is_some_and(|auth| auth.keys == TokenKeys::Development)
        && let Some(directory) = data_dir
    {
        env.made_in("CRM_JWT_SECRET", development_secret_file(directory));
    }
}

/// A variable of this process.
fn environment(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "this is the place where the environment is read")]
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}
