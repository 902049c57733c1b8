//! The environment: defaults, mistakes, secrets.

use std::{collections::HashMap, net::IpAddr, path::Path};

use crm::config::{Config, DatabaseUrl, JwtKey, Migrate, Mistakes, PiiDisplay};

fn read(variables: &[(&str, &str)]) -> Result<Config, Mistakes> {
    let variables: HashMap<_, _> = variables.iter().copied().collect();
    Config::read(&|name| variables.get(name).map(|value| (*value).to_owned())).0
}

#[test]
fn an_empty_environment_is_enough() {
    let config = read(&[]).unwrap();
    assert_eq!(config.address().to_string(), "127.0.0.1:8080");
    assert_eq!(config.database_url, DatabaseUrl::Sqlite("data/crm.db".into()));
    assert_eq!(config.default_tenant.as_str(), "default");
    assert_eq!(config.default_currency.code(), "CNY");
    assert_eq!(config.jwt_key, JwtKey::Development);
    assert_eq!(config.body_limit, 256 * 1024);
    assert_eq!((config.migrate, config.pii_display), (Migrate::Auto, PiiDisplay::Scoped));
}

#[test]
fn variables_are_read_and_empty_ones_count_as_not_set() {
    let config =
        read(&[("CRM_HOST", "localhost"), ("PORT", "9000"), ("CRM_DATA_DIR", "/var/lib/crm"), ("CRM_LOG", "")]);
    let config = config.unwrap();
    assert_eq!((config.host, config.port), (IpAddr::from([127, 0, 0, 1]), 9000));
    assert_eq!(config.database_url, DatabaseUrl::Sqlite("/var/lib/crm/crm.db".into()));
    assert_eq!(config.log, "info");
    assert_eq!(read(&[("PORT", "9000"), ("CRM_PORT", "9001")]).unwrap().port, 9001);
    let url = read(&[("CRM_DATABASE_URL", "sqlite:///tmp/x.db?mode=rwc")]).unwrap().database_url;
    assert_eq!(url, DatabaseUrl::Sqlite(Path::new("/tmp/x.db").into()));
}

#[test]
fn all_mistakes_are_reported_at_once_by_name_and_without_the_value() {
    let mistakes = [
        ("CRM_HOST", "nowhere"),
        ("CRM_PORT", "70000"),
        ("CRM_DATABASE_URL", "mysql://secret@x/y"),
        ("CRM_DEFAULT_TENANT", "a b"),
        ("CRM_DEFAULT_CURRENCY", "cny"),
        ("CRM_JWT_SECRET", "too short a secret"),
        ("CRM_LOG", "=,="),
        ("CRM_LOG_FORMAT", "xml"),
        ("CRM_BODY_LIMIT", "1"),
        ("CRM_MIGRATE", "maybe"),
        ("CRM_PII_DISPLAY", "all"),
    ];
    let message = read(&mistakes).unwrap_err().to_string();
    for (name, _) in mistakes {
        assert_eq!(message.matches(&format!("\n  {name}: ")).count(), 1, "{message}");
    }
    assert!(!message.contains("secret"), "{message}");
}

#[test]
fn outside_loopback_a_key_is_demanded() {
    for host in ["0.0.0.0", "192.168.0.1", "::"] {
        let message = read(&[("CRM_HOST", host)]).unwrap_err().to_string();
        assert!(message.contains("CRM_JWT_SECRET or CRM_JWT_PUBLIC_KEY_FILE"), "{message}");
        read(&[("CRM_HOST", host), ("CRM_JWT_SECRET", &"x".repeat(32))]).unwrap();
    }
    for host in ["127.0.0.1", "127.1.2.3", "::1", "localhost"] {
        read(&[("CRM_HOST", host)]).unwrap();
    }
}

#[test]
fn a_secret_is_long_is_no_public_key_and_stands_alone() {
    let pem = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE";
    assert!(read(&[("CRM_JWT_SECRET", pem)]).unwrap_err().to_string().contains("CRM_JWT_PUBLIC_KEY_FILE"));
    assert!(read(&[("CRM_JWT_SECRET", &"x".repeat(31))]).is_err());
    let both = [("CRM_JWT_SECRET", "x".repeat(32)), ("CRM_JWT_PUBLIC_KEY_FILE", "k.pem".to_owned())];
    let both: Vec<_> = both.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert!(read(&both).unwrap_err().to_string().contains("not both"));
}

#[test]
fn a_configuration_can_be_logged_without_its_secrets() {
    let secret = "a-canary-that-is-longer-than-32-bytes";
    let url = "postgres://crm:canary@127.0.0.1/crm";
    let config = read(&[("CRM_JWT_SECRET", secret), ("CRM_DATABASE_URL", url)]).unwrap();
    assert!(!format!("{config:?}").contains("canary"));
}

#[test]
fn the_readme_lists_every_variable() {
    let readme = include_str!("../../README.md");
    for variable in Config::variables() {
        let row = readme.lines().find(|line| line.starts_with(&format!("| `{}`", variable.name)));
        let row = row.unwrap_or_else(|| panic!("README.md does not list {}", variable.name));
        let default = if variable.default.is_empty() { String::new() } else { format!("`{}`", variable.default) };
        assert!(row.contains(&default), "README.md gives {} another default than {default}: {row}", variable.name);
    }
}
