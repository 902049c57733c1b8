//! The first start on SQLite: whatever happens, there is no database or a whole one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crm::{config::DatabaseUrl, database::migrate};
use sea_orm::{ConnectionTrait, Database};

use crate::harness::{AMPLE, SERVER, TestDatabase, sql::column};

fn migrating(directory: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crm"));
    command.args(["migrate", "up"]).env_clear().envs(SERVER).env("CRM_DATA_DIR", directory);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The database of a test on SQLite, and its file.
fn database() -> (TestDatabase, DatabaseUrl, PathBuf) {
    let database = TestDatabase::sqlite();
    let TestDatabase::Sqlite { directory } = &database else { panic!("not on SQLite") };
    let (url, file) = (database.parsed_url(), directory.path().join("crm.db"));
    (database, url, file)
}

#[tokio::test]
async fn a_kill_at_the_first_start_leaves_no_database_or_a_whole_one() {
    const KILLS: u32 = 16;
    let directory = tempfile::tempdir().unwrap();
    let began = Instant::now();
    assert!(migrating(&directory.path().join("whole")).wait().unwrap().success());
    let whole = began.elapsed();
    let mut without = 0;
    for kill in 0..KILLS {
        let data = directory.path().join(kill.to_string());
        let mut process = migrating(&data);
        std::thread::sleep(whole * kill / KILLS);
        process.kill().unwrap();
        process.wait().unwrap();
        let url: DatabaseUrl = format!("sqlite://{}", data.join("crm.db").display()).parse().unwrap();
        match data.join("crm.db").exists() {
            true => migrate::check(&url).await.unwrap(),
            false => without += 1,
        }
        // What the killed one has left is in nobody's way.
        assert!(migrating(&data).wait().unwrap().success());
        migrate::check(&url).await.unwrap();
        assert!(!names(&data).iter().any(|name| name.contains(".new")), "{:?}", names(&data));
    }
    assert!(without > 1, "of {KILLS} kills {without} came before the database was there");
}

#[tokio::test]
async fn what_is_left_of_a_database_that_is_gone_is_no_part_of_the_new_one() {
    let (database, url, file) = database();
    migrate::up(&url, None, AMPLE).await.unwrap();
    let connection = database.connect().await;
    connection.execute_unprepared("CREATE TABLE left_behind (id INTEGER)").await.unwrap();
    let log = file.with_extension("db-wal");
    let kept = fs::read(&log).unwrap();
    assert!(!kept.is_empty());
    connection.close().await.unwrap();
    fs::remove_file(&file).unwrap();
    fs::write(&log, kept).unwrap();
    migrate::up(&url, None, AMPLE).await.unwrap();
    let connection = Database::connect(database.url()).await.unwrap();
    let found: Vec<String> = column(&connection, "SELECT name FROM sqlite_schema WHERE name = 'left_behind'").await;
    assert_eq!(found, Vec::<String>::new());
    assert_eq!(column::<String>(&connection, "PRAGMA integrity_check").await, ["ok"]);
}

#[tokio::test]
async fn what_a_first_start_before_has_left_is_made_anew() {
    let (_database, url, file) = database();
    for left in ["db.new", "db.new-journal", "db.new-wal"] {
        fs::write(file.with_extension(left), "not of a database").unwrap();
    }
    migrate::up(&url, None, AMPLE).await.unwrap();
    migrate::check(&url).await.unwrap();
    assert_eq!(names(file.parent().unwrap()), ["crm.db", "crm.db.lock"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_can_be_made_the_file_is_named() {
    let (_database, url, file) = database();
    // A directory where the file is to be written first, which cannot be removed like one.
    fs::create_dir_all(file.with_extension("db.new").join("x")).unwrap();
    let refused = tokio::time::timeout(Duration::from_secs(10), migrate::up(&url, None, AMPLE)).await.unwrap();
    let message = refused.unwrap_err().to_string();
    assert!(message.starts_with(&format!("cannot make {}: ", file.display())), "{message}");
    assert!(!file.exists());
}
