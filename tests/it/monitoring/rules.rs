//! The rules, their tests and the run book: each alert is in all of them.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use yaml_serde::Value;

use super::judge::{RULES, is_there};
use crate::harness::{Service, contract::Contract, metrics::Scrape};

fn at(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rules, each with its expression.
fn rules() -> Vec<Value> {
    let document: Value = yaml_serde::from_str(&at("delivery/monitoring/rules.yml")).unwrap();
    let groups = document["groups"].as_sequence().unwrap().iter();
    groups.flat_map(|group| group["rules"].as_sequence().unwrap().clone()).collect()
}

fn alerts() -> Vec<Value> {
    rules().into_iter().filter(|rule| rule.get("alert").is_some()).collect()
}

fn name(alert: &Value) -> &str {
    alert["alert"].as_str().unwrap()
}

#[test]
fn each_alert_has_a_paragraph_in_the_run_book_which_it_links_to() {
    let book = at("delivery/README.md");
    let told: BTreeSet<&str> = book.lines().filter_map(|line| line.strip_prefix("#### Crm")).collect();
    let alerts = alerts();
    let named: BTreeSet<&str> = alerts.iter().map(|alert| name(alert).strip_prefix("Crm").unwrap()).collect();
    assert_eq!(named, told);
    for alert in &alerts {
        let (name, annotations) = (name(alert), &alert["annotations"]);
        let link = format!("delivery/README.md#{}", name.to_lowercase());
        assert_eq!(annotations["runbook_url"].as_str(), Some(link.as_str()), "{name}");
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(["page", "ticket", "info"].contains(&severity), "{name}: {severity}");
        let paragraph = book.split(&format!("\n#### {name}\n")).nth(1).unwrap().split("\n#").next().unwrap();
        assert!(paragraph.trim().len() > 80, "{name}: the run book does not say what to do");
    }
}

#[test]
fn each_line_of_the_log_that_the_run_book_quotes_is_logged() {
    let book = at("delivery/README.md");
    let alerts = book.split("\n### Alerts\n").nth(1).unwrap().split("\n## ").next().unwrap().replace('\n', " ");
    let quoted: Vec<&str> = alerts.split("line `").skip(1).map(|rest| rest.split('`').next().unwrap()).collect();
    assert!(quoted.len() > 6, "{quoted:?}");
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut sources = String::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let unknown: Vec<_> = quoted.iter().filter(|line| !sources.contains(**line)).collect();
    assert!(unknown.is_empty(), "nothing logs {unknown:?}");
}

#[test]
fn each_alert_is_tested_by_rules_that_fire_and_do_not_and_by_its_fault() {
    let tests = at("delivery/monitoring/rules_test.yml");
    let mut faults = String::new();
    for file in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/monitoring")).unwrap() {
        faults.push_str(&fs::read_to_string(file.unwrap().path()).unwrap());
    }
    let document: Value = yaml_serde::from_str(&tests).unwrap();
    for alert in &alerts() {
        let name = name(alert);
        let asked = document["tests"].as_sequence().unwrap().iter();
        let asked = asked.flat_map(|test| test["alert_rule_test"].as_sequence().cloned().unwrap_or_default());
        let outcomes: BTreeSet<bool> = asked
            .filter(|question| question["alertname"].as_str() == Some(name))
            .map(|question| question["exp_alerts"].as_sequence().is_some_and(|alerts| !alerts.is_empty()))
            .collect();
        assert_eq!(outcomes, BTreeSet::from([false, true]), "{name}: rules_test.yml");
        assert!(faults.contains(&format!("\"{name}\"")), "{name}: no test makes its fault happen");
    }
}

#[tokio::test]
async fn every_metric_of_a_rule_is_one_of_the_service() {
    let service = Service::start().await;
    let _tasks = crm::background::Background::start(&service.app, Vec::new(), Vec::new(), Vec::new());
    let scrape = Scrape::of(&service);
    let recorded: BTreeSet<String> =
        rules().iter().filter_map(|rule| rule.get("record")?.as_str().map(str::to_owned)).collect();
    for rule in rules() {
        let expression = rule["expr"].as_str().unwrap();
        for word in expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':') {
            let is_metric = word.starts_with("crm_") || word.starts_with("process_");
            assert!(!is_metric || scrape.samples.iter().any(|it| it.name == word), "{expression}: there is no {word}");
            assert!(!word.starts_with("crm:") || recorded.contains(word), "{expression}: nothing records {word}");
        }
    }
    let routes: BTreeSet<String> = crm::service::contract::contract().paths().templates().map(str::to_owned).collect();
    for route in ["/events", "/health", "/livez", "/readyz"] {
        assert!(routes.contains(route) && !Contract::emitted().operations().is_empty(), "{route}");
    }
}

#[test]
fn promtool_accepts_the_rules_their_tests_and_the_configuration() {
    if !is_there("promtool") {
        return;
    }
    let folder = Path::new(RULES).parent().unwrap();
    for arguments in [
        ["check", "rules", "rules.yml"].as_slice(),
        &["check", "config", "prometheus.yml"],
        &["test", "rules", "rules_test.yml"],
    ] {
        let output = Command::new("promtool").args(arguments).current_dir(folder).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
    }
}
