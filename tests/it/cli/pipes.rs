//! Output that somebody stops reading: `crm … | head`.

use std::{
    io::{BufRead, BufReader, Read},
    process::Stdio,
};

use serde_json::json;

use crate::harness::{Service, audit::copy_entry, command};

/// As a shell reports a program that was ended by SIGPIPE.
const CLOSED: Option<i32> = Some(141);

/// Runs a command, reads its first line, and closes the pipe; returns its exit code and what it said of it.
fn read_one_line(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut child = command(arguments, variables).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::with_capacity(1, child.stdout.take().unwrap());
    let mut line = Vec::new();
    output.read_until(b'\n', &mut line).unwrap();
    assert!(!line.is_empty(), "{arguments:?} prints nothing");
    drop(output);
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (child.wait().unwrap().code(), said)
}

#[tokio::test]
async fn a_command_whose_output_nobody_reads_any_more_ends_silently() {
    let service = Service::start().await;
    service.post("/customers", json!({ "name": "x" })).send().await.expect(201);
    // More than a pipe holds.
    copy_entry(&service, "default", 1500).await;
    let url = service.database.url();
    let database = [("CRM_DATABASE_URL", url.as_str())];
    for (arguments, variables) in [
        (&["audit", "export"][..], &database[..]),
        (&["openapi"], &[]),
        (&["completions", "bash"], &[]),
        (&["man"], &[("CRM_LOG_FORMAT", "json")]),
    ] {
        let (code, said) = read_one_line(arguments, variables);
        // What fits into the pipe is written before anybody closes it.
        assert!(code == CLOSED || (code == Some(0) && arguments == ["man"]), "{arguments:?}: {code:?} {said}");
        assert_eq!(said, "", "{arguments:?}");
    }
}
