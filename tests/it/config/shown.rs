//! `crm config`: what an operator is told of the environment.

use serde_json::{Value, json};

use crate::harness::{CommandOutput, PII_KEYS, run_crm, start_and_stop, write_secret};

fn check(variables: &[(&str, &str)]) -> CommandOutput {
    run_crm(&["config", "check"], variables)
}

/// What `crm config show --json` says of each variable, and whether it was content.
fn shown(variables: &[(&str, &str)]) -> (impl Fn(&str) -> (Value, Value), CommandOutput) {
    let output = run_crm(&["config", "show", "--json"], variables);
    // Warnings come behind it.
    let list: Vec<Value> = serde_json::Deserializer::from_str(&output.stdout).into_iter().next().unwrap().unwrap();
    let find = move |name: &str| {
        let found = list.iter().find(|variable| variable["name"] == name).unwrap_or_else(|| panic!("{name}"));
        (found["value"].clone(), found["source"].clone())
    };
    (find, output)
}

#[test]
fn a_valid_environment_is_valid_and_each_mistake_is_told() {
    let valid = check(&[]);
    assert_eq!((valid.code, valid.stdout.as_str()), (Some(0), "the configuration is valid\n"), "{valid:?}");
    let wrong = check(&[("CRM_PORT", "x"), ("CRM_BODY_LIMIT", "y")]);
    assert_eq!((wrong.code, wrong.stdout.as_str()), (Some(1), ""), "{wrong:?}");
    assert!(wrong.error().contains("CRM_PORT: ") && wrong.error().contains("CRM_BODY_LIMIT: "), "{wrong:?}");
    // What only the service's start would have told.
    let keys = check(&[("CRM_DATABASE_URL", "postgres://crm@127.0.0.1/crm")]);
    assert!(keys.code == Some(1) && keys.error().starts_with("CRM_PII_KEYS or CRM_PII_KEYS_FILE"), "{keys:?}");
}

#[test]
fn an_unknown_variable_is_a_warning_with_the_nearest_name() {
    let unknown = [("CRM_PROT", "9"), ("CRM_BODYLIMIT", "1"), ("CRM_QUUX_ZZZZ", "canary"), ("OTHER_PORT", "x")];
    let output = check(&unknown);
    assert_eq!(output.code, Some(0), "{output:?}");
    let lines: Vec<&str> = output.stdout.lines().collect();
    let expected = [
        "warning: CRM_BODYLIMIT: is not a variable of this service; did you mean CRM_BODY_LIMIT?",
        "warning: CRM_PROT: is not a variable of this service; did you mean CRM_PORT?",
        "warning: CRM_QUUX_ZZZZ: is not a variable of this service",
        "the configuration is valid",
    ];
    assert_eq!(lines, expected);
    // The service says so too, and starts.
    let data = tempfile::tempdir().unwrap();
    let directory = ("CRM_DATA_DIR", data.path().to_str().unwrap());
    let served = start_and_stop(&[&unknown[..], &[directory]].concat());
    assert_eq!(served.code, Some(0), "{served:?}");
    assert_eq!(served.logged("CRM_PROT: is not a variable of this service; did you mean CRM_PORT?").len(), 1);
    // A name that was mistyped may be the very reason of a mistake.
    let mistake = check(&[("CRM_HOST", "0.0.0.0"), ("CRM_JWT_SECRTE", "canary")]);
    assert!(mistake.code == Some(1) && mistake.error().contains("did you mean CRM_JWT_SECRET?"), "{mistake:?}");
    assert!(!mistake.stderr.contains("canary") && !output.stdout.contains("canary"));
}

