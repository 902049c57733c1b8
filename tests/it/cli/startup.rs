//! The start: the port before the database, a database that is not there yet or not as it must be, the lock on the schema,
//! addresses that hold a password, and a log that cannot be written or that nobody reads.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crm::database::migrate::{self, SchemaError};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::harness::{Ended, PII_KEYS, Process, SECRET, Service, TestDatabase, crm, on_postgres, served};

/// Longer than anything here takes.
const FOR_EVER: Duration = Duration::from_secs(60);

/// Every command that opens the database.
const COMMANDS: [&[&str]; 6] =
    [&["serve"], &["migrate", "status"], &["audit", "verify"], &["outbox", "status"], &["keys", "rotate"], &["relay"]];

/// A server in the place of PostgreSQL's, as it meets each connection.
#[derive(Clone)]
enum Meets {
    /// Refuses it with this SQLSTATE and message.
    Refuses(&'static str, &'static str),
    /// Says nothing.
    Freezes,
    /// Refuses this many, and passes later ones on to the server at this address.
    Comes(usize, String),
}

struct StandIn {
    port: u16,
    /// How many connections there were.
    met: Arc<AtomicUsize>,
}

impl StandIn {
    fn new(meets: Meets) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, met) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
        let seen = Arc::clone(&met);
        thread::spawn(move || {
            let mut kept = Vec::new();
            for client in listener.incoming().map_while(Result::ok) {
                let before = seen.fetch_add(1, Ordering::SeqCst);
                let answered = match &meets {
                    Meets::Refuses(code, message) => refuse(&client, code, message),
                    Meets::Comes(most, _) if before < *most => {
                        refuse(&client, "57P03", "the database system is starting up")
                    }
                    Meets::Comes(_, server) => pass_on(&client, server),
                    Meets::Freezes => Ok(()),
                };
                // Whoever asked may be gone.
                drop(answered);
                kept.push(client);
            }
        });
        Self { port, met }
    }

    fn url(&self) -> String {
        format!("postgres://somebody:hunter2@127.0.0.1:{}/crm?sslmode=disable", self.port)
    }

    fn met(&self) -> usize {
        self.met.load(Ordering::SeqCst)
    }
}

/// Reads the start of a session, and answers it by an error, as PostgreSQL's protocol has it.
fn refuse(mut client: &TcpStream, code: &str, message: &str) -> io::Result<()> {
    let mut length = [0; 4];
    client.read_exact(&mut length)?;
    let mut start = vec![0; u32::from_be_bytes(length) as usize - 4];
    client.read_exact(&mut start)?;
    let fields = format!("SFATAL\0VFATAL\0C{code}\0M{message}\0\0");
    let mut error = vec![b'E'];
    error.extend(u32::try_from(fields.len() + 4).unwrap().to_be_bytes());
    error.extend(fields.as_bytes());
    client.write_all(&error)
}

fn pass_on(client: &TcpStream, server: &str) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    for (mut from, mut to) in [(client.try_clone()?, server.try_clone()?), (server, client.try_clone()?)] {
        thread::spawn(move || {
            let _broke = io::copy(&mut from, &mut to);
            let _closed = to.shutdown(std::net::Shutdown::Both);
        });
    }
    Ok(())
}

/// The variables that a command needs besides the database's.
fn with<'v>(more: &[(&'v str, &'v str)]) -> Vec<(&'v str, &'v str)> {
    let mut variables = vec![
        ("CRM_PORT", "0"),
        ("CRM_METRICS_ADDR", "off"),
        ("CRM_JWT_SECRET", SECRET),
        ("CRM_PII_KEYS", PII_KEYS),
        ("CRM_EVENTS_URL", "amqp://127.0.0.1:1"),
    ];
    variables.extend(more);
    variables
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The lines of a JSON log with this message.
fn saying(ended: &Ended, message: &str) -> Vec<Value> {
    let lines = ended.err.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["message"] == message).collect()
}

#[tokio::test]
async fn a_port_in_use_is_an_error_and_the_database_stays_as_it_was() {
    let database = TestDatabase::new().await;
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap();
    let (url, port) = (database.url(), taken.port().to_string());
    let ended = served(&[("CRM_DATABASE_URL", url.as_str()), ("CRM_PII_KEYS", PII_KEYS), ("CRM_PORT", port.as_str())]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains(&format!("crm: cannot listen on {taken}: Address already in use")), "{ended:?}");
    match &database {
        TestDatabase::Sqlite { directory } => {
            assert_eq!(std::fs::read_dir(directory).unwrap().count(), 0, "it left something behind");
        }
        TestDatabase::Postgres { .. } => {
            let steps = migrate::status(&database.parsed_url()).await.unwrap();
            assert!(steps.iter().all(|step| !step.applied), "the schema was changed");
        }
    }
}

