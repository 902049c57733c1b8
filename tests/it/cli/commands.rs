//! The binary, as an operator meets it.

use std::{
    collections::HashSet,
    path::Path,
    process::{Command, Output},
};

use crm::pii::keys::PiiKeys;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::{
    audit::chain::unguard,
    harness::{Ended, Service, TestDatabase, id, on_postgres, served},
};

/// Runs the binary with an empty environment but for these variables.
fn crm(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_crm"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn openapi_prints_the_contract_and_needs_no_environment() {
    let directory = tempfile::tempdir().unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_crm")).arg("openapi").env_clear().current_dir(&directory).output().unwrap();
    assert!(output.status.success());
    assert_eq!(text(&output.stdout), include_str!("../../../openapi/api_contract.yaml"));
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0, "it left something behind");
}

#[test]
fn serve_help_lists_every_variable_with_its_default() {
    let help = text(&crm(&["serve", "--help"], &[]).stdout);
    for variable in crm::config::Config::variables() {
        assert!(help.contains(variable.name) && help.contains(&variable.default), "{help}");
    }
}

#[test]
fn mistakes_in_the_environment_end_the_command_with_a_list() {
    let output = crm(&["serve"], &[("CRM_PORT", "x"), ("CRM_HOST", "y")]);
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(message.contains("CRM_PORT: ") && message.contains("CRM_HOST: "), "{message}");
}

#[test]
fn token_makes_a_development_secret_once_for_its_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let variables = [("CRM_DATA_DIR", data.to_str().unwrap())];
    let first = crm(&["token"], &variables);
    assert!(first.status.success(), "{}", text(&first.stderr));
    assert_eq!(text(&first.stdout).trim().split('.').count(), 3);
    assert_eq!(text(&first.stdout).lines().count(), 1);
    let secret = std::fs::read_to_string(data.join("jwt_secret")).unwrap();
    assert!(secret.trim().len() >= 32);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(data.join("jwt_secret")).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(crm(&["token", "--tenant", "acme", "--scope", "crm:read", "--ttl", "5m"], &variables).status.success());
    assert_eq!(std::fs::read_to_string(data.join("jwt_secret")).unwrap(), secret);
    assert!(!crm(&["token", "--tenant", "a b"], &variables).status.success());
    assert!(!crm(&["token", "--ttl", "soon"], &variables).status.success());
}

#[test]
fn token_cannot_sign_for_a_public_key() {
    let key = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/auth/keys/ec.pub.pem");
    let output = crm(&["token"], &[("CRM_JWT_PUBLIC_KEY_FILE", key.to_str().unwrap())]);
    assert!(!output.status.success() && text(&output.stderr).contains("private key"));
}

