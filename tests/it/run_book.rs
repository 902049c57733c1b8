//! The run book (`delivery/README.md`): its commands are run as they stand there, each procedure names what has tried it, and each
//! fault what to do.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::harness::free_port;

fn book() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/delivery/README.md")).unwrap()
}

/// A part of it, from its heading to the next of the same rank.
fn part(heading: &str) -> String {
    let rank = format!("\n{} ", heading.split(' ').next().unwrap());
    let book = book();
    let (_, after) = book.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("there is no {heading}"));
    after.split(&rank).next().unwrap().to_owned()
}

/// The procedures, each with its heading and text.
fn procedures() -> Vec<(String, String)> {
    let parts = part("## Run book");
    let procedures = parts.split("\n### ").skip(1).map(|text| text.split_once('\n').unwrap());
    procedures.map(|(heading, text)| (heading.to_owned(), text.to_owned())).collect()
}

/// The blocks of commands that are run.
fn blocks(text: &str) -> Vec<&str> {
    text.split("\n```sh\n").skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

/// What stands before a procedure: what there is to be erased, and to be kept.
fn before(heading: &str) -> &'static str {
    match heading {
        "Start, stop and look" => "crm seed --customers 1 --tenant acme\n",
        "Back up" => "crm seed --customers 3 --tenant acme\n",
        "Restore" => "crm seed --customers 5 --tenant acme\n",
        "Erase a customer, or a tenant" => "crm seed --customers 2 --tenant leaving\n",
        _ => "",
    }
}

#[test]
fn the_commands_of_the_run_book_work_as_they_stand_there() {
    let directory = tempfile::tempdir().unwrap();
    let top = directory.path().to_str().unwrap();
    let mut script = "set -euo pipefail\ntrap 'kill $(cat /var/lib/crm/pid) 2>/dev/null' EXIT\n".to_owned();
    let mut commands = 0;
    for (heading, text) in procedures() {
        script.push_str(&format!("echo '== {heading}'\n{}", before(&heading)));
        for block in blocks(&text) {
            script.push_str(block);
            script.push('\n');
            commands += block.matches("crm ").count();
        }
    }
    assert!(commands > 15, "{script}");
    for place in ["/var/lib/crm", "/etc/crm", "/backup"] {
        script = script.replace(place, &format!("{top}{place}"));
    }
    let program = Path::new(env!("CARGO_BIN_EXE_crm")).parent().unwrap();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", program.display());
    let port = free_port().to_string();
    let output = Command::new("bash")
        .args(["-c", &script])
        .env_clear()
        .envs([("PATH", path.as_str()), ("CRM_PORT", &port), ("CRM_METRICS_ADDR", "off"), ("TMPDIR", top)])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let log = fs::read_to_string(format!("{top}/var/lib/crm/log")).unwrap_or_default();
    assert!(output.status.success(), "{}\n{out}\n{error}\n{log}", output.status);
    for said in [
        "13 of 15 lines hold",
        "the audit trail is unbroken",
        "rows as of",
        "are restored to",
        "the database that was there is now",
    ] {
        assert!(out.contains(said), "it does not say {said:?}:\n{out}\n{error}");
    }
    // What came after the backup is gone with the restore; what was erased is erased.
    let names = fs::read_dir(format!("{top}/backup")).unwrap().count();
    assert_eq!(names, 1);
    let key = fs::read_to_string(format!("{top}/etc/crm/pii-keys")).unwrap();
    assert_eq!(key, fs::read_to_string(format!("{top}/etc/crm/new-key")).unwrap());
}

#[test]
fn each_procedure_says_what_has_tried_it() {
    let procedures = procedures();
    let headings: Vec<&str> = procedures.iter().map(|(heading, _)| heading.as_str()).collect();
    for expected in ["Install and configure", "TLS", "Back up", "Restore", "Rotate keys", "Replay events"] {
        assert!(headings.contains(&expected), "{headings:?}");
    }
    for (heading, text) in procedures {
        let says = text.to_lowercase().contains("tried by") || heading == "When something is wrong";
        assert!(says, "{heading}: nothing says by what it was tried");
    }
}

/// The first cells of the first table of a text.
fn first_cells(text: &str) -> BTreeSet<String> {
    let rows =
        text.lines().skip_while(|line| !line.starts_with("|---")).skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.split(" | ").next().unwrap().trim_start_matches("| ").to_owned()).collect()
}

#[test]
fn each_fault_says_what_to_do() {
    let faults = part("## Faults");
    let (table, to_do) = faults.split_once("\n### What to do\n").unwrap();
    let (table, to_do) = (first_cells(table), first_cells(to_do));
    assert!(table.len() > 15, "{table:?}");
    assert_eq!(table, to_do);
}

/// Links within the document lead to headings; where one stands twice, the second has `-1` behind it.
#[test]
fn each_link_within_the_document_leads_somewhere() {
    let book = book();
    let mut anchors = BTreeSet::new();
    for heading in book.lines().filter(|line| line.starts_with('#')) {
        let kept = |c: &char| c.is_alphanumeric() || [' ', '-', '_'].contains(c);
        let name: String = heading.trim_start_matches('#').trim().to_lowercase().chars().filter(kept).collect();
        let name = name.replace(' ', "-");
        let free = (1..).map(|number| format!("{name}-{number}"));
        let anchor = [name.clone()].into_iter().chain(free).find(|anchor| !anchors.contains(anchor)).unwrap();
        anchors.insert(anchor);
    }
    let links = book.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap());
    let broken: Vec<&str> = links.filter(|link| !anchors.contains(*link)).collect();
    assert_eq!(broken, [] as [&str; 0]);
}
