//! The variables: their defaults, invalid values, and secrets.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    path::Path,
    time::Duration,
};

use crm::config::{Config, DatabaseUrl, Migrate, Mistakes, PiiDisplay, PiiKeySource, TokenKeys};

use crate::harness::{certificates::Authority, run_crm};

fn read(variables: &[(&str, &str)]) -> Result<Config, Mistakes> {
    let variables: HashMap<_, _> = variables.iter().copied().collect();
    Config::read(&|name| variables.get(name).map(|value| (*value).to_owned())).0
}

#[test]
fn an_empty_environment_gives_the_defaults() {
    let config = read(&[]).unwrap();
    assert_eq!(config.address().to_string(), "127.0.0.1:8080");
    assert_eq!(config.database_url, DatabaseUrl::Sqlite("data/crm.db".into()));
    assert_eq!(config.default_tenant.as_str(), "default");
    assert_eq!(config.default_currency.code(), "CNY");
    assert_eq!(config.auth.keys, TokenKeys::Development);
    assert_eq!(config.body_limit, 128 * 1024);
    assert_eq!((config.keep_alive, config.requests_in_flight), (Duration::from_secs(75), 4096));
    assert!(config.connections_per_peer.is_none() && config.trusted_proxies.is_empty());
    assert_eq!((config.migrate, config.pii_display), (Migrate::Auto, PiiDisplay::Scoped));
}

