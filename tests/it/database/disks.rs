//! Disks that fill up, fail and lose the file, under the running service: what was acknowledged is there, everything else
//! is 503, reads go on where they can, and it heals by itself. What mounts file systems or takes long is run by `make
//! disks`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use sea_orm::{ConnectOptions, ConnectionTrait};
use serde_json::Value;

use crate::harness::{
    Client, Load, PII_KEYS, Process, TestDatabase, Told, Write, crm,
    disk::{self, FaultyDisk, SmallDisk},
    kept, on_postgres, within,
};

/// The length of a follow-up that fills a disk.
const LONG: usize = 9000;

/// Fails unless the service reads: lists, and some of what was acknowledged.
async fn reads(told: &Told, client: &mut Client) {
    for list in ["/customers", "/follow-ups?pageSize=5", "/events?limit=5"] {
        let answer = client.get(list).await;
        assert_eq!(answer.status, 200, "{list}: {}", answer.body);
    }
    let paths: Vec<String> = told.noted().acknowledged.values().take(20).map(|(_, path)| path.clone()).collect();
    for path in paths {
        assert_eq!(client.get(&path).await.status, 200, "{path} was acknowledged");
    }
}

/// Fails unless the service comes to say that it is well, without a write that would make it so.
async fn heals(told: &Told, client: &mut Client) {
    within(10, "healthy again", async || client.get("/health").await.status == 200).await;
    within(10, "writes again", async || told.write(client, LONG).await == 201).await;
    told.forget_statuses();
    for length in [LONG, 0, LONG, 0] {
        assert_eq!(told.write(client, length).await, 201);
    }
}

/// Writes until nothing can be written any more, and says so.
async fn fill(told: &Told, client: &mut Client) {
    let mut refused = 0;
    for _ in 0..5_000 {
        // Short ones fill what long ones leave.
        let length = if refused == 0 { LONG } else { 0 };
        refused = if told.write(client, length).await == 503 { refused + 1 } else { 0 };
        if refused > 20 {
            break;
        }
    }
    assert!(refused > 20, "the disk does not fill up");
    eprintln!("full after {} acknowledged writes", told.acknowledged());
    reads(told, client).await;
    within(10, "/health says that nothing can be written", async || client.get("/health").await.status == 503).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "mounts a file system: make disks"]
