//! Disks that fill up, fail or lose the database file under the running service: acknowledged writes survive, others
//! are 503, reads work where they can, and the service recovers by itself. `make disks` also runs what mounts file
//! systems or takes long.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use sea_orm::{ConnectOptions, ConnectionTrait};
use serde_json::Value;

use crate::harness::{
    Client, Load, PII_KEYS, Process, TestDatabase, Write, WriteHistory, assert_durable,
    disk::{self, FaultyDisk, SmallDisk},
    on_postgres, run_crm, variable, within,
};

/// The length of a follow-up that soon fills a disk.
const LONG: usize = 9000;

/// Fails unless lists and acknowledged resources can be read.
async fn assert_reads_work(history: &WriteHistory, client: &mut Client) {
    for list in ["/customers", "/follow-ups?pageSize=5", "/events?limit=5"] {
        let answer = client.get(list).await;
        assert_eq!(answer.status, 200, "{list}: {}", answer.body);
    }
    let paths: Vec<String> = history.entries().acknowledged.values().take(20).map(|(_, path)| path.clone()).collect();
    for path in paths {
        assert_eq!(client.get(&path).await.status, 200, "the acknowledged {path}");
    }
}

/// Fails unless the service recovers, becoming healthy without a request.
async fn assert_recovers(history: &WriteHistory, client: &mut Client) {
    within(10, "healthy again", async || client.get("/health").await.status == 200).await;
    within(10, "writes again", async || history.write(client, LONG).await == 201).await;
    history.reset_counts();
    for length in [LONG, 0, LONG, 0] {
        assert_eq!(history.write(client, length).await, 201);
    }
}

/// Writes until the disk is full, and `/health` is 503.
async fn fill(history: &WriteHistory, client: &mut Client) {
    let mut refused = 0;
    for _ in 0..5_000 {
        // Short ones fill the room that a long one does not fit into.
        let length = if refused == 0 { LONG } else { 0 };
        refused = if history.write(client, length).await == 503 { refused + 1 } else { 0 };
        if refused > 20 {
            break;
        }
    }
    assert!(refused > 20, "the disk is not full");
    eprintln!("full after {} acknowledged writes", history.acknowledged());
    assert_reads_work(history, client).await;
    within(10, "/health is 503", async || client.get("/health").await.status == 503).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "mounts a file system: make disks"]