#[test]
fn variables_are_read_and_empty_ones_are_unset() {
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
fn trusted_proxies_are_addresses_and_networks() {
    let config = read(&[("CRM_TRUSTED_PROXIES", "10.0.0.1, 10.1.0.0/16,2001:db8::/32,")]).unwrap();
    let proxies: Vec<String> = config.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(proxies, ["10.0.0.1/32", "10.1.0.0/16", "2001:db8::/32"]);
}

#[test]
fn all_invalid_variables_are_reported_by_name_without_their_values() {
    let invalid = [
        ("CRM_HOST", "nowhere"),
        ("CRM_PORT", "70000"),
        ("CRM_METRICS_ADDR", "nowhere:9464"),
        ("CRM_LAME_DUCK", "11m"),
        ("CRM_KEEP_ALIVE", "2h"),
        ("CRM_CONNECTIONS_PER_PEER", "0"),
        ("CRM_TRUSTED_PROXIES", "10.0.0.1,secret"),
        ("CRM_REQUESTS_IN_FLIGHT", "none"),
        ("CRM_DATABASE_URL", "mysql://secret@x/y"),
        ("CRM_MIGRATE_URL", "sqlite://secret.db"),
        ("CRM_DATABASE_WAIT", "a while"),
        ("CRM_DEFAULT_TENANT", "a b"),
        ("CRM_DEFAULT_CURRENCY", "cny"),
        ("CRM_JWT_SECRET", "too short a secret"),
        ("CRM_LOG", "=,="),
        ("CRM_LOG_FORMAT", "xml"),
        ("CRM_BODY_LIMIT", "1"),
        ("CRM_MIGRATE", "maybe"),
        ("CRM_PII_DISPLAY", "all"),
    ];
    let message = read(&invalid).unwrap_err().to_string();
    for (name, _) in invalid {
        assert_eq!(message.matches(&format!("\n  {name}: ")).count(), 1, "{message}");
    }
    assert!(!message.contains("secret"), "{message}");
}

#[test]
fn a_brokers_address_that_cannot_be_read_is_refused_without_its_password() {
    let refusal = |url: &str| {
        let message = read(&[("CRM_EVENTS_URL", url)]).unwrap_err().to_string();
        assert!(!message.contains("canary") && message.contains("\n  CRM_EVENTS_URL: "), "{url}: {message}");
        message
    };
    for url in [
        "canary",
        "http://crm:canary@host",
        "amqp://crm:canary#1@host",
        "amqp://crm:canary/1@host",
        "amqp://crm:1?canary@host",
        "amqps://crm:canary@host:99999",
        "amqp://crm:1@host?canary&x=1@",
        "kafka://host:canary",
        "kafka://host",
    ] {
        assert!(refusal(url).contains("must be amqp://USER:PASSWORD@HOST"), "{url}");
    }
    assert!(refusal("amqp://crm:canary@[::1]:5672").contains("by name or as an IPv4 address"));
    assert!(refusal("amqps://crm:canary@host?verify=verify_none").contains("the parameter verify is not known"));
    assert!(refusal("amqps://crm:canary@host?cacertfile=x").contains("CRM_EVENTS_CA_FILE"));
    for url in ["amqp://host", "amqps://crm:c%23nary@host:5671/v%2f?heartbeat=5"] {
        read(&[("CRM_EVENTS_URL", url)]).unwrap();
    }
    if cfg!(feature = "kafka") {
        assert!(refusal("kafka://crm:canary@host:9092").contains("with TLS alone: kafka+ssl://"));
        read(&[("CRM_EVENTS_URL", "kafka://a:9092,b:9092")]).unwrap();
    }
    if !cfg!(feature = "kafka-tls") {
        assert!(refusal("kafka+ssl://crm:canary@host:9093").contains("was built without the feature kafka"));
        return;
    }
    for url in ["kafka+ssl://crm@host:9093", "kafka+ssl://crm:canary/@host:9093", "kafka+ssl://crm:@host:9093"] {
        assert!(refusal(url).contains("must be amqp://USER:PASSWORD@HOST"), "{url}");
    }
    assert!(refusal("kafka+ssl://crm:canary@host:9093?sasl=gssapi").contains("scram-sha-512 (the default)"));
    assert!(refusal("kafka+ssl://host:9093?sasl=plain").contains("needs USER:PASSWORD@"));
    let config = read(&[("CRM_EVENTS_URL", "kafka+ssl://crm:c%40nary@a:9093,b:9093?sasl=plain")]).unwrap();
    assert!(!format!("{config:?}").contains("nary"), "{config:?}");
}

#[test]
fn a_file_of_certificates_is_read_at_start_and_only_for_tls() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = file("ca.pem", &Authority::new("crm test").pem());
    let with = |url: &str, ca_file: &str| {
        let read = read(&[("CRM_EVENTS_URL", url), ("CRM_EVENTS_CA_FILE", ca_file)]);
        read.map(drop).map_err(|mistakes| mistakes.to_string())
    };
    with("amqps://host", &good).unwrap();
    assert!(with("amqp://host", &good).unwrap_err().contains("asks for no TLS"));
    for bad in [file("empty.pem", ""), file("key.pem", "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n")] {
        let message = with("amqps://host", &bad).unwrap_err();
        assert!(message.contains(&format!("CRM_EVENTS_CA_FILE: {bad}: ")), "{message}");
    }
    let missing = directory.path().join("missing.pem");
    let message = with("amqps://host", missing.to_str().unwrap()).unwrap_err();
    assert!(message.contains("missing.pem: "), "{message}");
}

#[test]
fn the_metrics_address_is_host_and_port_or_off() {
    let address = |text| read(&[("CRM_METRICS_ADDR", text)]).map(|config| config.metrics_addr.map(|a| a.to_string()));
    assert_eq!(address("").unwrap().as_deref(), Some("127.0.0.1:9464"));
    for (text, parsed) in [("localhost:0", "127.0.0.1:0"), ("0.0.0.0:9000", "0.0.0.0:9000"), ("[::1]:9", "[::1]:9")] {
        assert_eq!(address(text).unwrap().as_deref(), Some(parsed));
    }
    assert_eq!(address("off").unwrap(), None);
    for wrong in ["on", "9464", ":9464", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "example.com:9464"] {
        assert!(address(wrong).unwrap_err().to_string().contains("\n  CRM_METRICS_ADDR: must be HOST:PORT"), "{wrong}");
    }
}