#[test]
fn a_port_that_kubernetes_sets_counts_as_not_set() {
    // What the containers of a namespace get that has a Service named crm, and another named crm-db.
    let links = [
        ("CRM_PORT", "tcp://10.0.0.1:8080"),
        ("CRM_SERVICE_HOST", "10.0.0.1"),
        ("CRM_SERVICE_PORT", "8080"),
        ("CRM_SERVICE_PORT_HTTP", "8080"),
        ("CRM_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("CRM_PORT_8080_TCP_PROTO", "tcp"),
        ("CRM_PORT_8080_TCP_PORT", "8080"),
        ("CRM_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("CRM_DB_SERVICE_HOST", "10.0.0.2"),
        ("CRM_DB_SERVICE_PORT", "5432"),
        ("CRM_DB_PORT", "tcp://10.0.0.2:5432"),
        ("CRM_DB_PORT_5432_TCP_ADDR", "10.0.0.2"),
    ];
    let output = check(&links);
    assert_eq!((output.code, output.stdout.matches("warning: ").count()), (Some(0), 1), "{output:?}");
    assert!(output.stdout.contains("CRM_PORT: counts as not set: it is what Kubernetes sets"), "{output:?}");
    assert_eq!(shown(&links).0("CRM_PORT"), (json!("8080"), json!("default")));
    let with_port = [&links[..], &[("PORT", "9000")]].concat();
    assert_eq!(shown(&with_port).0("CRM_PORT"), (json!("9000"), json!("from PORT")));
    // The service starts with it.
    let data = tempfile::tempdir().unwrap();
    let variables =
        [("PORT", "0"), ("CRM_PORT", "tcp://10.0.0.1:8080"), ("CRM_DATA_DIR", data.path().to_str().unwrap())];
    let served = start_and_stop(&variables);
    assert_eq!((served.code, served.logged("CRM_PORT: counts as not set").len()), (Some(0), 1), "{served:?}");
    // Without such a Service these are names like any other, and a port that is none is a mistake.
    assert!(check(&[("CRM_DB_PORT", "1")]).stdout.contains("CRM_DB_PORT: is not a variable"));
    assert_eq!(check(&[("CRM_PORT", "http://10.0.0.1:8080")]).code, Some(1));
}

#[test]
fn show_says_what_holds_and_where_it_comes_from_without_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("canary-free");
    write_secret(&file, "postgres://crm:canary@db.example:6432/crm?sslmode=require&password=canary");
    let file = file.to_str().unwrap();
    let variables = [
        ("CRM_HOST", "::1"),
        ("CRM_DATABASE_URL_FILE", file),
        ("CRM_MIGRATE_URL", "postgres://owner@127.0.0.1/crm"),
        ("CRM_JWT_SECRET", "canary-canary-canary-canary-canary"),
        ("CRM_PII_KEYS", PII_KEYS),
        ("CRM_EVENTS_URL", "amqps://crm:canary@broker.example/v%2f?heartbeat=5"),
        ("CRM_PLATFORM_AUTH_CLIENT_ID", "crm"),
        ("CRM_PLATFORM_AUTH_CLIENT_SECRET", "canary"),
        ("PLATFORM_AUTH_URL", "https://id.example/introspect"),
    ];
    let (find, output) = shown(&variables);
    assert_eq!(output.code, Some(0), "{output:?}");
    for (name, value, source) in [
        ("CRM_HOST", json!("::1"), "environment".to_owned()),
        ("CRM_LOG", json!("info"), "default".to_owned()),
        ("CRM_JWT_ISSUER", Value::Null, "not set".to_owned()),
        ("CRM_DATABASE_URL", json!("postgres://crm:***@db.example:6432/crm"), format!("file {file}")),
        ("CRM_DATABASE_URL_FILE", json!(file), "environment".to_owned()),
        ("CRM_MIGRATE_URL", json!("postgres://owner@127.0.0.1:5432/crm"), "environment".to_owned()),
        ("CRM_JWT_SECRET", json!("***"), "environment".to_owned()),
        ("CRM_EVENTS_URL", json!("amqps://crm:***@broker.example:5671/v/"), "environment".to_owned()),
        ("CRM_PLATFORM_AUTH_CLIENT_SECRET", json!("***"), "environment".to_owned()),
    ] {
        assert_eq!(find(name), (value, json!(source)), "{name}");
    }
    let key = PII_KEYS.split(':').next().unwrap();
    assert_eq!(find("CRM_PII_KEYS").0, json!(format!("{key}:***")));
    let text = run_crm(&["config", "show"], &variables);
    for printed in [&output.stdout, &text.stdout] {
        assert!(!printed.replace("canary-free", "").contains("canary"), "{printed}");
        assert!(!printed.contains(PII_KEYS.split(':').nth(1).unwrap()), "{printed}");
    }
    // What the service makes itself is named too.
    let (find, _) = shown(&[("CRM_DATA_DIR", "/var/lib/crm")]);
    let made = |file: &str| (json!("***"), json!(format!("file /var/lib/crm/{file}, made at the first start")));
    assert_eq!((find("CRM_PII_KEYS"), find("CRM_JWT_SECRET")), (made("crm.db.keys"), made("jwt_secret")));
}

#[test]
fn show_shows_everything_also_where_something_is_wrong() {
    let variables = [("CRM_PORT", "canary"), ("CRM_LOG", "debug"), ("CRM_JWT_SECRET", "canary")];
    let output = run_crm(&["config", "show"], &variables);
    assert_eq!(output.code, Some(1), "{output:?}");
    let line = |name: &str| output.stdout.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
    assert!(line("CRM_PORT ").contains("(not valid)") && line("CRM_LOG ").contains("debug"), "{output:?}");
    assert!(output.error().contains("CRM_PORT: must be a port") && !output.stdout.contains("canary"), "{output:?}");
}