#[test]
fn while_it_waits_for_the_database_nobody_can_connect_and_it_can_be_stopped() {
    let server = StandIn::new(Meets::Refuses("57P03", "the database system is starting up"));
    let (url, port) = (server.url(), free_port());
    let (port_text, wait) = (port.to_string(), ("CRM_DATABASE_WAIT", "1h"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_crm"))
        .arg("serve")
        .env_clear()
        .envs(with(&[("CRM_DATABASE_URL", url.as_str()), ("CRM_PORT", port_text.as_str()), wait]))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It tries again and again.
    while server.met() < 2 {
        thread::sleep(Duration::from_millis(5));
    }
    let refused = TcpStream::connect(("127.0.0.1", port)).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_database_that_comes_late_is_waited_for() {
    if on_postgres() {
        let database = TestDatabase::new().await;
        let url = database.url();
        let (_, address) = url.split_once('@').unwrap();
        let (address, _) = address.split_once('/').unwrap();
        let server = StandIn::new(Meets::Comes(2, address.to_owned()));
        let late = url.replace(address, &format!("127.0.0.1:{}", server.port)) + "?sslmode=disable";
        let ended =
            served(&[("CRM_DATABASE_URL", late.as_str()), ("CRM_PII_KEYS", PII_KEYS), ("CRM_DATABASE_WAIT", "1h")]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(server.met() > 2, "it was not asked");
    }
}

#[test]
fn a_database_that_does_not_come_is_named_with_the_cause_by_every_command() {
    let (closed, frozen) = (free_port(), StandIn::new(Meets::Freezes));
    let full = StandIn::new(Meets::Refuses("53300", "sorry, too many clients already"));
    for (host, port, wait, cause) in [
        ("127.0.0.1", closed, "0s", "connection refused"),
        ("127.0.0.1", full.port, "1s", "sorry, too many clients already"),
        ("127.0.0.1", frozen.port, "1s", "no answer within 1 s"),
        ("nowhere.invalid", closed, "0s", "failed to lookup address information: "),
    ] {
        let url = format!("postgres://somebody:hunter2@{host}:{port}/crm?sslmode=disable");
        for command in COMMANDS {
            let ended = crm(command, &with(&[("CRM_DATABASE_URL", url.as_str()), ("CRM_DATABASE_WAIT", wait)]));
            assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{command:?}: {ended:?}");
            let last = ended.err.lines().last().unwrap();
            let expected = format!("crm: the database at {host}:{port} cannot be reached: {cause}");
            assert!(last.starts_with(&expected), "{command:?}: {ended:?}");
            assert!(!ended.err.contains("hunter2") && !ended.err.contains("postgres://"), "{command:?}: {ended:?}");
        }
    }
    assert!(full.met() > COMMANDS.len(), "it was not tried again");
}

#[test]
fn what_is_waited_for_stands_in_the_log() {
    let server = StandIn::new(Meets::Refuses("57P03", "the database system is starting up"));
    let url = server.url();
    let ended = crm(&["migrate", "up"], &with(&[("CRM_DATABASE_URL", url.as_str()), ("CRM_DATABASE_WAIT", "8s")]));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let lines = saying(&ended, "the database cannot be reached yet");
    assert_eq!(lines.len(), 1, "{ended:?}");
    assert_eq!((&lines[0]["level"], &lines[0]["host"]), (&json!("WARN"), &json!("127.0.0.1")));
    assert_eq!(
        (&lines[0]["port"], &lines[0]["cause"]),
        (&json!(server.port), &json!("the database system is starting up"))
    );
}

#[test]
fn what_waiting_does_not_mend_is_said_at_once() {
    for (code, message, said) in [
        (
            "28P01",
            "password authentication failed for user \"somebody\"",
            "refuses the connection: password authentication",
        ),
        ("28000", "role \"somebody\" does not exist", "refuses the connection: role \"somebody\" does not exist"),
        ("3D000", "database \"crm\" does not exist", "the database crm does not exist at 127.0.0.1:"),
    ] {
        let server = StandIn::new(Meets::Refuses(code, message));
        let url = server.url();
        for command in COMMANDS {
            let ended = crm(command, &with(&[("CRM_DATABASE_URL", url.as_str()), ("CRM_DATABASE_WAIT", "1h")]));
            assert_eq!(ended.code, Some(1), "{command:?}: {ended:?}");
            assert!(ended.err.contains(said) && !ended.err.contains("hunter2"), "{command:?}: {ended:?}");
            let make = format!("`createdb -h 127.0.0.1 -p {} -U somebody crm`", server.port);
            assert_eq!(ended.err.contains(&make), code == "3D000", "{command:?}: {ended:?}");
        }
        assert_eq!(server.met(), COMMANDS.len(), "it was tried again");
    }
}

#[tokio::test]
async fn migrations_go_by_an_address_of_their_own() {
    if on_postgres() {
        let database = TestDatabase::new().await;
        let (url, port) = (database.url(), free_port());
        let nowhere = format!("postgres://somebody@127.0.0.1:{port}/crm");
        let wait = ("CRM_DATABASE_WAIT", "0s");
        let ended = crm(&["migrate", "up"], &[("CRM_DATABASE_URL", &nowhere), ("CRM_MIGRATE_URL", &url), wait]);
        assert!(ended.code == Some(0) && ended.out.contains("applied "), "{ended:?}");
        let variables = [("CRM_DATABASE_URL", url.as_str()), ("CRM_MIGRATE_URL", nowhere.as_str()), wait];
        let ended = served(&[&variables[..], &[("CRM_PII_KEYS", PII_KEYS)]].concat());
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.err.contains(&format!("the database at 127.0.0.1:{port} cannot be reached")), "{ended:?}");
    }
}

/// Holds the lock on the schema as another process would, until it is dropped.
enum Held {
    File(#[expect(dead_code, reason = "it is held")] File),
    Session(sea_orm::DatabaseConnection),
}

impl Held {
    async fn on(database: &TestDatabase) -> Self {
        match database {
            TestDatabase::Sqlite { directory } => {
                let path = directory.path().join("crm.db.lock");
                let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).unwrap();
                file.lock().unwrap();
                Self::File(file)
            }
            TestDatabase::Postgres { .. } => {
                let mut options = sea_orm::ConnectOptions::new(database.url());
                options.max_connections(1);
                let session = sea_orm::Database::connect(options).await.unwrap();
                session.execute_unprepared("SELECT pg_advisory_lock(x'63726d01'::bigint)").await.unwrap();
                Self::Session(session)
            }
        }
    }

    async fn release(self) {
        if let Self::Session(session) = self {
            session.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_migration_of_another_process_is_waited_for_and_then_given_up() {
    let database = TestDatabase::new().await;
    let (url, text) = (database.parsed_url(), database.url());
    let held = Held::on(&database).await;
    let refused = migrate::up(&url, None, Duration::ZERO).await.unwrap_err();
    assert!(matches!(refused, SchemaError::Busy(_)), "{refused}");
    assert!(migrate::status(&url).await.unwrap().iter().all(|step| !step.applied), "something was changed");

    let ended = served(&[("CRM_DATABASE_URL", text.as_str()), ("CRM_PII_KEYS", PII_KEYS), ("CRM_DATABASE_WAIT", "8s")]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let said = "crm: another process has been changing the schema for 8s; nothing was changed here";
    assert!(ended.err.contains(said), "{ended:?}");
    let lines = saying(&ended, "another process is changing the schema");
    assert_eq!((lines.len(), &lines[0]["level"]), (1, &json!("WARN")), "{ended:?}");

    let waiting = tokio::spawn(async move { migrate::up(&url, None, FOR_EVER).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    held.release().await;
    waiting.await.unwrap().unwrap();
    migrate::check(&database.parsed_url()).await.unwrap();
}

#[tokio::test]
async fn a_database_that_is_up_to_date_needs_no_lock_to_start() {
    let database = TestDatabase::new().await;
    let (url, text) = (database.parsed_url(), database.url());
    migrate::up(&url, None, FOR_EVER).await.unwrap();
    let held = Held::on(&database).await;
    for policy in ["auto", "check"] {
        let ended = served(&[("CRM_DATABASE_URL", text.as_str()), ("CRM_PII_KEYS", PII_KEYS), ("CRM_MIGRATE", policy)]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    held.release().await;
}

#[tokio::test]
async fn looking_at_the_schema_of_a_file_leaves_nothing_behind() {
    let database = TestDatabase::sqlite();
    let TestDatabase::Sqlite { directory } = &database else { panic!("not on SQLite") };
    let files = || {
        let mut names: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let url = database.url();
    let look = || {
        let ended = crm(&["migrate", "status"], &[("CRM_DATABASE_URL", url.as_str())]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.out.matches("applied ").count()
    };
    assert_eq!((look(), files().len()), (0, 0), "of a file that does not exist");

    migrate::up(&database.parsed_url(), None, FOR_EVER).await.unwrap();
    std::fs::remove_file(directory.path().join("crm.db.lock")).unwrap();
    let all = migrate::status(&database.parsed_url()).await.unwrap().len();
    assert_eq!((look(), files()), (all, vec!["crm.db".into()]));

    let path = directory.path().join("crm.db");
    let service = Service::on(database, &[]).await;
    service.customer().await;
    assert!(path.with_extension("db-wal").exists());
    let looked = crm(&["migrate", "status"], &[("CRM_DATABASE_URL", service.database.url().as_str())]);
    assert_eq!(looked.out.matches("applied ").count(), all, "of a file that is written: {looked:?}");
}

#[tokio::test]
async fn a_server_that_acknowledges_too_early_is_refused() {
    if on_postgres() {
        let database = TestDatabase::new().await;
        let TestDatabase::Postgres { name } = &database else { panic!("not on PostgreSQL") };
        let connection = database.connect().await;
        let set = format!("ALTER DATABASE {name} SET synchronous_commit = off");
        connection.execute_unprepared(&set).await.unwrap();
        let url = database.url();
        let ended = served(&[("CRM_DATABASE_URL", url.as_str()), ("CRM_PII_KEYS", PII_KEYS)]);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.err.contains("crm: synchronous_commit is off in PostgreSQL"), "{ended:?}");
    }
}

#[test]
fn no_command_shows_a_password_of_an_address_that_cannot_be_read() {
    let urls = [
        "postgres://u:12#hunter2@127.0.0.1/x",
        "postgres://u:12/hunter2@127.0.0.1/x",
        "postgres://u:12?hunter2@127.0.0.1/x",
        "postgres://u:12?hunter2=x@127.0.0.1/x",
        "postgres://u:hunter2#s@127.0.0.1/x",
        "postgres://u:hunter2/s@127.0.0.1/x",
        "postgres://u:hunter2?s@127.0.0.1/x",
        "postgres://u:hunter2@127.0.0.1:99999/x",
        "postgres://u:hunter2@[/x",
        "postgres://u:hunter2@127.0.0.1/x?colour=hunter2",
        "postgres://u:hunter2@127.0.0.1/x?sslmode=hunter2",
        "postgres://u:hunter2@127.0.0.1/x?port=hunter2",
        "postgres://u:hunter2%ff@127.0.0.1/x",
        "postgres:/u:hunter2@127.0.0.1/x",
        "mysql://u:hunter2@127.0.0.1/x",
    ];
    let commands: [&[&str]; 2] = [&["token"], &["healthcheck"]];
    for variable in ["CRM_DATABASE_URL", "CRM_MIGRATE_URL"] {
        for url in urls {
            for command in COMMANDS.iter().chain(&commands) {
                let mut variables =
                    with(&[("CRM_DATABASE_URL", "postgres://u@127.0.0.1:1/x"), ("CRM_DATABASE_WAIT", "0s")]);
                variables.push((variable, url));
                let ended = crm(command, &variables);
                assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{variable}={url} {command:?}: {ended:?}");
                assert!(ended.err.contains(&format!("\n  {variable}: ")), "{variable}={url} {command:?}: {ended:?}");
                assert!(!ended.err.contains("hunter2"), "{variable}={url} {command:?}: {ended:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_written_is_dropped_and_the_service_serves() {
    let database = TestDatabase::new().await;
    let port = free_port();
    let mut child = Command::new(env!("CARGO_BIN_EXE_crm"))
        .arg("serve")
        .env_clear()
        .envs(with(&[("CRM_LOG", "trace")]))
        .env("CRM_EVENTS_URL", "")
        .env("CRM_DATABASE_URL", database.url())
        .env("CRM_PORT", port.to_string())
        .stderr(OpenOptions::new().write(true).open("/dev/full").unwrap())
        .spawn()
        .unwrap();
    let mut answered = 0;
    while answered < 3 {
        assert_eq!(child.try_wait().unwrap(), None, "it died");
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
            stream.write_all(b"GET /customers HTTP/1.1\r\nHost: crm\r\nConnection: close\r\n\r\n").unwrap();
            let mut reply = String::new();
            stream.read_to_string(&mut reply).unwrap();
            assert!(reply.starts_with("HTTP/1.1 401 "), "{reply}");
            answered += 1;
        } else {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// The service at level INFO, whose standard error only the test reads, or nobody.
fn unread(database: &TestDatabase, port: u16) -> Process {
    let child = Command::new(env!("CARGO_BIN_EXE_crm"))
        .arg("serve")
        .env_clear()
        .envs(with(&[("CRM_LOG", "info")]))
        .env("CRM_EVENTS_URL", "")
        .env("CRM_DATABASE_URL", database.url())
        .env("CRM_PORT", port.to_string())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    Process { child, address: String::new(), private: String::new() }
}

/// Sends so many requests on one connection, and fails unless each is answered.
fn ask_often(port: u16, requests: usize) {
    const AT_A_TIME: usize = 50;
    let mut stream = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => break stream,
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    };
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut replies = io::BufReader::new(stream.try_clone().unwrap());
    for _ in 0..requests / AT_A_TIME {
        stream.write_all("GET /nowhere HTTP/1.1\r\nHost: crm\r\n\r\n".repeat(AT_A_TIME).as_bytes()).unwrap();
        for _ in 0..AT_A_TIME {
            let (mut length, mut line) = (0, String::new());
            while line != "\r\n" {
                line.clear();
                assert!(replies.read_line(&mut line).unwrap() > 0, "the connection was closed");
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                    length = value.trim().parse().unwrap();
                }
            }
            replies.read_exact(&mut vec![0; length]).unwrap();
        }
    }
}

/// How it ended, told to stop.
fn stopped(process: &mut Process) -> Option<i32> {
    process.signal("-TERM");
    let told = Instant::now();
    while told.elapsed() < Duration::from_secs(10) {
        if let Some(status) = process.child.try_wait().unwrap() {
            return status.code();
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("it does not stop");
}

#[tokio::test]
async fn a_log_that_nobody_reads_stops_neither_the_requests_nor_the_end() {
    let database = TestDatabase::new().await;
    let port = free_port();
    let mut process = unread(&database, port);
    ask_often(port, 2000);
    assert_eq!(stopped(&mut process), Some(0));
}

#[tokio::test]
async fn lines_that_find_the_log_full_are_counted_and_the_rest_is_written_in_order() {
    const REQUESTS: usize = 10_000;
    let database = TestDatabase::new().await;
    let port = free_port();
    let mut process = unread(&database, port);
    ask_often(port, REQUESTS);
    let mut log = io::BufReader::new(process.child.stderr.take().unwrap());
    let (mut text, mut dropped) = (String::new(), None);
    while dropped.is_none() {
        assert!(log.read_line(&mut text).unwrap() > 0, "it does not say how many lines were dropped");
        let line: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        if line["message"].as_str().unwrap().starts_with("lines of the log were dropped") {
            dropped = line["lines"].as_u64();
        }
    }
    assert_eq!(stopped(&mut process), Some(0));
    log.read_to_string(&mut text).unwrap();
    let answered = text.lines().filter(|line| line.contains("\"answered\"")).count();
    assert_eq!(answered + usize::try_from(dropped.unwrap()).unwrap(), REQUESTS);
    assert!(text.lines().last().unwrap().contains("\"stopped\""), "{}", text.lines().last().unwrap());
}

#[test]
fn what_was_logged_before_an_error_at_the_start_is_written_before_it() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let (directory, port) = (tempfile::tempdir().unwrap(), other.local_addr().unwrap().port().to_string());
    let data = directory.path().to_str().unwrap();
    for _ in 0..20 {
        let ended = crm(&["serve"], &[("CRM_PORT", &port), ("CRM_DATA_DIR", data), ("CRM_METRICS_ADDR", "off")]);
        let lines: Vec<_> = ended.err.lines().collect();
        assert_eq!((ended.code, lines.len()), (Some(1), 2), "{ended:?}");
        assert!(lines[0].contains("development secret") && lines[1].starts_with("crm: cannot listen on "), "{ended:?}");
    }
}

#[test]
fn an_error_that_nobody_reads_ends_the_process_all_the_same() {
    let (_unread, mut full) = io::pipe().unwrap();
    // As much as a pipe holds: the next byte would wait.
    full.write_all(&vec![b'x'; 65_536]).unwrap();
    for arguments in [&["serve"][..], &["audit", "verify"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_crm"))
            .args(arguments)
            .env_clear()
            .env("CRM_PORT", "none")
            .stderr(full.try_clone().unwrap())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while child.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < Duration::from_secs(10), "it does not end");
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(child.wait().unwrap().code(), Some(1));
    }
}