#[test]
fn durations_need_a_unit_and_have_a_maximum() {
    let config = read(&[]).unwrap();
    assert_eq!((config.lame_duck, config.database_wait), (Duration::ZERO, Duration::from_secs(30)));
    let config = read(&[("CRM_LAME_DUCK", "10m"), ("CRM_DATABASE_WAIT", "500ms")]).unwrap();
    assert_eq!((config.lame_duck, config.database_wait), (Duration::from_secs(600), Duration::from_millis(500)));
    for (name, wrong) in
        [("CRM_LAME_DUCK", ["5", "-5s", "601s", "soon"]), ("CRM_DATABASE_WAIT", ["30", "-1s", "3601s", "forever"])]
    {
        for wrong in wrong {
            let message = read(&[(name, wrong)]).unwrap_err().to_string();
            assert!(message.contains(&format!("\n  {name}: must be a time like 5s, at most ")), "{wrong}: {message}");
        }
    }
}

#[test]
fn invalid_postgres_urls_are_reported_without_their_content() {
    for url in [
        "postgres://crm@127.0.0.1/crm",
        "postgresql://crm:p%40%3A%2F%3F%23%5B%5D%25@db.example:6432/crm?sslmode=require",
        "postgres://crm@db.example/crm?ssl-mode=disable",
        "postgres://crm@localhost/crm",
        "postgres://crm@[::1]/crm",
        "postgres://%2Fvar%2Frun%2Fpostgresql/crm",
        "postgres://crm:canary@127.0.0.1",
        "postgres://127.0.0.1/",
        "postgres:///crm?host=/var/run/postgresql&user=crm",
        "postgres://crm@127.0.0.1/crm?sslmode=verify-full&sslrootcert=/etc/ca.pem&options=-c%20statement_timeout%3D5s",
        "postgres://crm@127.0.0.1/crm?options[search_path]=crm&statement-cache-capacity=0&application_name=crm",
    ] {
        for name in ["CRM_DATABASE_URL", "CRM_MIGRATE_URL"] {
            read(&[("CRM_DATABASE_URL", "postgres://x@127.0.0.1/x"), (name, url)])
                .unwrap_or_else(|wrong| panic!("{url}: {wrong}"));
        }
    }
    let shape = "must be postgres://USER:PASSWORD@HOST:PORT/NAME; in user, password and name these characters must be \
                 percent-encoded: @ : / ? # [ ] %";
    let tls = "names another machine and no sslmode: add ?sslmode=verify-full (encrypted, and the server is who it says; \
               sslrootcert=FILE where its certificate is of an authority of your own), sslmode=require (encrypted only), \
               or sslmode=disable (in clear, for a network that is yours alone)";
    for (url, error) in [
        ("postgres://crm:12#canary@127.0.0.1/crm", shape),
        ("postgres://crm:12/canary@127.0.0.1/crm", shape),
        ("postgres://crm:12?canary@127.0.0.1/crm", shape),
        ("postgres://crm:12?canary=1@127.0.0.1/crm", shape),
        ("postgres://crm:canary/1@127.0.0.1/crm", shape),
        ("postgres://crm:canary@127.0.0.1:99999/crm", shape),
        ("postgres://crm:canary@127.0.0.1/crm/canary", shape),
        ("postgres://crm:canary%ff@127.0.0.1/crm", shape),
        ("postgres://crm:canary@[", shape),
        ("postgres://crm:canary@127.0.0.1/crm?colour=canary", "the parameter colour is not known"),
        ("postgres://crm:canary@127.0.0.1/crm?sslmode=canary", "the parameter sslmode is not valid"),
        ("postgres://crm:canary@127.0.0.1/crm?port=canary", "the parameter port is not valid"),
        ("postgres://crm:canary@127.0.0.1/crm?options[=canary", shape),
        ("postgres://crm:canary@db.example/crm", tls),
        ("postgres://crm:canary@192.0.2.1/crm?application_name=sslmode", tls),
        ("postgres://crm:canary@127.0.0.1/crm?host=db.example", tls),
    ] {
        let message = read(&[("CRM_DATABASE_URL", url)]).unwrap_err().to_string();
        assert!(message.ends_with(&format!("\n  CRM_DATABASE_URL: {error}")), "{url}: {message}");
        assert!(!message.contains("canary"), "{url}: {message}");
    }
    let message = read(&[("CRM_MIGRATE_URL", "postgres://crm@127.0.0.1/crm")]).unwrap_err().to_string();
    assert!(message.contains("CRM_MIGRATE_URL: is for a CRM_DATABASE_URL that begins with postgres://"), "{message}");
}

