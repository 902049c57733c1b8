//! The commands, as an operator runs them.

use std::{collections::HashSet, path::Path};

use crm::{audit::chain, config::PiiKeys, database::migrate};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::harness::{
    CommandOutput, Process, Service, TestDatabase,
    audit::{copy_entry, drop_triggers},
    command, id, on_postgres, run_crm, start_and_stop, start_and_stop_developing, write_secret,
};

#[test]
fn openapi_prints_the_contract_and_needs_no_environment() {
    let directory = tempfile::tempdir().unwrap();
    let output = command(&["openapi"], &[]).current_dir(&directory).output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), include_str!("../../../openapi/api_contract.yaml"));
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0, "files are left behind");
}

#[test]
fn serve_help_lists_every_variable_with_its_default() {
    let help = run_crm(&["serve", "--help"], &[]).stdout;
    for variable in crm::config::Config::variables() {
        assert!(help.contains(variable.name) && help.contains(&variable.default), "{help}");
    }
}

#[test]
fn invalid_variables_are_listed_and_the_command_exits_with_1() {
    let output = run_crm(&["serve"], &[("CRM_PORT", "x"), ("CRM_HOST", "y")]);
    assert_eq!(output.code, Some(1));
    let message = output.stderr;
    assert!(message.contains("CRM_PORT: ") && message.contains("CRM_HOST: "), "{message}");
}

#[test]
fn token_signs_with_the_services_secret_makes_none_and_says_which() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let variables = [("CRM_DATA_DIR", data.to_str().unwrap())];
    let early = run_crm(&["token"], &variables);
    assert_eq!((early.code, early.stdout.as_str(), data.exists()), (Some(1), "", false), "{early:?}");
    assert!(
        early.error().starts_with(&format!("there is no secret in {}", data.join("jwt_secret").display())),
        "{early:?}"
    );

    assert_eq!(start_and_stop_developing(&variables).code, Some(0));
    let secret = std::fs::read_to_string(data.join("jwt_secret")).unwrap();
    let first = run_crm(&["token"], &variables);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert_eq!(first.stdout.trim().split('.').count(), 3);
    assert_eq!(first.stdout.lines().count(), 1);
    assert_eq!(first.stderr, format!("crm: signed with the secret in {}\n", data.join("jwt_secret").display()));
    assert!(secret.trim().len() >= 32);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(data.join("jwt_secret")).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(run_crm(&["token", "--tenant", "acme", "--scope", "crm:read", "--ttl", "5m"], &variables).code, Some(0));
    assert_eq!(std::fs::read_to_string(data.join("jwt_secret")).unwrap(), secret);
    assert_ne!(run_crm(&["token", "--tenant", "a b"], &variables).code, Some(0));
    assert_ne!(run_crm(&["token", "--ttl", "soon"], &variables).code, Some(0));
    // From its own directory, the path that it says is whole all the same.
    let here = command(&["token"], &[("CRM_DATA_DIR", "data")]).current_dir(&directory).output().unwrap();
    let said = String::from_utf8(here.stderr).unwrap();
    assert!(here.status.success() && said.ends_with("/data/jwt_secret\n") && said.contains("in /"), "{said}");
    let file = directory.path().join("secret");
    write_secret(&file, &"x".repeat(32));
    for (variable, value, from) in [
        ("CRM_JWT_SECRET", "x".repeat(32), "CRM_JWT_SECRET"),
        ("CRM_JWT_SECRET_FILE", file.display().to_string(), "/secret"),
    ] {
        let output = run_crm(&["token"], &[(variable, &value)]);
        assert!(output.code == Some(0) && output.stderr.trim_end().ends_with(from), "{output:?}");
    }
}

#[test]
fn token_refuses_scopes_that_this_service_does_not_have() {
    let token = |scope: &str| run_crm(&["token", "--scope", scope], &[("CRM_JWT_SECRET", &"x".repeat(32))]);
    for scope in ["crm:wirte", "crm:read crm:wirte", "CRM:read", "crm:", "crm:read,crm:pii"] {
        let refused = token(scope);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{scope}: {refused:?}");
        assert!(
            refused.error().contains("is not a scope of this service, which are crm:read, crm:write"),
            "{refused:?}"
        );
    }
    for scope in
        ["crm:read", "crm:read crm:write crm:pii:read crm:pii:erase crm:audit:read", "openid crm:read", "openid"]
    {
        assert_eq!(token(scope).code, Some(0), "{scope}");
    }
}

