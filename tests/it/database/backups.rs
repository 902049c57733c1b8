//! `crm backup` and `crm restore`: taken under load, of damaged ones, on full disks, interrupted, and in the way of others. These are
//! about the SQLite file, whatever the tests run on.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use sea_orm::{ConnectionTrait, Database};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    CommandOutput, Load, PII_KEYS, Process, TestDatabase, WriteHistory, assert_totals_right, command,
    disk::{ENOSPC, FaultyDisk, SmallDisk, WRITES},
    run_crm,
    sql::scalar,
    within,
};

fn crm(url: &str, arguments: &[&str]) -> CommandOutput {
    run_crm(arguments, &[("CRM_DATABASE_URL", url), ("CRM_PII_KEYS", PII_KEYS)])
}

fn back_up(url: &str, to: &Path) -> CommandOutput {
    crm(url, &["backup", "--to", to.to_str().unwrap()])
}

fn restore(from: &Path, url: &str, further: &[&str]) -> CommandOutput {
    crm(url, &[&["restore", "--from", from.to_str().unwrap()], further].concat())
}

#[track_caller]
fn assert_done(output: &CommandOutput) {
    assert_eq!(output.code, Some(0), "{output:?}");
}

#[track_caller]
fn assert_refused(output: &CommandOutput, why: &str) {
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.error().contains(why), "{output:?}");
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A database at rest with some customers, and a backup of it beside.
struct BackedUp {
    directory: TempDir,
    database: TestDatabase,
}

impl BackedUp {
    async fn new() -> Self {
        let (directory, database) = (tempfile::tempdir().unwrap(), TestDatabase::sqlite());
        let process = Process::start(&database);
        let mut client = process.client().await;
        for number in 0..20 {
            let body = json!({ "name": format!("customer {number}"), "contactPhone": "+44 1632 960417" });
            assert_eq!(client.call("POST", "/customers", &format!("r-{number}"), &body).await.status, 201);
        }
        assert_eq!(process.stop().await, Some(0));
        let backed_up = Self { directory, database };
        assert_done(&back_up(&backed_up.database.url(), &backed_up.backup()));
        backed_up
    }

    fn backup(&self) -> PathBuf {
        self.directory.path().join("backup")
    }

    /// A place where nothing is.
    fn place(&self) -> String {
        format!("sqlite://{}", self.directory.path().join("restored/crm.db").display())
    }
}