#[test]
fn outside_loopback_a_key_is_required() {
    for host in ["0.0.0.0", "192.168.0.1", "::"] {
        let message = read(&[("CRM_HOST", host)]).unwrap_err().to_string();
        assert!(message.contains("CRM_OIDC_ISSUER or PLATFORM_AUTH_URL: one is needed"), "{message}");
        read(&[("CRM_HOST", host), ("CRM_JWT_SECRET", &"x".repeat(32))]).unwrap();
    }
    for host in ["127.0.0.1", "127.1.2.3", "::1", "localhost"] {
        read(&[("CRM_HOST", host)]).unwrap();
    }
}

#[test]
fn a_secret_that_is_short_a_public_key_or_not_alone_is_refused() {
    let pem = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE";
    assert!(read(&[("CRM_JWT_SECRET", pem)]).unwrap_err().to_string().contains("CRM_JWT_PUBLIC_KEY_FILE"));
    assert!(read(&[("CRM_JWT_SECRET", &"x".repeat(31))]).is_err());
    let both = [("CRM_JWT_SECRET", "x".repeat(32)), ("CRM_JWT_PUBLIC_KEY_FILE", "k.pem".to_owned())];
    let both: Vec<_> = both.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert!(read(&both).unwrap_err().to_string().contains("set one of them, not several"));
}

#[test]
fn the_configuration_prints_without_its_secrets() {
    let secret = "a-canary-that-is-longer-than-32-bytes";
    let url = "postgres://crm:canary@127.0.0.1/crm";
    let config = read(&[("CRM_JWT_SECRET", secret), ("CRM_DATABASE_URL", url)]).unwrap();
    assert!(!format!("{config:?}").contains("canary"));
}

/// `canarycanarycanarycanarycanary!!`, so that a leak is easy to find.
const CANARY_KEY: &str = "Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5ISE=";

#[test]
fn pii_keys_are_read_in_order_and_never_printed() {
    let another = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    for separator in [",", "\n", " , ", ",\n\n", "\r\n"] {
        let keys = format!("b-2:{CANARY_KEY}{separator}A:{another}");
        let config = read(&[("CRM_PII_KEYS", &keys)]).unwrap();
        let PiiKeySource::Given(given) = &config.pii_keys else { panic!("{:?}", config.pii_keys) };
        let ids: Vec<_> = given.as_slice().iter().map(|key| key.id.as_str()).collect();
        assert_eq!(ids, ["b-2", "A"]);
        assert_eq!(given.as_slice()[0].reveal(), b"canarycanarycanarycanarycanary!!");
        for printed in [format!("{config:?}"), format!("{config:#?}")] {
            assert!(printed.contains("b-2:***"), "{printed}");
            // A derived `Debug` would print a list of bytes.
            let bytes = format!("{:?}", b"canary");
            for secret in ["canary", CANARY_KEY, another, &CANARY_KEY[..8], bytes.trim_matches(['[', ']'])] {
                assert!(!printed.contains(secret), "{printed}");
            }
        }
    }
}