async fn a_full_disk_refuses_writes_serves_reads_and_recovers_once_freed() {
    let Some(disk) = SmallDisk::mount(12) else { return };
    let ballast = disk.ballast(Some(5));
    let (url, history) = (disk.url(), WriteHistory::default());
    let process = Process::at(&url, &[]);
    let mut client = process.client().await;
    fill(&history, &mut client).await;
    std::fs::remove_file(&ballast).unwrap();
    assert_recovers(&history, &mut client).await;
    fill(&history, &mut client).await;
    disk.resize(32);
    assert_recovers(&history, &mut client).await;
    assert_durable(&history, &process, &url).await;
    assert_eq!(process.stop().await, Some(0));
    assert_durable(&history, &Process::at(&url, &[]), &url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "mounts a file system: make disks"]
async fn killed_on_a_full_disk_it_keeps_every_acknowledged_write() {
    let Some(disk) = SmallDisk::mount(6) else { return };
    let (url, history) = (disk.url(), WriteHistory::default());
    let process = Process::at(&url, &[]);
    let load = Load::start(&process, &history, 8);
    load.until_acknowledged(50).await;
    let ballast = disk.ballast(None);
    within(60, "the disk is full", async || history.count(503) > 50).await;
    std::fs::remove_file(&ballast).unwrap();
    disk.resize(64);
    load.until_acknowledged(200).await;
    load.kill(process).await;
    assert_durable(&history, &Process::at(&url, &[]), &url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "mounts a file system: make disks"]
async fn started_on_a_full_disk_it_serves_reads_and_recovers_once_freed() {
    let Some(disk) = SmallDisk::mount(8) else { return };
    let (url, history) = (disk.url(), WriteHistory::default());
    let process = Process::at(&url, &[]);
    let mut client = process.client().await;
    for _ in 0..20 {
        assert_eq!(history.write(&mut client, LONG).await, 201);
    }
    // After a stop there is no write-ahead log to recover, after a kill there is.
    for kill in [false, true] {
        let process = Process::at(&url, &[]);
        let mut client = process.client().await;
        assert_eq!(history.write(&mut client, 0).await, 201);
        if kill {
            drop(process)
        } else {
            assert_eq!(process.stop().await, Some(0))
        }
        let ballast = disk.ballast(None);
        let process = Process::at(&url, &[]);
        let mut client = process.client().await;
        assert_reads_work(&history, &mut client).await;
        assert_eq!(history.write(&mut client, LONG).await, 503);
        within(10, "/health is 503", async || client.get("/health").await.status == 503).await;
        assert_reads_work(&history, &mut client).await;
        std::fs::remove_file(ballast).unwrap();
        assert_recovers(&history, &mut client).await;
        assert_durable(&history, &process, &url).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "mounts a file system: make disks"]
async fn started_on_a_read_only_file_system_it_reads_or_names_the_cause() {
    let Some(disk) = SmallDisk::mount(8) else { return };
    let (url, history) = (disk.url(), WriteHistory::default());
    let process = Process::at(&url, &[]);
    let mut client = process.client().await;
    for _ in 0..20 {
        assert_eq!(history.write(&mut client, 0).await, 201);
    }
    // Killed, so that the write-ahead log is there.
    drop(process);
    disk.remount("ro");
    let process = match Process::try_at(&url, &[]) {
        Ok(process) => {
            let mut client = process.client().await;
            assert_reads_work(&history, &mut client).await;
            assert_eq!(history.write(&mut client, 0).await, 503);
            within(10, "/health is 503", async || client.get("/health").await.status == 503).await;
            disk.remount("rw");
            process
        }
        Err(log) => {
            assert!(log.to_lowercase().contains("read-only"), "{log}");
            disk.remount("rw");
            Process::at(&url, &[])
        }
    };
    assert_recovers(&history, &mut process.client().await).await;
    assert_durable(&history, &process, &url).await;
}

/// Lets system calls fail under load: some, more, all, and in the end none.
async fn write_through_faults(error: u32, calls: u32, seed: u32, kill: bool) {
    let database = TestDatabase::sqlite();
    let TestDatabase::Sqlite { directory } = &database else { return };
    let Some(disk) = FaultyDisk::of(directory.path(), seed) else { return };
    let variables = disk.variables();
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let (url, history) = (database.url(), WriteHistory::default());
    let process = Process::at(&url, &variables);
    let mut client = process.client().await;
    let load = Load::start(&process, &history, 8);
    load.until_acknowledged(50).await;
    for (per_mille, millis) in [(10, 1500), (0, 300), (50, 1500), (0, 300), (1000, 1500), (200, 1500)] {
        disk.fail(per_mille, error, calls);
        tokio::time::sleep(Duration::from_millis(millis)).await;
        assert_reads_work(&history, &mut client).await;
    }
    disk.fail(1000, error, calls);
    within(10, "/health is 503", async || client.get("/health").await.status == 503).await;
    disk.repair();
    within(10, "healthy again", async || client.get("/health").await.status == 200).await;
    history.reset_counts();
    load.until_acknowledged(100).await;
    eprintln!("seed {seed}, error {error}: {} failures; {}", disk.failures(), history.summary());
    assert!(disk.failures() >= 5, "too few failures");
    if kill {
        load.kill(process).await;
    } else {
        load.stop().await;
        assert_eq!(process.stop().await, Some(0));
    }
    assert_durable(&history, &Process::at(&url, &[]), &url).await;
}

fn seed() -> u32 {
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    variable("TEST_SEED").map_or(seed, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: make disks"]
async fn failing_system_calls_neither_lose_nor_duplicate_a_write() {
    for (error, calls, kill) in [
        (disk::ENOSPC, disk::WRITES | disk::SIZES, true),
        (disk::EIO, disk::WRITES | disk::SYNCS | disk::SIZES, true),
        (disk::EIO, disk::SYNCS, true),
        (disk::EROFS, disk::ALL, true),
        (disk::ANY, disk::ALL, true),
        (disk::ANY, disk::ALL, false),
    ] {
        write_through_faults(error, calls, seed(), kill).await;
    }
}

/// Fails unless writes are 503 at once, and everything else soon.
async fn assert_unavailable(history: &WriteHistory, client: &mut Client) {
    for length in [0, LONG, 0] {
        assert_eq!(history.write(client, length).await, 503, "written to a missing file");
    }
    let path = history.entries().acknowledged.values().next().unwrap().1.clone();
    for path in [path.as_str(), "/customers", "/health"] {
        within(10, path, async || client.get(path).await.status == 503).await;
    }
}

/// A service on SQLite with a few writes, and its database file; `None` when testing on PostgreSQL.
async fn start_on_file(history: &WriteHistory) -> Option<(TestDatabase, Process, Client, PathBuf)> {
    if on_postgres() {
        return None;
    }
    let database = TestDatabase::sqlite();
    let TestDatabase::Sqlite { directory } = &database else { return None };
    let file = directory.path().join("crm.db");
    let process = Process::start(&database);
    let mut client = process.client().await;
    for _ in 0..5 {
        assert_eq!(history.write(&mut client, 0).await, 201);
    }
    Some((database, process, client, file))
}

/// Fails unless the service recovers, and has lost nothing now and after a kill.
async fn assert_nothing_lost(history: &WriteHistory, database: TestDatabase, process: Process, mut client: Client) {
    assert_recovers(history, &mut client).await;
    assert_durable(history, &process, &database.url()).await;
    drop(process);
    assert_durable(history, &Process::start(&database), &database.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moved_file_is_503_until_it_is_back() {
    let history = WriteHistory::default();
    let Some((database, process, mut client, file)) = start_on_file(&history).await else { return };
    let away = file.with_file_name("away");
    for _ in 0..2 {
        std::fs::rename(&file, &away).unwrap();
        assert_unavailable(&history, &mut client).await;
        std::fs::rename(&away, &file).unwrap();
        assert_recovers(&history, &mut client).await;
    }
    assert_nothing_lost(&history, database, process, client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_file_is_503_until_the_original_is_back() {
    let history = WriteHistory::default();
    let Some((database, process, mut client, file)) = start_on_file(&history).await else { return };
    let other = TestDatabase::sqlite();
    let TestDatabase::Sqlite { directory: elsewhere } = &other else { return };
    assert_eq!(Process::start(&other).stop().await, Some(0));
    let away = file.with_file_name("away");
    std::fs::hard_link(&file, &away).unwrap();
    std::fs::rename(elsewhere.path().join("crm.db"), &file).unwrap();
    assert_unavailable(&history, &mut client).await;
    std::fs::rename(&away, &file).unwrap();
    assert_nothing_lost(&history, database, process, client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_deleted_under_load_is_503_at_once_and_loses_nothing() {
    let history = WriteHistory::default();
    let Some((database, process, mut client, file)) = start_on_file(&history).await else { return };
    let away = file.with_file_name("away");
    std::fs::hard_link(&file, &away).unwrap();
    let load = Load::start(&process, &history, 4);
    load.until_acknowledged(20).await;
    std::fs::remove_file(&file).unwrap();
    assert_unavailable(&history, &mut client).await;
    history.reset_counts();
    within(10, "writes are refused", async || history.count(503) > 50).await;
    assert_eq!((history.count(200), history.count(201)), (0, 0));
    load.stop().await;
    std::fs::rename(&away, &file).unwrap();
    assert_nothing_lost(&history, database, process, client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_another_process_locks_the_file_writes_are_503_and_reads_work() {
    if on_postgres() {
        return;
    }
    let (database, history) = (TestDatabase::sqlite(), WriteHistory::default());
    let process = Process::start(&database);
    let mut client = process.client().await;
    assert_eq!(history.write(&mut client, 0).await, 201);
    let mut options = ConnectOptions::new(database.url());
    options.max_connections(1).idle_timeout(None);
    let other = sea_orm::Database::connect(options).await.unwrap();
    other.execute_unprepared("BEGIN IMMEDIATE").await.unwrap();
    let mut waiting = Vec::new();
    // The second batch arrives while the first one waits, and may be answered after the lock is released.
    for batch in 0..2 {
        for _ in 0..20 {
            let (history, mut client, id) = (history.clone(), process.client().await, history.new_request_id());
            let write = Write::customer(&id);
            waiting.push(tokio::spawn(async move { (batch, history.send(&mut client, &id, write).await) }));
        }
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_reads_work(&history, &mut client).await;
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    other.execute_unprepared("ROLLBACK").await.unwrap();
    for answer in waiting {
        let (batch, answer) = answer.await.unwrap();
        let status = answer.expect("the connection broke").status;
        assert!(batch == 1 || status == 503, "written to a locked file");
    }
    let answer = client.ask("GET", "/health", "look", &Value::Null).await.unwrap();
    eprintln!("{}; health {}", history.summary(), answer.status);
    within(10, "healthy again", async || client.get("/health").await.status == 200).await;
    within(10, "writes again", async || history.write(&mut client, 0).await == 201).await;
    assert_durable(&history, &process, &database.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_wal_and_shm_files_are_rebuilt_without_loss() {
    let history = WriteHistory::default();
    let Some((database, process, mut client, file)) = start_on_file(&history).await else { return };
    for deleted in [&["-wal"][..], &["-shm"], &["-wal", "-shm"]] {
        let load = Load::start(&process, &history, 4);
        load.until_acknowledged(20).await;
        deleted.iter().for_each(|suffix| std::fs::remove_file(beside(&file, suffix)).unwrap());
        within(10, "both are created again", async || ["-wal", "-shm"].iter().all(|name| beside(&file, name).exists()))
            .await;
        load.until_acknowledged(20).await;
        load.stop().await;
        assert_recovers(&history, &mut client).await;
        assert_durable(&history, &process, &database.url()).await;
    }
    // Deleted just before the service stops.
    std::fs::remove_file(beside(&file, "-wal")).unwrap();
    process.stop().await;
    let process = Process::start(&database);
    let client = process.client().await;
    assert_nothing_lost(&history, database, process, client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_shm_deleted_another_process_loses_and_breaks_nothing() {
    for arguments in [&["audit", "verify"][..], &["keys", "rotate", "--all"]] {
        let history = WriteHistory::default();
        let Some((database, process, _, file)) = start_on_file(&history).await else { return };
        let load = Load::start(&process, &history, 4);
        load.until_acknowledged(50).await;
        std::fs::remove_file(beside(&file, "-shm")).unwrap();
        let url = database.url();
        let variables = [("CRM_DATABASE_URL", url.as_str()), ("CRM_PII_KEYS", PII_KEYS)];
        for _ in 0..3 {
            run_crm(arguments, &variables);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        load.stop().await;
        drop(process);
        assert_durable(&history, &Process::start(&database), &database.url()).await;
    }
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    file.with_file_name(format!("crm.db{suffix}"))
}
