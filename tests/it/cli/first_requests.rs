//! The first requests of the README, as whoever reads it sends them.

use std::process::Command;

use crate::harness::{Process, SECRET, TestDatabase, variable};

/// The block, which `make first-requests` runs and `make run` prints.
fn block() -> String {
    let (_, rest) = include_str!("../../../README.md").split_once("<!-- first requests -->\n").unwrap();
    let (block, _) = rest.split_once("<!-- end of first requests -->").unwrap();
    block.lines().filter(|line| !line.starts_with("```")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_first_requests_hide_no_command_of_the_shell() {
    let block = block();
    let functions: Vec<&str> = block.lines().filter_map(|line| Some(line.split_once("() {")?.0)).collect();
    assert!(!functions.is_empty(), "{block}");
    for name in functions {
        let found = Command::new("bash").args(["-c", &format!("command -v {name}")]).output().unwrap();
        assert!(!found.status.success() && name != "crm", "{name} is the name of a command");
    }
}

#[tokio::test]
async fn the_first_requests_succeed_and_print_one_line_each() {
    let has_curl = Command::new("curl").arg("--version").output().is_ok();
    if !has_curl && variable("CI").is_none() {
        eprintln!("== SKIPPED: there is no curl");
        return;
    }
    let database = TestDatabase::sqlite();
    let process = Process::start(&database);
    let (_, port) = process.address.rsplit_once(':').unwrap();
    let script = block().replace("target/debug/crm", env!("CARGO_BIN_EXE_crm"));
    let mut shell = Command::new("bash");
    shell.args(["-euc", &script]).env("CRM_PORT", port).env("CRM_JWT_SECRET", SECRET);
    let output = tokio::task::spawn_blocking(move || shell.output()).await.unwrap().unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{stdout}{stderr}");
    assert_eq!(stderr, "crm: signed with the secret in CRM_JWT_SECRET\n");
    let lines: Vec<&str> = stdout.lines().collect();
    // A reply without a body prints nothing, not even a blank line.
    assert!(lines.len() > 20 && lines.iter().all(|line| line.starts_with('{')), "{stdout}");
    assert!(!stdout.contains("\"code\""), "{stdout}");
    assert_eq!(process.stop().await, Some(0));
}

/// `make run` needs what builds the service, and nothing else.
#[test]
fn make_run_needs_neither_python_nor_curl() {
    let makefile = include_str!("../../../Makefile");
    for target in ["build", "run", "demo"] {
        let (_, rest) = makefile.split_once(&format!("\n{target}:")).unwrap();
        let recipe: String = rest.lines().skip(1).take_while(|line| line.starts_with('\t')).collect();
        assert!(!recipe.is_empty() && !recipe.contains("python") && !recipe.contains("curl"), "{target}: {recipe}");
    }
    let installed = include_str!("../../../.ci/run");
    for need in ["need curl ", "need python3-venv "] {
        assert!(installed.contains(need), ".ci/run does not install what it says with {need}");
    }
}