#[test]
fn token_refuses_to_sign_with_a_public_key() {
    let key = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/auth/keys/ec.pub.pem");
    let output = run_crm(&["token"], &[("CRM_JWT_PUBLIC_KEY_FILE", key.to_str().unwrap())]);
    assert_ne!(output.code, Some(0));
    assert!(output.stderr.contains("private key"), "{output:?}");
}

#[test]
fn migrate_shows_applies_and_reverts_migrations() {
    let directory = tempfile::tempdir().unwrap();
    let variables = [("CRM_DATA_DIR", directory.path().to_str().unwrap())];
    let lines = |arguments: &[&str]| {
        let output = run_crm(arguments, &variables);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        output.stdout
    };
    let all = lines(&["migrate", "status"]).matches("pending ").count();
    assert!(all > 1, "there are migrations");
    assert_eq!(lines(&["migrate", "up"]).matches("applied ").count(), all);
    assert_eq!(lines(&["migrate", "down"]).matches("applied ").count(), all - 1);
    assert_eq!(lines(&["migrate", "down", &(all - 1).to_string()]).matches("pending ").count(), all);
}

#[test]
fn healthcheck_fails_where_nothing_listens() {
    let output = run_crm(&["healthcheck"], &[("CRM_PORT", "1")]);
    assert_eq!(output.code, Some(1));
}

#[tokio::test]
async fn healthcheck_reads_host_and_port_alone() {
    let database = TestDatabase::sqlite();
    for (listen, ask) in [("::", "::"), ("0.0.0.0", "0.0.0.0"), ("127.0.0.1", "localhost"), ("::", "::1")] {
        let process = Process::at(&database.url(), &[("CRM_HOST", listen)]);
        let (_, port) = process.address.rsplit_once(':').unwrap();
        // No key, although the host is not a loopback address; and other variables are wrong.
        let variables = [("CRM_HOST", ask), ("CRM_PORT", port), ("CRM_LOG", "=,="), ("CRM_DATABASE_URL", "nowhere")];
        let output = run_crm(&["healthcheck"], &variables);
        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{listen}: {output:?}");
        // A port of Kubernetes counts as not set here too.
        let variables = [("CRM_HOST", ask), ("CRM_PORT", "tcp://10.0.0.1:8080"), ("PORT", port)];
        assert_eq!(run_crm(&["healthcheck"], &variables).code, Some(0));
        assert_eq!(process.stop().await, Some(0));
    }
    let wrong = run_crm(&["healthcheck"], &[("CRM_HOST", "nowhere"), ("CRM_PORT", "x")]);
    assert!(wrong.code == Some(1) && wrong.error().contains("CRM_HOST: ") && wrong.error().contains("CRM_PORT: "));
}

#[test]
fn with_migrate_check_serve_refuses_an_outdated_database() {
    let directory = tempfile::tempdir().unwrap();
    let variables = [("CRM_DATA_DIR", directory.path().to_str().unwrap()), ("CRM_MIGRATE", "check"), ("CRM_PORT", "0")];
    let output = run_crm(&["serve"], &variables);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("crm migrate up"), "{}", output.stderr);
}

#[test]
fn keygen_prints_a_new_key_in_the_configured_form() {
    let keys: Vec<String> = (0..2)
        .map(|_| {
            let output = run_crm(&["keygen", "pii"], &[]);
            assert!(output.code == Some(0) && output.stderr.is_empty(), "{output:?}");
            output.stdout
        })
        .collect();
    let parsed: Vec<PiiKeys> = keys.iter().map(|line| line.strip_suffix('\n').unwrap().parse().unwrap()).collect();
    assert!(keys.iter().all(|key| key.lines().count() == 1) && parsed.iter().all(|keys| keys.as_slice().len() == 1));
    let [one, other] = [&parsed[0].as_slice()[0], &parsed[1].as_slice()[0]];
    assert!(one.id != other.id && one.reveal() != other.reveal());
}

/// A database with a phone number encrypted under these keys; without any, under the key that a service finds itself.
async fn with_encrypted_phone(database: TestDatabase, keys: &[(&str, &str)]) -> TestDatabase {
    let mut variables = vec![("CRM_PII_KEYS", "")];
    variables.extend(keys);
    let service = Service::on(database, &variables).await;
    service.create("/customers", json!({ "name": "x", "contactPhone": "13812345678" })).await;
    service.app.database().close().await.unwrap();
    service.database
}

