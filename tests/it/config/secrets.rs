//! Secrets: in a variable or in a file, and never where others may read them.

use std::{collections::HashMap, fs, os::unix::fs::PermissionsExt, path::Path};

use crm::config::{Config, DatabaseUrl, EventsUrl, Introspection, Mistakes, PiiKeySource, TokenKeys};

use crate::harness::{PII_KEYS, run_crm, start_and_stop_developing, write_secret};

const SECRET: &str = "a-canary-that-is-longer-than-32-bytes";

fn read(variables: &[(&str, &str)]) -> Result<Config, Mistakes> {
    let variables: HashMap<_, _> = variables.iter().copied().collect();
    Config::read(&|name| variables.get(name).map(|value| (*value).to_owned())).0
}

/// What the configuration makes of a secret, as the service uses it.
fn revealed(config: &Config) -> Vec<String> {
    let token = match &config.auth.keys {
        TokenKeys::Secret(secret) => Some(secret.reveal().to_owned()),
        _ => None,
    };
    let postgres = |url: &DatabaseUrl| match url {
        DatabaseUrl::Postgres(url) => Some(url.reveal().to_owned()),
        DatabaseUrl::Sqlite(_) => None,
    };
    let client = |introspection: &Introspection| Some(introspection.client.as_ref()?.1.reveal().to_owned());
    let keys = match &config.pii_keys {
        PiiKeySource::Given(keys) => Some(keys.as_slice().len().to_string()),
        _ => None,
    };
    let broker = match &config.events_url {
        Some(EventsUrl::Amqp(address)) => Some(address.url.reveal().to_owned()),
        _ => None,
    };
    let introspection = config.auth.introspection.as_ref().and_then(client);
    let migrate = config.migrate_url.as_ref().and_then(postgres);
    [token, postgres(&config.database_url), migrate, broker, introspection, keys].into_iter().flatten().collect()
}

/// Names and values of variables.
type Variables = &'static [(&'static str, &'static str)];

/// Every secret, with what else it needs.
const SECRETS: [(&str, &str, Variables); 6] = [
    ("CRM_JWT_SECRET", SECRET, &[]),
    ("CRM_DATABASE_URL", "postgres://crm:canary@127.0.0.1/crm", &[]),
    ("CRM_MIGRATE_URL", "postgres://crm:canary@127.0.0.1/crm", &[("CRM_DATABASE_URL", "postgres://crm@127.0.0.1/crm")]),
    (
        "CRM_PLATFORM_AUTH_CLIENT_SECRET",
        "canary",
        &[("PLATFORM_AUTH_URL", "https://login.example.com/x"), ("CRM_PLATFORM_AUTH_CLIENT_ID", "crm")],
    ),
    ("CRM_PII_KEYS", PII_KEYS, &[]),
    ("CRM_EVENTS_URL", "amqp://crm:canary@127.0.0.1:5672/crm", &[]),
];

fn with<'v>(more: &[(&'v str, &'v str)], name: &'v str, value: &'v str) -> Vec<(&'v str, &'v str)> {
    [more, &[(name, value)]].concat()
}

#[test]
fn every_secret_may_be_in_a_file_which_is_read_without_its_last_line_feed() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    let path = file.to_str().unwrap();
    for (name, secret, more) in SECRETS {
        let expected = revealed(&read(&with(more, name, secret)).unwrap());
        assert!(!expected.is_empty(), "{name}");
        let in_file = format!("{name}_FILE");
        for end in ["", "\n", "\r\n"] {
            write_secret(&file, &format!("{secret}{end}"));
            let config = read(&with(more, &in_file, path)).unwrap();
            assert_eq!(revealed(&config), expected, "{name}");
            assert!(config.warnings.is_empty());
        }
        let both = [with(more, &in_file, path), vec![(name, secret)]].concat();
        let mistake = read(&both).unwrap_err().to_string();
        assert!(mistake.contains(&format!("{name}, {in_file}: set one of the two, not both")), "{mistake}");
        assert!(!mistake.contains("canary"), "{mistake}");
        for text in ["", "\n"] {
            write_secret(&file, text);
            let mistake = read(&with(more, &in_file, path)).unwrap_err().to_string();
            assert!(mistake.contains(&format!("\n  {in_file}: holds nothing")), "{mistake}");
        }
        let missing = format!("{path}.missing");
        let mistake = read(&with(more, &in_file, &missing)).unwrap_err().to_string();
        assert!(mistake.contains(&format!("\n  {in_file}: {missing}: ")), "{mistake}");
    }
}

#[test]
fn the_brokers_address_may_be_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    write_secret(&file, "amqp://crm:canary@127.0.0.1/%2f\n");
    let config = read(&[("CRM_EVENTS_URL_FILE", file.to_str().unwrap())]).unwrap();
    assert!(config.events_url.is_some() && !format!("{config:?}").contains("canary"));
}

#[test]
fn a_line_feed_at_the_end_of_a_secret_is_left_out_with_a_warning() {
    for (name, secret, more) in SECRETS {
        let expected = revealed(&read(&with(more, name, secret)).unwrap());
        let config = read(&with(more, name, &format!("{secret}\n"))).unwrap();
        assert_eq!(revealed(&config), expected);
        assert_eq!(config.warnings, [format!("{name}: the line feed at its end was left out")]);
    }
    // A secret of the least length, whose line feed made it long enough.
    assert!(read(&[("CRM_JWT_SECRET", &format!("{}\n", "x".repeat(31)))]).is_err());
    let token =
        run_crm(&["migrate", "status"], &[("CRM_DATA_DIR", "/nowhere"), ("CRM_JWT_SECRET", &format!("{SECRET}\n"))]);
    assert!(
        token.stderr.contains("the line feed at its end was left out") && !token.stderr.contains("canary"),
        "{token:?}"
    );
}

#[test]
fn a_file_that_others_may_read_or_write_is_refused_with_its_mode() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    write_secret(&file, SECRET);
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let with_mode = |mode: u32, path: &Path| {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        read(&[("CRM_JWT_SECRET_FILE", path.to_str().unwrap())])
    };
    for mode in [0o644, 0o604, 0o602, 0o620, 0o660, 0o666, 0o777, 0o444, 0o601] {
        for path in [&file, &link] {
            let mistake = with_mode(mode, path).unwrap_err().to_string();
            assert!(mistake.contains(&format!("has the mode {mode:04o}: secrets that others may")), "{mistake}");
        }
    }
    for mode in [0o600, 0o400, 0o440, 0o640, 0o700] {
        for path in [&file, &link] {
            with_mode(mode, path).unwrap();
        }
    }
    let mistake = read(&[("CRM_JWT_SECRET_FILE", directory.path().to_str().unwrap())]).unwrap_err().to_string();
    assert!(mistake.contains("is not a file"), "{mistake}");
}

#[test]
fn a_secret_that_the_service_made_is_refused_once_others_may_read_it() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let variables = [("CRM_DATA_DIR", data.to_str().unwrap())];
    assert_eq!(start_and_stop_developing(&variables).code, Some(0));
    fs::set_permissions(data.join("jwt_secret"), fs::Permissions::from_mode(0o644)).unwrap();
    let refused = run_crm(&["token"], &variables);
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("jwt_secret: has the mode 0644"), "{refused:?}");
}
