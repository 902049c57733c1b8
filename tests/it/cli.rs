//! The binary, as an operator meets it.

use std::{
    collections::HashSet,
    path::Path,
    process::{Command, Output},
};

use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::{audit_chain::unguard, harness::Service};

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
    assert_eq!(text(&output.stdout), include_str!("../../openapi/api_contract.yaml"));
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
    let key = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/keys/ec.pub.pem");
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
    assert_eq!(lines(&["migrate", "status"]).matches("pending ").count(), 7);
    assert_eq!(lines(&["migrate", "up"]).matches("applied ").count(), 7);
    assert_eq!(lines(&["migrate", "down"]).matches("applied ").count(), 6);
    assert_eq!(lines(&["migrate", "down", "6"]).matches("pending ").count(), 7);
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
    crate::audit_chain::many(&service, "other", 2100).await;
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