#[tokio::test]
async fn serve_creates_a_key_beside_the_sqlite_file_and_never_replaces_it() {
    let database = TestDatabase::sqlite();
    let TestDatabase::Sqlite { directory } = &database else { panic!("not on SQLite") };
    let (url, file) = (database.url(), directory.path().join("crm.db.keys"));
    let variables = [("CRM_DATABASE_URL", url.as_str())];
    let first = start_and_stop(&variables);
    assert_eq!(first.code, Some(0), "{first:?}");
    let warnings = |output: &CommandOutput| {
        let about_the_file = |line: &Value| line["level"] == "WARN" && line["file"] == file.to_str().unwrap();
        output.log().into_iter().filter(about_the_file).count()
    };
    assert_eq!(warnings(&first), 1, "{first:?}");
    let written = std::fs::read_to_string(&file).unwrap();
    let key = written.parse::<PiiKeys>().unwrap().as_slice()[0].clone();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(!first.stderr.contains(written.trim().split_once(':').unwrap().1), "the key was logged");

    let second = start_and_stop(&variables);
    assert_eq!((second.code, warnings(&second)), (Some(0), 0), "{second:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), written);

    let database = with_encrypted_phone(database, &[]).await;
    std::fs::remove_file(&file).unwrap();
    let lost = start_and_stop(&variables);
    assert_eq!(lost.code, Some(1), "{lost:?}");
    assert!(lost.stderr.contains(&format!("CRM_PII_KEYS: the key {} is missing", key.id)), "{lost:?}");
    assert!(!file.exists(), "a lost key was replaced");

    let bytes = "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=";
    write_secret(&file, &format!("{}:{bytes}\n", key.id));
    let wrong = start_and_stop(&variables);
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    assert!(wrong.stderr.contains(&format!("CRM_PII_KEYS: the key {} is not the one", key.id)), "{wrong:?}");
    assert!(!wrong.stderr.contains(bytes), "the key was logged");

    write_secret(&file, "no key\n");
    let malformed = start_and_stop(&variables);
    assert_eq!(malformed.code, Some(1), "{malformed:?}");
    assert!(malformed.stderr.contains("crm.db.keys: key 1 must be id:base64"), "{malformed:?}");

    write_secret(&file, &written);
    let last = start_and_stop(&variables);
    assert_eq!(last.code, Some(0), "{last:?}");
    drop(database);
}

#[tokio::test]
async fn serve_refuses_to_start_without_a_key_of_stored_values() {
    let key = "needed:YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=";
    let other = "other:YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI=";
    let database = with_encrypted_phone(TestDatabase::new().await, &[("CRM_PII_KEYS", key)]).await;
    let url = database.url();
    for encryption in ["on", "off"] {
        let variables =
            [("CRM_DATABASE_URL", url.as_str()), ("CRM_PII_ENCRYPTION", encryption), ("CRM_PII_KEYS", other)];
        let missing = start_and_stop(&variables);
        assert_eq!(missing.code, Some(1), "{missing:?}");
        assert!(missing.stderr.contains("CRM_PII_KEYS: the key needed is missing"), "{missing:?}");
    }
    let output = start_and_stop(&[("CRM_DATABASE_URL", &url), ("CRM_PII_KEYS", &format!("{other},{key}"))]);
    assert_eq!(output.code, Some(0), "{output:?}");
}

#[tokio::test]
async fn serve_on_postgres_requires_a_configured_key() {
    if on_postgres() {
        let database = TestDatabase::new().await;
        let url = database.url();
        let output = start_and_stop(&[("CRM_DATABASE_URL", &url)]);
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(
            output.stderr.contains("CRM_PII_KEYS or CRM_PII_KEYS_FILE") && output.stderr.contains("keygen pii"),
            "{output:?}"
        );
        let steps = migrate::status(&database.parsed_url()).await.unwrap();
        assert!(steps.iter().all(|step| !step.applied), "the schema was changed");
        let output = start_and_stop(&[("CRM_DATABASE_URL", &url), ("CRM_PII_ENCRYPTION", "off")]);
        assert_eq!(output.code, Some(0), "{output:?}");
    }
}

#[tokio::test]
async fn keys_are_read_from_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys");
    let (a, b) = ("a:YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=", "b:YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI=");
    let variables = [("CRM_PII_KEYS", ""), ("CRM_PII_KEYS_FILE", file.to_str().unwrap())];
    let mut database = with_encrypted_phone(TestDatabase::new().await, &[("CRM_PII_KEYS", a)]).await;
    for separator in [",", "\n", ",\n\n"] {
        write_secret(&file, &format!("{b}{separator}{a}\n"));
        let service = Service::on(database, &variables).await;
        let customer = id(&service.read("/customers").await["data"][0], "customerId");
        let seen = service.read(&format!("/customers/{customer}")).await;
        assert_eq!(seen["contactPhone"], "13812345678");
        assert_eq!(service.app.cipher().sealing_key().unwrap().as_str(), "b");
        service.app.database().close().await.unwrap();
        database = service.database;
    }
    std::fs::remove_file(&file).unwrap();
    let url = database.url();
    let output = start_and_stop(&[("CRM_DATABASE_URL", &url), ("CRM_PII_KEYS_FILE", file.to_str().unwrap())]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains(file.to_str().unwrap()) && !file.exists(), "{output:?}");
}