/// Every write that was acknowledged before the backup began is in it, whole, and so is what it says of itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_has_all_that_was_acknowledged_before() {
    let (database, directory) = (TestDatabase::sqlite(), tempfile::tempdir().unwrap());
    let (process, history) = (Process::start(&database), WriteHistory::default());
    let load = Load::start(&process, &history, 8);
    load.until_acknowledged(150).await;
    let before = history.entries().acknowledged.clone();
    let (url, to) = (database.url(), directory.path().join("backup"));
    let backup = tokio::task::spawn_blocking(move || (back_up(&url, &to), to));
    let (taken, to) = backup.await.unwrap();
    load.until_acknowledged(20).await;
    assert_eq!(history.count(503), 0, "nobody waits for a backup: {}", history.summary());
    load.stop().await;
    assert_done(&taken);
    assert!(taken.stdout.contains("the audit trail is unbroken\n"), "{taken:?}");
    assert_eq!(names(&to), ["backup.json", "crm.db"]);

    let manifest: Value = serde_json::from_slice(&fs::read(to.join("backup.json")).unwrap()).unwrap();
    let place = format!("sqlite://{}", directory.path().join("restored/crm.db").display());
    let restored = restore(&to, &place, &[]);
    assert_done(&restored);
    let connection = Database::connect(place.as_str()).await.unwrap();
    let rows = |table: &str| manifest["rows"][table].as_i64().unwrap();
    for table in ["customers", "idempotent", "audit_logs", "outbox"] {
        let count: i64 = scalar(&connection, &format!("SELECT count(*) FROM {table}")).await;
        assert_eq!(count, rows(table), "{table}");
    }
    assert!(rows("idempotent") >= before.len() as i64, "{manifest}");
    // Of each request that is in it, claim, audit entry and event are.
    assert_eq!((rows("audit_logs"), rows("outbox")), (rows("idempotent"), rows("idempotent")), "{manifest}");
    assert_eq!(scalar::<String>(&connection, "PRAGMA integrity_check").await, "ok");
    connection.close().await.unwrap();
    assert_totals_right(&place);
    // The service works on it, and knows each of those requests.
    let process = Process::at(&place, &[]);
    let mut client = process.client().await;
    for (request_id, (write, path)) in &before {
        assert_eq!(client.get(path).await.status, 200, "{request_id}: {path}");
        let again = client.call(write.method, &write.path, request_id, &write.body).await;
        assert_eq!(again.status, 409, "{request_id}: {}", again.body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_names_the_keys_it_needs_and_has_none_of_them() {
    let backed_up = BackedUp::new().await;
    let again = back_up(&backed_up.database.url(), &backed_up.directory.path().join("again"));
    assert!(again.stdout.contains("sealed with the keys test, which are not in it"), "{again:?}");
    let (_, key) = PII_KEYS.split_once(':').unwrap();
    let mut held = Vec::new();
    for name in names(&backed_up.backup()) {
        held.extend(fs::read(backed_up.backup().join(name)).unwrap());
    }
    let holds = |needle: &str| held.windows(needle.len()).any(|bytes| bytes == needle.as_bytes());
    assert!(holds("customer 7") && !holds(key) && !holds("1632960417"));
    // Restored without them, it says so.
    let other = "other:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    let variables = [("CRM_DATABASE_URL", backed_up.place()), ("CRM_PII_KEYS", other.to_owned())];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let restored = run_crm(&["restore", "--from", backed_up.backup().to_str().unwrap()], &variables);
    assert_refused(
        &restored,
        "it is restored, and the service will not start on it: CRM_PII_KEYS: the key test is missing",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_backup_is_refused_in_words() {
    let backed_up = BackedUp::new().await;
    let (backup, place) = (backed_up.backup(), backed_up.place());
    let (database, manifest) = (backup.join("crm.db"), backup.join("backup.json"));
    let (bytes, text) = (fs::read(&database).unwrap(), fs::read_to_string(&manifest).unwrap());
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    let shorter = bytes[..bytes.len() - 4096].to_vec();
    let fewer = |table: &str| {
        let mut changed: Value = serde_json::from_str(&text).unwrap();
        changed["rows"][table] = json!(7);
        changed.to_string()
    };
    let cases: [(&[u8], String, &str); 6] = [
        (&flipped, text.clone(), "crm.db was changed: its SHA-256 is"),
        (&shorter, text.clone(), "bytes, and had"),
        (&bytes, "{".to_owned(), "backup.json is not as it must be"),
        (&bytes, text.replacen("\"format\": 1", "\"format\": 2", 1), "has the form 2, of another release"),
        (&bytes, fewer("customers"), "customers has 20 rows, and had 7"),
        (&bytes, text.replacen("\"hash\": \"", "\"hash\": \"0", 1), "the ends of the audit chains are not those"),
    ];
    for (database_bytes, manifest_text, why) in cases {
        fs::write(&database, database_bytes).unwrap();
        fs::write(&manifest, manifest_text).unwrap();
        assert_refused(&restore(&backup, &place, &[]), why);
        assert_eq!(names(&backed_up.directory.path().join("restored")), [] as [&str; 0], "{why}");
    }
    fs::write(&manifest, &text).unwrap();
    fs::remove_file(&database).unwrap();
    assert_refused(&restore(&backup, &place, &[]), "its database is gone");
    fs::remove_file(&manifest).unwrap();
    assert_refused(&restore(&backup, &place, &[]), "it has no backup.json: it is none, or was not completed");
    assert_refused(&restore(&backup.join("nowhere"), &place, &[]), "No such file or directory");
}

/// What a changed trail is found by, when it is backed up and when it is restored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trail_that_was_tampered_with_is_told_of() {
    let backed_up = BackedUp::new().await;
    let connection = backed_up.database.connect().await;
    let triggers: Vec<String> = crate::harness::sql::column(
        &connection,
        "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_logs'",
    )
    .await;
    for trigger in triggers {
        connection.execute_unprepared(&format!("DROP TRIGGER \"{trigger}\"")).await.unwrap();
    }
    connection.execute_unprepared("UPDATE audit_logs SET actor = 'nobody'").await.unwrap();
    connection.close().await.unwrap();
    let to = backed_up.directory.path().join("tampered");
    let taken = back_up(&backed_up.database.url(), &to);
    assert_refused(&taken, "the backup is made, and is as the database is: ");
    assert_refused(&restore(&to, &backed_up.place(), &[]), "nothing is restored: the backup has ");
    assert_done(&restore(&to, &backed_up.place(), &["--quick"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_overwritten_and_what_is_replaced_is_kept() {
    let backed_up = BackedUp::new().await;
    let (url, backup) = (backed_up.database.url(), backed_up.backup());
    assert_refused(&back_up(&url, &backup), "is there already, and nothing is overwritten");
    assert_refused(&restore(&backup, &url, &[]), "there is a database already; --replace keeps it");
    let process = Process::start(&backed_up.database);
    let mut client = process.client().await;
    client.call("POST", "/customers", "later", &json!({ "name": "after the backup" })).await;
    assert_refused(&restore(&backup, &url, &["--replace"]), "is in use: stop the service");
    assert_eq!(client.get("/customers").await.body["total"], 21, "the running service notices nothing");
    assert_eq!(client.call("POST", "/customers", "still", &json!({ "name": "x" })).await.status, 201);
    assert_eq!(process.stop().await, Some(0));

    let replaced = restore(&backup, &url, &["--replace"]);
    assert_done(&replaced);
    let TestDatabase::Sqlite { directory } = &backed_up.database else { panic!("on SQLite") };
    let kept = names(directory.path()).into_iter().find(|name| name.contains(".replaced-")).unwrap();
    let count = async |file: &Path| {
        let connection = Database::connect(format!("sqlite://{}", file.display())).await.unwrap();
        let count: i64 = scalar(&connection, "SELECT count(*) FROM customers").await;
        connection.close().await.unwrap();
        count
    };
    assert_eq!(count(&directory.path().join(&kept)).await, 22);
    assert_eq!(count(&directory.path().join("crm.db")).await, 20);

    // Beside a log of another database, a restored one would be damaged.
    let place = backed_up.directory.path().join("restored");
    fs::create_dir_all(&place).unwrap();
    fs::write(place.join("crm.db-wal"), "of another").unwrap();
    assert_refused(&restore(&backup, &backed_up.place(), &[]), "belongs to a database that is gone");
    fs::remove_file(place.join("crm.db-wal")).unwrap();
    fs::write(place.join("crm.db"), "no database at all, but a file that somebody needs").unwrap();
    assert_refused(
        &restore(&backup, &backed_up.place(), &["--replace"]),
        "what is there is no database that can be kept",
    );
    let postgres = back_up("postgres://postgres@127.0.0.1:1/nowhere", &backup);
    assert_refused(&postgres, "which has its own tools for this");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_backup_leaves_nothing_and_can_be_taken_again() {
    let backed_up = BackedUp::new().await;
    let (to, url) = (backed_up.directory.path().join("again"), backed_up.database.url());
    let partial = backed_up.directory.path().join("again.partial");
    let many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000) INSERT INTO idempotent \
                (tenant_id, request_id, resource_type, resource_id, created_at) SELECT 'many', i, 'customer', randomblob(16), \
                '2026-01-01 00:00:00+00:00' FROM n";
    backed_up.database.connect().await.execute_unprepared(many).await.unwrap();
    for (signal, is_tidy) in [("-INT", true), ("-KILL", false)] {
        let variables = [("CRM_DATABASE_URL", url.as_str()), ("CRM_PII_KEYS", PII_KEYS)];
        let mut taking = command(&["backup", "--to", to.to_str().unwrap()], &variables);
        let mut taking = taking.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        within(30, "it is being written", async || partial.join("crm.db").exists()).await;
        let meanwhile = back_up(&url, &to);
        crate::harness::signal(signal, taking.id());
        let code = taking.wait().unwrap().code();
        assert!(!to.exists() && (meanwhile.code == Some(1)), "{meanwhile:?}");
        assert!(meanwhile.error().contains("another process is writing"), "{meanwhile:?}");
        assert_eq!((code, partial.exists()), (if is_tidy { Some(1) } else { None }, !is_tidy), "{signal}");
    }
    assert_done(&back_up(&url, &to));
    assert!(!partial.exists());
    assert_done(&restore(&to, &backed_up.place(), &[]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_nothing_is_left_and_the_database_is_as_it_was() {
    let backed_up = BackedUp::new().await;
    let (url, place) = (backed_up.database.url(), backed_up.place());
    let target = tempfile::tempdir().unwrap();
    if let Some(disk) = FaultyDisk::of(target.path(), 7) {
        disk.fail(1000, ENOSPC, WRITES);
        let faults = disk.variables();
        let run = |arguments: &[&str], url: &str| {
            let variables = [("CRM_DATABASE_URL", url), ("CRM_PII_KEYS", PII_KEYS)];
            let faults = faults.iter().map(|(name, value)| (*name, value.as_str()));
            let variables: Vec<(&str, &str)> = variables.into_iter().chain(faults).collect();
            run_crm(arguments, &variables)
        };
        let to = target.path().join("backup");
        let full = run(&["backup", "--to", to.to_str().unwrap()], &url);
        assert_refused(&full, "the disk is full; nothing is left of what was begun");
        let there = format!("sqlite://{}", target.path().join("crm.db").display());
        let full = run(&["restore", "--from", backed_up.backup().to_str().unwrap()], &there);
        assert_refused(&full, "the disk is full; nothing is left of what was begun");
        assert_eq!(names(target.path()), [] as [&str; 0]);
    }
    if let Some(small) = SmallDisk::mount(1) {
        small.ballast(None);
        let small_place = small.url();
        assert_refused(&restore(&backed_up.backup(), &small_place, &[]), "has too little room");
        assert_refused(&back_up(&url, &small.path().join("backup")), "has too little room");
        assert_eq!(names(small.path()), ["ballast"]);
    }
    assert_done(&restore(&backed_up.backup(), &place, &[]));
}