#[test]
fn invalid_pii_keys_are_reported_without_the_key() {
    let short = &CANARY_KEY[..40];
    for (keys, error) in [
        (CANARY_KEY.to_owned(), "key 1 must be id:base64"),
        (format!("a:{CANARY_KEY},{CANARY_KEY}"), "key 2 must be id:base64"),
        (format!("a:{CANARY_KEY},a:{CANARY_KEY}"), "the id a stands twice"),
        (format!("a:{CANARY_KEY},b:{short}"), "key 2 (b) must be 32 bytes in base64"),
        (format!("a:{CANARY_KEY}AAAA"), "key 1 (a) must be 32 bytes in base64"),
        (format!("a:{}", CANARY_KEY.trim_end_matches('=')), "key 1 (a) must be 32 bytes in base64"),
        (format!("{CANARY_KEY}:a"), "the id of key 1 must be 1 to 32 of"),
        (format!(":{CANARY_KEY}"), "the id of key 1 must be 1 to 32 of"),
        (format!("a_b:{CANARY_KEY}"), "the id of key 1 must be 1 to 32 of"),
        (format!("{}:{CANARY_KEY}", "x".repeat(33)), "the id of key 1 must be 1 to 32 of"),
        (" , ,\n".to_owned(), "must name at least one key"),
    ] {
        let message = read(&[("CRM_PII_KEYS", &keys)]).unwrap_err().to_string();
        assert!(message.contains(&format!("\n  CRM_PII_KEYS: {error}")), "{keys}: {message}");
        assert!(!message.contains(&CANARY_KEY[..8]), "{message}");
    }
    let keys = format!("a:{CANARY_KEY}");
    let both = read(&[("CRM_PII_KEYS", &keys), ("CRM_PII_KEYS_FILE", "keys")]).unwrap_err().to_string();
    assert!(both.contains("CRM_PII_KEYS, CRM_PII_KEYS_FILE: set one of the two, not both"), "{both}");
    assert!(!both.contains(&CANARY_KEY[..8]), "{both}");
}

#[test]
fn pii_keys_default_to_a_file_beside_sqlite_and_to_nothing_elsewhere() {
    assert_eq!(read(&[]).unwrap().pii_keys, PiiKeySource::Embedded("data/crm.db.keys".into()));
    let url = [("CRM_DATABASE_URL", "sqlite:///var/x.db")];
    assert_eq!(read(&url).unwrap().pii_keys, PiiKeySource::Embedded("/var/x.db.keys".into()));
    let url = [("CRM_DATABASE_URL", "postgres://crm@127.0.0.1/crm")];
    assert_eq!(read(&url).unwrap().pii_keys, PiiKeySource::NotConfigured);
}

#[test]
fn retention_below_its_minimum_is_refused() {
    let config = read(&[]).unwrap();
    assert_eq!((config.audit_retention_days, config.idempotency_retention_days), (180, 30));
    for (name, invalid, least) in [
        ("CRM_AUDIT_RETENTION_DAYS", ["179", "0", "-180", "180.5", "65536", "half a year"], "180"),
        ("CRM_IDEMPOTENCY_RETENTION_DAYS", ["0", "-1", "0.5", "1d", "65536", "never"], "1"),
    ] {
        for days in invalid {
            let message = read(&[(name, days)]).unwrap_err().to_string();
            assert!(message.contains(&format!("\n  {name}: must be {least} to 65535 days")), "{message}");
        }
        for days in [least, "400", "65535"] {
            read(&[(name, days)]).unwrap();
        }
    }
    for (name, wrong) in [("CRM_PII_ENCRYPTION", "no"), ("CRM_PHONE_COUNTRY", "china"), ("CRM_PHONE_COUNTRY", "cn")] {
        assert!(read(&[(name, wrong)]).unwrap_err().to_string().contains(&format!("\n  {name}: ")));
    }
}

#[test]
fn the_readme_has_the_table_that_the_program_prints() {
    let readme = include_str!("../../../delivery/README.md");
    let (_, rest) = readme.split_once("<!-- variables -->\n").unwrap();
    let (table, _) = rest.split_once("<!-- end of variables -->").unwrap();
    assert_eq!(table.trim(), run_crm(&["config", "table"], &[]).stdout.trim(), "run `make variables`");
}

#[test]
fn the_variables_of_a_task_stand_together_and_each_stands_once() {
    let variables = Config::variables();
    let mut tasks: Vec<&str> = variables.iter().map(|variable| variable.task).collect();
    tasks.dedup();
    assert!(tasks.len() > 5 && !tasks.contains(&""), "{tasks:?}");
    let distinct: HashSet<&str> = tasks.iter().copied().collect();
    assert_eq!(distinct.len(), tasks.len(), "{tasks:?}");
    let names: HashSet<&str> = variables.iter().map(|variable| variable.name).collect();
    assert_eq!(names.len(), variables.len());
}
