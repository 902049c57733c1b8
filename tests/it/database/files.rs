//! The files of the service on this machine: for their owner alone, whatever the umask it is started with.

use std::{
    fs::{self, Permissions},
    io::{BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use crate::harness::{SERVER, signal};

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

/// Starts the binary under this umask with its data in `directory`; returns the files there while it runs, and its log.
fn serve_under(umask: &str, directory: &Path) -> (Vec<(String, u32)>, String) {
    let script = format!("umask {umask}; exec \"$0\" serve");
    let mut service = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_crm")])
        .env_clear()
        // No secret for tokens is given, so that one is made.
        .envs(SERVER.into_iter().filter(|(name, _)| *name != "CRM_JWT_SECRET"))
        .env("CRM_DATA_DIR", directory)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(service.stderr.take().unwrap());
    let mut text = String::new();
    while log.read_line(&mut text).unwrap() > 0 && !text.contains("\"serving\"") {}
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|file| file.unwrap())
        .map(|file| (file.file_name().into_string().unwrap(), mode(&file.path())))
        .collect();
    files.sort();
    signal("-TERM", service.id());
    log.read_to_string(&mut text).unwrap();
    assert!(service.wait().unwrap().success(), "{text}");
    (files, text)
}

#[test]
fn what_the_service_makes_is_for_its_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("deep/data");
    let (files, log) = serve_under("000", &data);
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["crm.db", "crm.db-shm", "crm.db-wal", "crm.db.keys", "crm.db.lock", "jwt_secret"]);
    for (name, mode) in &files {
        assert_eq!(*mode, 0o600, "{name}");
    }
    assert_eq!((mode(&data), mode(data.parent().unwrap())), (0o700, 0o700));
    assert!(!log.contains("others on this machine"), "{log}");
}

#[test]
fn wider_rights_that_are_there_already_stay_and_are_warned_of() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    serve_under("077", &data);
    let database = data.join("crm.db");
    fs::set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&database, Permissions::from_mode(0o640)).unwrap();
    let (_, log) = serve_under("077", &data);
    assert_eq!((mode(&data), mode(&database)), (0o755, 0o640));
    for expected in ["\"mode\":\"0755\"", "\"mode\":\"0640\"", "others on this machine may open the database"] {
        assert!(log.contains(expected), "{expected}: {log}");
    }
}