async fn on_a_full_disk_nothing_is_acknowledged_reads_go_on_and_it_heals_by_itself() {
    let Some(disk) = SmallDisk::mount(12) else { return };
    let ballast = disk.ballast(Some(5));
    let (url, told) = (disk.url(), Told::default());
    let process = Process::at(&url, &[]);
    let mut client = process.client().await;
    fill(&told, &mut client).await;
    std::fs::remove_file(&ballast).unwrap();
    heals(&told, &mut client).await;
    fill(&told, &mut client).await;
    disk.resize(32);
    heals(&told, &mut client).await;
    kept(&told, &process, &url).await;
    assert_eq!(process.stop().await, Some(0));
    kept(&told, &Process::at(&url, &[]), &url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "mounts a file system: make disks"]
async fn filled_by_many_clients_and_killed_it_has_every_acknowledged_write() {
    let Some(disk) = SmallDisk::mount(6) else { return };
    let (url, told) = (disk.url(), Told::default());
    let process = Process::at(&url, &[]);
    let load = Load::start(&process, &told, 8);
    load.until_acknowledged(50).await;
    let ballast = disk.ballast(None);
    within(60, "the disk is full", async || told.count(503) > 50).await;
    std::fs::remove_file(&ballast).unwrap();
    disk.resize(64);
    load.until_acknowledged(200).await;
    load.kill(process).await;
    kept(&told, &Process::at(&url, &[]), &url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "mounts a file system: make disks"]
async fn started_on_a_full_disk_it_reads_and_heals_once_there_is_room() {
    let Some(disk) = SmallDisk::mount(8) else { return };
    let (url, told) = (disk.url(), Told::default());
    let process = Process::at(&url, &[]);
    let mut client = process.client().await;
    for _ in 0..20 {
        assert_eq!(told.write(&mut client, LONG).await, 201);
    }
    // Stopped in order, and then killed: there is a log to be read, or none.
    for kill in [false, true] {
        let process = Process::at(&url, &[]);
        let mut client = process.client().await;
        assert_eq!(told.write(&mut client, 0).await, 201);
        if kill {
            drop(process)
        } else {
            assert_eq!(process.stop().await, Some(0))
        }
        let ballast = disk.ballast(None);
        let process = Process::at(&url, &[]);
        let mut client = process.client().await;
        reads(&told, &mut client).await;
        assert_eq!(told.write(&mut client, LONG).await, 503);
        within(10, "/health says so", async || client.get("/health").await.status == 503).await;
        reads(&told, &mut client).await;
        std::fs::remove_file(ballast).unwrap();
        heals(&told, &mut client).await;
        kept(&told, &process, &url).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "mounts a file system: make disks"]
async fn started_on_a_read_only_file_system_it_reads_or_says_why_not_and_heals_once_it_is_writable() {
    let Some(disk) = SmallDisk::mount(8) else { return };
    let (url, told) = (disk.url(), Told::default());
    let process = Process::at(&url, &[]);
    let mut client = process.client().await;
    for _ in 0..20 {
        assert_eq!(told.write(&mut client, 0).await, 201);
    }
    // Killed, as a machine is whose disk fails: its log is there.
    drop(process);
    disk.remount("ro");
    let process = match Process::try_at(&url, &[]) {
        Ok(process) => {
            let mut client = process.client().await;
            reads(&told, &mut client).await;
            assert_eq!(told.write(&mut client, 0).await, 503);
            within(10, "/health says so", async || client.get("/health").await.status == 503).await;
            disk.remount("rw");
            process
        }
        Err(said) => {
            assert!(said.to_lowercase().contains("read-only"), "{said}");
            disk.remount("rw");
            Process::at(&url, &[])
        }
    };
    heals(&told, &mut process.client().await).await;
    kept(&told, &process, &url).await;
}

/// Eight clients write while calls fail now and then, more often, and always; then none fails.
async fn through_faults(error: u32, calls: u32, seed: u32, kill: bool) {
    let database = TestDatabase::sqlite();
    let TestDatabase::Sqlite { directory } = &database else { return };
    let Some(disk) = FaultyDisk::of(directory.path(), seed) else { return };
    let variables = disk.variables();
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let (url, told) = (database.url(), Told::default());
    let process = Process::at(&url, &variables);
    let mut client = process.client().await;
    let load = Load::start(&process, &told, 8);
    load.until_acknowledged(50).await;
    for (per_mille, millis) in [(10, 1500), (0, 300), (50, 1500), (0, 300), (1000, 1500), (200, 1500)] {
        disk.fail(per_mille, error, calls);
        tokio::time::sleep(Duration::from_millis(millis)).await;
        reads(&told, &mut client).await;
    }
    disk.fail(1000, error, calls);
    within(10, "/health says so", async || client.get("/health").await.status == 503).await;
    disk.mend();
    within(10, "healthy again", async || client.get("/health").await.status == 200).await;
    told.forget_statuses();
    load.until_acknowledged(100).await;
    eprintln!("seed {seed}, error {error}: {} faults; {}", disk.faults(), told.summary());
    assert!(disk.faults() >= 5, "too few faults to tell");
    if kill {
        load.kill(process).await;
    } else {
        load.end().await;
        assert_eq!(process.stop().await, Some(0));
    }
    kept(&told, &Process::at(&url, &[]), &url).await;
}

fn seed() -> u32 {
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    crate::harness::variable("TEST_SEED").map_or(seed, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: make disks"]
async fn through_calls_that_fail_nothing_acknowledged_is_lost_or_doubled() {
    for (error, calls, kill) in [
        (disk::ENOSPC, disk::WRITES | disk::SIZES, true),
        (disk::EIO, disk::WRITES | disk::SYNCS | disk::SIZES, true),
        (disk::EIO, disk::SYNCS, true),
        (disk::EROFS, disk::ALL, true),
        (disk::ANY, disk::ALL, true),
        (disk::ANY, disk::ALL, false),
    ] {
        through_faults(error, calls, seed(), kill).await;
    }
}

/// Fails unless all that is asked is 503, soon if not at once; a write at once.
async fn gone(told: &Told, client: &mut Client) {
    for length in [0, LONG, 0] {
        assert_eq!(told.write(client, length).await, 503, "the file is not there");
    }
    let path = told.noted().acknowledged.values().next().unwrap().1.clone();
    for path in [path.as_str(), "/customers", "/health"] {
        within(10, path, async || client.get(path).await.status == 503).await;
    }
}

/// A service on SQLite with a few writes, and its file; `None` in the run on PostgreSQL.
async fn with_a_file(told: &Told) -> Option<(TestDatabase, Process, Client, PathBuf)> {
    if on_postgres() {
        return None;
    }
    let database = TestDatabase::sqlite();
    let TestDatabase::Sqlite { directory } = &database else { return None };
    let file = directory.path().join("crm.db");
    let process = Process::start(&database);
    let mut client = process.client().await;
    for _ in 0..5 {
        assert_eq!(told.write(&mut client, 0).await, 201);
    }
    Some((database, process, client, file))
}

/// Fails unless it heals with the file in place, now and after being killed.
async fn heals_with_its_file(told: &Told, database: TestDatabase, process: Process, mut client: Client) {
    heals(told, &mut client).await;
    kept(told, &process, &database.url()).await;
    drop(process);
    kept(told, &Process::start(&database), &database.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_its_file_is_elsewhere_nothing_is_acknowledged_and_it_heals_once_it_is_back() {
    let told = Told::default();
    let Some((database, process, mut client, file)) = with_a_file(&told).await else { return };
    let away = file.with_file_name("away");
    for _ in 0..2 {
        std::fs::rename(&file, &away).unwrap();
        gone(&told, &mut client).await;
        std::fs::rename(&away, &file).unwrap();
        heals(&told, &mut client).await;
    }
    heals_with_its_file(&told, database, process, client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_another_file_in_its_place_nothing_is_acknowledged_and_it_heals_once_its_own_is_back() {
    let told = Told::default();
    let Some((database, process, mut client, file)) = with_a_file(&told).await else { return };
    let other = TestDatabase::sqlite();
    let TestDatabase::Sqlite { directory: elsewhere } = &other else { return };
    assert_eq!(Process::start(&other).stop().await, Some(0));
    let away = file.with_file_name("away");
    std::fs::hard_link(&file, &away).unwrap();
    std::fs::rename(elsewhere.path().join("crm.db"), &file).unwrap();
    gone(&told, &mut client).await;
    std::fs::rename(&away, &file).unwrap();
    heals_with_its_file(&told, database, process, client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_under_clients_that_write_its_file_is_missed_at_once() {
    let told = Told::default();
    let Some((database, process, mut client, file)) = with_a_file(&told).await else { return };
    let kept_aside = file.with_file_name("away");
    std::fs::hard_link(&file, &kept_aside).unwrap();
    let load = Load::start(&process, &told, 4);
    load.until_acknowledged(20).await;
    std::fs::remove_file(&file).unwrap();
    gone(&told, &mut client).await;
    told.forget_statuses();
    within(10, "writes are refused", async || told.count(503) > 50).await;
    assert_eq!((told.count(200), told.count(201)), (0, 0));
    load.end().await;
    std::fs::rename(&kept_aside, &file).unwrap();
    heals_with_its_file(&told, database, process, client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_another_process_holds_the_file_all_writes_are_refused_together_and_reads_go_on() {
    if on_postgres() {
        return;
    }
    let (database, told) = (TestDatabase::sqlite(), Told::default());
    let process = Process::start(&database);
    let mut client = process.client().await;
    assert_eq!(told.write(&mut client, 0).await, 201);
    let mut options = ConnectOptions::new(database.url());
    options.max_connections(1).idle_timeout(None);
    let stranger = sea_orm::Database::connect(options).await.unwrap();
    stranger.execute_unprepared("BEGIN IMMEDIATE").await.unwrap();
    let mut waiting = Vec::new();
    // The second half comes while the first half waits, and is answered before or after the stranger has gone.
    for wave in 0..2 {
        for _ in 0..20 {
            let (told, mut client, id) = (told.clone(), process.client().await, told.new_id());
            let write = Write::customer(&id);
            waiting.push(tokio::spawn(async move { (wave, told.send(&mut client, &id, write).await) }));
        }
        tokio::time::sleep(Duration::from_secs(4)).await;
        reads(&told, &mut client).await;
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    stranger.execute_unprepared("ROLLBACK").await.unwrap();
    for answer in waiting {
        let (wave, answer) = answer.await.unwrap();
        let status = answer.expect("the connection broke").status;
        assert!(wave == 1 || status == 503, "acknowledged while the file was another's");
    }
    let answer = client.ask("GET", "/health", "look", &Value::Null).await.unwrap();
    eprintln!("{}; health {}", told.summary(), answer.status);
    within(10, "healthy again, without a write", async || client.get("/health").await.status == 200).await;
    within(10, "writes again", async || told.write(&mut client, 0).await == 201).await;
    kept(&told, &process, &database.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_its_log_or_its_locks_deleted_it_saves_what_they_held_and_heals() {
    let told = Told::default();
    let Some((database, process, mut client, file)) = with_a_file(&told).await else { return };
    for deleted in [&["-wal"][..], &["-shm"], &["-wal", "-shm"]] {
        let load = Load::start(&process, &told, 4);
        load.until_acknowledged(20).await;
        deleted.iter().for_each(|suffix| std::fs::remove_file(beside(&file, suffix)).unwrap());
        within(10, "both are made anew", async || ["-wal", "-shm"].iter().all(|name| beside(&file, name).exists()))
            .await;
        load.until_acknowledged(20).await;
        load.end().await;
        heals(&told, &mut client).await;
        kept(&told, &process, &database.url()).await;
    }
    // Told to stop before it could notice.
    std::fs::remove_file(beside(&file, "-wal")).unwrap();
    process.stop().await;
    let process = Process::start(&database);
    let client = process.client().await;
    heals_with_its_file(&told, database, process, client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_its_locks_deleted_another_process_loses_and_breaks_nothing() {
    for command in [&["audit", "verify"][..], &["keys", "rotate", "--all"]] {
        let told = Told::default();
        let Some((database, process, _, file)) = with_a_file(&told).await else { return };
        let load = Load::start(&process, &told, 4);
        load.until_acknowledged(50).await;
        std::fs::remove_file(beside(&file, "-shm")).unwrap();
        let url = database.url();
        let variables = [("CRM_DATABASE_URL", url.as_str()), ("CRM_PII_KEYS", PII_KEYS)];
        for _ in 0..3 {
            crm(command, &variables);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        load.end().await;
        drop(process);
        kept(&told, &Process::start(&database), &database.url()).await;
    }
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    file.with_file_name(format!("crm.db{suffix}"))
}