#[test]
fn migrate_reports_applies_and_takes_back() {
    let directory = tempfile::tempdir().unwrap();
    let variables = [("CRM_DATA_DIR", directory.path().to_str().unwrap())];
    let lines = |arguments: &[&str]| {
        let output = crm(arguments, &variables);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    assert_eq!(lines(&["migrate", "status"]).matches("pending ").count(), 10);
    assert_eq!(lines(&["migrate", "up"]).matches("applied ").count(), 10);
    assert_eq!(lines(&["migrate", "down"]).matches("applied ").count(), 9);
    assert_eq!(lines(&["migrate", "down", "9"]).matches("pending ").count(), 10);
}

#[test]
fn healthcheck_fails_where_nothing_listens() {
    let output = crm(&["healthcheck"], &[("CRM_PORT", "1")]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn serve_refuses_a_database_that_is_behind_when_told_to_check() {
    let directory = tempfile::tempdir().unwrap();
    let variables = [("CRM_DATA_DIR", directory.path().to_str().unwrap()), ("CRM_MIGRATE", "check"), ("CRM_PORT", "0")];
    let output = crm(&["serve"], &variables);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("crm migrate up"), "{}", text(&output.stderr));
}

#[test]
fn keygen_prints_a_new_key_as_it_is_configured() {
    let keys: Vec<String> = (0..2)
        .map(|_| {
            let output = crm(&["keygen", "pii"], &[]);
            assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
            text(&output.stdout)
        })
        .collect();
    let parsed: Vec<PiiKeys> = keys.iter().map(|line| line.strip_suffix('\n').unwrap().parse().unwrap()).collect();
    assert!(keys.iter().all(|key| key.lines().count() == 1) && parsed.iter().all(|keys| keys.as_slice().len() == 1));
    let [one, other] = [&parsed[0].as_slice()[0], &parsed[1].as_slice()[0]];
    assert!(one.id != other.id && one.reveal() != other.reveal());
}

/// The lines of a JSON log at WARN.
fn warnings(ended: &Ended) -> Vec<Value> {
    let lines = ended.err.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["level"] == "WARN").collect()
}

/// Seals a value with the keys that a service finds by itself or is given.
async fn sealed(database: TestDatabase, keys: &[(&str, &str)]) -> TestDatabase {
    let mut variables = vec![("CRM_PII_KEYS", "")];
    variables.extend(keys);
    let service = Service::on(database, &variables).await;
    service.create("/customers", json!({ "name": "x", "contactPhone": "13812345678" })).await;
    service.app.database().close().await.unwrap();
    service.database
}

#[tokio::test]
async fn serve_makes_a_key_beside_the_embedded_database_and_stands_by_it() {
    let database = TestDatabase::sqlite();
    let TestDatabase::Sqlite { directory } = &database else { panic!("not on SQLite") };
    let (url, file) = (database.url(), directory.path().join("crm.db.keys"));
    let variables = [("CRM_DATABASE_URL", url.as_str())];
    let first = served(&variables);
    assert_eq!(first.code, Some(0), "{first:?}");
    let made = |ended: &Ended| warnings(ended).iter().filter(|line| line["file"] == file.to_str().unwrap()).count();
    assert_eq!(made(&first), 1, "{first:?}");
    let written = std::fs::read_to_string(&file).unwrap();
    let key = written.parse::<PiiKeys>().unwrap().as_slice()[0].clone();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(!first.err.contains(written.trim().split_once(':').unwrap().1), "the key is in the log");

    let second = served(&variables);
    assert_eq!((second.code, made(&second)), (Some(0), 0), "{second:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), written);

    let database = sealed(database, &[]).await;
    std::fs::remove_file(&file).unwrap();
    let lost = served(&variables);
    assert_eq!(lost.code, Some(1), "{lost:?}");
    assert!(lost.err.contains(&format!("CRM_PII_KEYS: the key {} is missing", key.id)), "{lost:?}");
    assert!(!file.exists(), "a lost key was replaced");

    let bytes = "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=";
    std::fs::write(&file, format!("{}:{bytes}\n", key.id)).unwrap();
    let wrong = served(&variables);
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    assert!(wrong.err.contains(&format!("CRM_PII_KEYS: the key {} is not the one", key.id)), "{wrong:?}");
    assert!(!wrong.err.contains(bytes), "the key is in the log");

    std::fs::write(&file, "no key\n").unwrap();
    let malformed = served(&variables);
    assert_eq!(malformed.code, Some(1), "{malformed:?}");
    assert!(malformed.err.contains("crm.db.keys: key 1 must be id:base64"), "{malformed:?}");

    std::fs::write(&file, written).unwrap();
    let last = served(&variables);
    assert_eq!(last.code, Some(0), "{last:?}");
    drop(database);
}

#[tokio::test]
async fn serve_refuses_to_start_without_a_key_that_stored_values_need() {
    let key = "needed:YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=";
    let other = "other:YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI=";
    let database = sealed(TestDatabase::new().await, &[("CRM_PII_KEYS", key)]).await;
    let url = database.url();
    for encryption in ["on", "off"] {
        let variables =
            [("CRM_DATABASE_URL", url.as_str()), ("CRM_PII_ENCRYPTION", encryption), ("CRM_PII_KEYS", other)];
        let missing = served(&variables);
        assert_eq!(missing.code, Some(1), "{missing:?}");
        assert!(missing.err.contains("CRM_PII_KEYS: the key needed is missing"), "{missing:?}");
    }
    let ended = served(&[("CRM_DATABASE_URL", &url), ("CRM_PII_KEYS", &format!("{other},{key}"))]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[tokio::test]
async fn serve_demands_a_key_for_a_database_server() {
    if on_postgres() {
        let database = TestDatabase::new().await;
        let url = database.url();
        let ended = served(&[("CRM_DATABASE_URL", &url)]);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(
            ended.err.contains("CRM_PII_KEYS or CRM_PII_KEYS_FILE") && ended.err.contains("keygen pii"),
            "{ended:?}"
        );
        let ended = served(&[("CRM_DATABASE_URL", &url), ("CRM_PII_ENCRYPTION", "off")]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}

#[tokio::test]
async fn keys_may_stand_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys");
    let (a, b) = ("a:YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=", "b:YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI=");
    let variables = [("CRM_PII_KEYS", ""), ("CRM_PII_KEYS_FILE", file.to_str().unwrap())];
    let mut database = sealed(TestDatabase::new().await, &[("CRM_PII_KEYS", a)]).await;
    for separator in [",", "\n", ",\n\n"] {
        std::fs::write(&file, format!("{b}{separator}{a}\n")).unwrap();
        let service = Service::on(database, &variables).await;
        let customer = id(&service.read("/customers").await["data"][0], "customerId");
        let seen = service.read(&format!("/customers/{customer}")).await;
        assert_eq!(seen["contactPhone"], "13812345678");
        assert_eq!(service.app.vault().sealing_key().unwrap().as_str(), "b");
        service.app.database().close().await.unwrap();
        database = service.database;
    }
    std::fs::remove_file(&file).unwrap();
    let url = database.url();
    let ended = served(&[("CRM_DATABASE_URL", &url), ("CRM_PII_KEYS_FILE", file.to_str().unwrap())]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains(file.to_str().unwrap()) && !file.exists(), "{ended:?}");
}

#[tokio::test]
async fn audit_verify_says_a_line_per_tenant_and_fails_naming_what_was_tampered_with() {
    let service = Service::start().await;
    for tenant in ["default", "default", "other"] {
        service.post("/customers", json!({ "name": "x" })).tenant(tenant).send().await.expect(201);
    }
    service.app.chain_audit_entries().await.unwrap();
    service.post("/customers", json!({ "name": "x" })).tenant("other").send().await.expect(201);
    let url = service.database.url();
    let variables = [("CRM_DATABASE_URL", url.as_str())];
    let entries = service.trail("").await;
    let (head, first) = (entries[0]["hash"].as_str().unwrap(), entries[1]["auditLogId"].as_str().unwrap());
    let output = crm(&["audit", "verify"], &variables);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 2, "{printed}");
    assert_eq!(lines[0], format!("default: 2 entries verified, 0 not chained yet, head 2 {head}"));
    assert!(lines[1].starts_with("other: 1 entries verified, 1 not chained yet, head 1 "), "{printed}");

    let database = service.database.connect().await;
    unguard(&database).await;
    let tamper = "UPDATE audit_logs SET actor = 'nobody' WHERE tenant_id = 'default' AND audit_log_id = \
                  (SELECT audit_log_id FROM audit_chain WHERE tenant_id = 'default' AND sequence = 1)";
    database.execute_unprepared(tamper).await.unwrap();
    let output = crm(&["audit", "verify"], &variables);
    assert_eq!(output.status.code(), Some(1));
    let printed = text(&output.stdout);
    assert!(printed.contains(&format!("default: entry {first}, number 1,")), "{printed}");
    assert!(!printed.contains("other: entry"), "{printed}");
    assert!(text(&output.stderr).contains("1 faults in the audit trail"), "{}", text(&output.stderr));
}

#[tokio::test]
async fn audit_export_prints_every_entry_once_as_the_api_shows_it() {
    let service = Service::start().await;
    for tenant in ["default", "default", "other"] {
        service.post("/customers", json!({ "name": "x" })).tenant(tenant).send().await.expect(201);
        service.app.chain_audit_entries().await.unwrap();
    }
    // More than is read at a time, most of them at the same instant.
    crate::audit::chain::many(&service, "other", 2100).await;
    let url = service.database.url();
    let export = |arguments: &[&str]| {
        let output = crm(&[&["audit", "export"], arguments].concat(), &[("CRM_DATABASE_URL", url.as_str())]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let lines = text(&output.stdout);
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    let mut shown = service.trail("").await;
    shown.reverse();
    assert_eq!(export(&["--tenant", "default"]), shown);
    let other = export(&["--tenant", "other"]);
    assert!(other.iter().all(|entry| entry["tenantId"] == "other"));
    let ids: HashSet<&str> = other.iter().map(|entry| entry["auditLogId"].as_str().unwrap()).collect();
    assert_eq!((other.len(), ids.len()), (2101, 2101));
    assert_eq!(export(&[]), [shown, other].concat());
    assert_eq!(export(&["--tenant", "nobody"]), [] as [Value; 0]);
    let output = crm(&["audit", "export", "--tenant", "a b"], &[("CRM_DATABASE_URL", &url)]);
    assert!(!output.status.success() && text(&output.stderr).contains("--tenant must be"), "{}", text(&output.stderr));
}

#[test]
fn audit_refuses_a_database_that_is_behind() {
    let directory = tempfile::tempdir().unwrap();
    let variables = [("CRM_DATA_DIR", directory.path().to_str().unwrap())];
    let refused = || {
        for task in ["verify", "export"] {
            let output = crm(&["audit", task], &variables);
            assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), String::new()));
            assert!(text(&output.stderr).contains("crm migrate up"), "{}", text(&output.stderr));
        }
    };
    refused();
    assert!(crm(&["migrate", "up"], &variables).status.success());
    assert!(crm(&["audit", "verify"], &variables).status.success());
    assert!(crm(&["migrate", "down"], &variables).status.success());
    refused();
}
