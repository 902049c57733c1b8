//! The address of the database. It may hold a password.

use std::{net::IpAddr, path::PathBuf, str::FromStr};

use sea_orm::sqlx::postgres::PgConnectOptions;

use super::secret::{Masked, Secret};

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

impl Masked for DatabaseUrl {
    /// The address, without parameters: any may hold a password.
    fn masked(&self) -> String {
        let url = match self {
            Self::Sqlite(file) => return format!("sqlite://{}", file.display()),
            Self::Postgres(url) => url.reveal(),
        };
        let Ok(options) = url.parse::<PgConnectOptions>() else { return "postgres://***".to_owned() };
        let has_password = url.split_once('@').is_some_and(|(user, _)| user.matches(':').count() > 1);
        let host = match options.get_socket() {
            Some(directory) => directory.display().to_string(),
            None => options.get_host().to_owned(),
        };
        let (user, port) = (options.get_username(), options.get_port());
        let (password, name) = (if has_password { ":***" } else { "" }, options.get_database().unwrap_or(user));
        format!("postgres://{user}{password}@{host}:{port}/{name}")
    }
}

/// The message for an address that cannot be read. It repeats nothing of it: where the parts cannot be told apart, any of
/// them may be the password.
const POSTGRES: &str = "must be postgres://USER:PASSWORD@HOST:PORT/NAME; in user, password and name these characters must \
                        be percent-encoded: @ : / ? # [ ] %";

/// The message for an address at another machine that leaves open whether the way there is encrypted. The driver's own default
/// is to go on in clear where the server has no TLS, without a word.
const TLS: &str = "names another machine and no sslmode: add ?sslmode=verify-full (encrypted, and the server is who it says; \
                   sslrootcert=FILE where its certificate is of an authority of your own), sslmode=require (encrypted only), \
                   or sslmode=disable (in clear, for a network that is yours alone)";

/// The parameters that sqlx knows. It ignores others, and logs them with their values.
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

/// Refuses an address that cannot be read, and one that would be misread: behind a `/`, `?` or `#` in a password that is not
/// percent-encoded, its rest would be taken for the database's name, a parameter or a fragment.
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
    let options: PgConnectOptions = url.parse().map_err(|_| POSTGRES.to_owned())?;
    let says = |parameter: &str| parameter.starts_with("sslmode=") || parameter.starts_with("ssl-mode=");
    if is_local(&options) || query.split('&').any(says) { Ok(()) } else { Err(TLS.to_owned()) }
}

/// Whether the connection does not leave this machine.
fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host().trim_start_matches('[').trim_end_matches(']');
    let loopback = host.parse::<IpAddr>().map_or(host == "localhost", |address| address.is_loopback());
    options.get_socket().is_some() || loopback || host.starts_with('/')
}
