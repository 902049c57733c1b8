//! The binary, run to its end.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
};

use super::SECRET;

/// How a run of the binary ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    /// Standard error: the log, and what an operator is told.
    pub err: String,
}

/// Runs the binary with an empty environment but for these variables.
pub fn crm(arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_crm"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs `crm serve` and asks it to stop as soon as it serves: it ends with 0 if it could start.
pub fn served(variables: &[(&str, &str)]) -> Ended {
    let mut child = Command::new(env!("CARGO_BIN_EXE_crm"))
        .arg("serve")
        .env_clear()
        .envs([("CRM_PORT", "0"), ("CRM_JWT_SECRET", SECRET)])
        .envs(variables.iter().copied())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut err = String::new();
    while log.read_line(&mut err).unwrap() > 0 {
        if err.lines().last().is_some_and(|line| line.contains("\"serving\"")) {
            let asked = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
            assert!(asked.success());
            break;
        }
    }
    log.read_to_string(&mut err).unwrap();
    Ended { code: child.wait().unwrap().code(), out: String::new(), err }
}
