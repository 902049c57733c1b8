//! The binary, as an operator meets it.

use std::{
    path::Path,
    process::{Command, Output},
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
    assert_eq!(lines(&["migrate", "status"]).matches("pending ").count(), 8);
    assert_eq!(lines(&["migrate", "up"]).matches("applied ").count(), 8);
    assert_eq!(lines(&["migrate", "down"]).matches("applied ").count(), 7);
    assert_eq!(lines(&["migrate", "down", "7"]).matches("pending ").count(), 8);
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
