//! `delivery/postgres-backup`: dumped while it is written to, destroyed, restored, verified. Where the tests run on PostgreSQL and its
//! programs are installed.

use std::{fs, path::Path, process::Command};

use serde_json::json;

use crate::harness::{
    CommandOutput, Load, PII_KEYS, Process, TestDatabase, WriteHistory, assert_totals_right, disk::skipped,
    on_postgres, on_server, sql::scalar, within,
};

/// Runs the script; `None` where PostgreSQL's programs are not installed.
fn script(arguments: &[&str]) -> Option<CommandOutput> {
    if Command::new("pg_dump").arg("--version").output().is_err() {
        skipped("pg_dump is not installed");
        return None;
    }
    let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/delivery/postgres-backup"));
    script.args(arguments).env("CRM", env!("CARGO_BIN_EXE_crm")).env("CRM_PII_KEYS", PII_KEYS);
    // What is set for a service beside it is not used.
    let output = script.env("CRM_DATABASE_URL", "postgres://nobody@127.0.0.1:1/nowhere").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Some(CommandOutput { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) })
}

#[track_caller]
fn assert_refused(output: &CommandOutput, why: &str) {
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains(why) || output.stdout.contains(why), "{output:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_dumped_under_load_and_destroyed_is_restored() {
    if !on_postgres() {
        return;
    }
    let (database, directory) = (TestDatabase::new().await, tempfile::tempdir().unwrap());
    let (process, history) = (Process::start(&database), WriteHistory::default());
    let load = Load::start(&process, &history, 4);
    load.until_acknowledged(100).await;
    let connection = database.connect().await;
    within(30, "a chain", async || scalar::<i64>(&connection, "SELECT count(*) FROM audit_heads").await > 0).await;
    connection.close().await.unwrap();
    let before = history.entries().acknowledged.clone();
    let (url, to) = (database.url(), directory.path().join("dump"));
    let dumped = {
        let to = to.clone();
        let dump = move || script(&["dump", &url, to.to_str().unwrap()]);
        tokio::task::spawn_blocking(dump).await.unwrap()
    };
    let Some(dumped) = dumped else { return };
    assert_eq!(dumped.code, Some(0), "{dumped:?}");
    assert!(dumped.stdout.contains("sealed with the keys test, which are not in it"), "{dumped:?}");
    load.until_acknowledged(10).await;
    load.stop().await;
    assert_eq!(process.stop().await, Some(0));
    on_server(format!("DROP DATABASE {} WITH (FORCE)", database.name())).await;
    drop(database);

    let again = TestDatabase::new().await;
    let restored = script(&["restore", to.to_str().unwrap(), &again.url()]).unwrap();
    assert_eq!(restored.code, Some(0), "{restored:?}");
    assert!(restored.stdout.contains("entries verified") && restored.stdout.contains("are right"), "{restored:?}");
    assert!(fs::read_to_string(to.join("facts")).unwrap().contains("head of "), "no chain was compared");
    assert_totals_right(&again.url());
    let process = Process::start(&again);
    let mut client = process.client().await;
    for (request_id, (write, path)) in &before {
        assert_eq!(client.get(path).await.status, 200, "{request_id}: {path}");
        assert_eq!(client.call(write.method, &write.path, request_id, &write.body).await.status, 409, "{request_id}");
    }
    assert_refused(&script(&["restore", to.to_str().unwrap(), &again.url()]).unwrap(), "and nothing is overwritten");
    assert_refused(&script(&["dump", &again.url(), to.to_str().unwrap()]).unwrap(), "is there already");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_succeeds_and_what_is_damaged_is_refused() {
    if !on_postgres() {
        return;
    }
    let (database, directory) = (TestDatabase::new().await, tempfile::tempdir().unwrap());
    let process = Process::start(&database);
    let mut client = process.client().await;
    client.call("POST", "/customers", "first", &json!({ "name": "x", "contactPhone": "+44 1632 960417" })).await;
    let Some(drill) = script(&["drill", &database.url()]) else { return };
    assert_eq!(drill.code, Some(0), "{drill:?}");
    assert!(drill.stdout.contains("the drill succeeded"), "{drill:?}");
    let connection = database.connect().await;
    let name = drill.stdout.split_whitespace().find(|word| word.starts_with("crm_drill_")).unwrap();
    let left = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
    assert_eq!(scalar::<i64>(&connection, &left).await, 0);
    connection.close().await.unwrap();

    let to = directory.path().join("dump");
    let dump = |to: &Path| script(&["dump", &database.url(), to.to_str().unwrap()]).unwrap();
    assert_eq!(dump(&to).code, Some(0));
    let (file, empty) = (to.join("crm.dump"), TestDatabase::new().await);
    let restore = || script(&["restore", to.to_str().unwrap(), &empty.url()]).unwrap();
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
    assert_refused(&restore(), "is not as it was written");
    fs::remove_file(to.join("SHA256SUMS")).unwrap();
    assert_refused(&restore(), "it is no dump, or was not completed");
    let nowhere = script(&["dump", "postgres://nobody@127.0.0.1:1/nowhere", to.join("x").to_str().unwrap()]).unwrap();
    assert_ne!(nowhere.code, Some(0), "{nowhere:?}");
    assert!(!to.join("x").exists() && !to.join("x.partial").exists());
}