#[tokio::test]
async fn audit_verify_reports_each_tenant_and_names_the_altered_entry() {
    let service = Service::start().await;
    for tenant in ["default", "default", "other"] {
        service.post("/customers", json!({ "name": "x" })).tenant(tenant).send().await.expect(201);
    }
    chain::link_entries(service.app.database()).await.unwrap();
    service.post("/customers", json!({ "name": "x" })).tenant("other").send().await.expect(201);
    let url = service.database.url();
    let variables = [("CRM_DATABASE_URL", url.as_str())];
    let entries = service.trail("").await;
    let (head, first) = (entries[0]["hash"].as_str().unwrap(), entries[1]["auditLogId"].as_str().unwrap());
    let output = run_crm(&["audit", "verify"], &variables);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let printed = output.stdout;
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 2, "{printed}");
    assert_eq!(lines[0], format!("default: 2 entries verified, 0 not chained yet, head 2 {head}"));
    assert!(lines[1].starts_with("other: 1 entries verified, 1 not chained yet, head 1 "), "{printed}");

    let database = service.database.connect().await;
    drop_triggers(&database).await;
    let tamper = "UPDATE audit_logs SET actor = 'nobody' WHERE tenant_id = 'default' AND audit_log_id = \
                  (SELECT audit_log_id FROM audit_chain WHERE tenant_id = 'default' AND sequence = 1)";
    database.execute_unprepared(tamper).await.unwrap();
    let output = run_crm(&["audit", "verify"], &variables);
    assert_eq!(output.code, Some(1));
    let printed = output.stdout;
    assert!(printed.contains(&format!("default: entry {first}, number 1,")), "{printed}");
    assert!(!printed.contains("other: entry"), "{printed}");
    assert!(output.stderr.contains("1 faults in the audit trail"), "{}", output.stderr);
}

#[tokio::test]
async fn audit_export_prints_every_entry_once_as_the_api_shows_it() {
    let service = Service::start().await;
    for tenant in ["default", "default", "other"] {
        service.post("/customers", json!({ "name": "x" })).tenant(tenant).send().await.expect(201);
        chain::link_entries(service.app.database()).await.unwrap();
    }
    // More than one batch, most of them at the same instant.
    copy_entry(&service, "other", 2100).await;
    let url = service.database.url();
    let export = |arguments: &[&str]| {
        let output = run_crm(&[&["audit", "export"], arguments].concat(), &[("CRM_DATABASE_URL", url.as_str())]);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        let lines = output.stdout;
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
    let output = run_crm(&["audit", "export", "--tenant", "a b"], &[("CRM_DATABASE_URL", &url)]);
    assert_ne!(output.code, Some(0));
    assert!(output.stderr.contains("--tenant must be"), "{output:?}");
}

#[test]
fn audit_refuses_an_outdated_database() {
    let directory = tempfile::tempdir().unwrap();
    let variables = [("CRM_DATA_DIR", directory.path().to_str().unwrap())];
    let assert_refused = || {
        for task in ["verify", "export"] {
            let output = run_crm(&["audit", task], &variables);
            assert_eq!((output.code, output.stdout), (Some(1), String::new()));
            assert!(output.stderr.contains("crm migrate up"), "{}", output.stderr);
        }
    };
    assert_refused();
    assert_eq!(run_crm(&["migrate", "up"], &variables).code, Some(0));
    assert_eq!(run_crm(&["audit", "verify"], &variables).code, Some(0));
    assert_eq!(run_crm(&["migrate", "down"], &variables).code, Some(0));
    assert_refused();
}
