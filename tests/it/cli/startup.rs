//! The start: a port in use, a database that is late, wrong or locked, and URLs that hold a password.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crm::database::migrate::{self, SchemaError};
use sea_orm::ConnectionTrait;
use serde_json::json;

use crate::harness::{
    AMPLE, PII_KEYS, SERVER, Service, TestDatabase, command, free_port, on_postgres, run_crm, signal, start_and_stop,
};

/// Every command that opens the database.
const COMMANDS: [&[&str]; 6] =
    [&["serve"], &["migrate", "status"], &["audit", "verify"], &["outbox", "status"], &["keys", "rotate"], &["relay"]];

/// How a server in place of PostgreSQL treats connections.
#[derive(Clone)]
enum Behaviour {
    /// Refuses them with this SQLSTATE and message.
    Refuse(&'static str, &'static str),
    /// Accepts them and never answers.
    Hang,
    /// Refuses this many, and forwards later ones to the server at this address.
    StartLate(usize, String),
}

struct FakeServer {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl FakeServer {
    fn new(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, connections) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&connections);
        thread::spawn(move || {
            let mut open = Vec::new();
            for client in listener.incoming().map_while(Result::ok) {
                let before = counted.fetch_add(1, Ordering::SeqCst);
                let answered = match &behaviour {
                    Behaviour::Refuse(code, message) => refuse(&client, code, message),
                    Behaviour::StartLate(most, _) if before < *most => {
                        refuse(&client, "57P03", "the database system is starting up")
                    }
                    Behaviour::StartLate(_, server) => forward(&client, server),
                    Behaviour::Hang => Ok(()),
                };
                // The client may have left.
                drop(answered);
                open.push(client);
            }
        });
        Self { port, connections }
    }

    fn url(&self) -> String {
        format!("postgres://somebody:hunter2@127.0.0.1:{}/crm?sslmode=disable", self.port)
    }

    /// How many connections there were.
    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Reads the startup message and answers with an ErrorResponse of PostgreSQL's protocol.
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

fn forward(client: &TcpStream, server: &str) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    for (mut from, mut to) in [(client.try_clone()?, server.try_clone()?), (server, client.try_clone()?)] {
        thread::spawn(move || {
            let _broke = io::copy(&mut from, &mut to);
            let _closed = to.shutdown(std::net::Shutdown::Both);
        });
    }
    Ok(())
}

/// The variables of any command; `more` has those of the database.
fn with<'v>(more: &[(&'v str, &'v str)]) -> Vec<(&'v str, &'v str)> {
    let keys_and_broker = [("CRM_PII_KEYS", PII_KEYS), ("CRM_EVENTS_URL", "amqp://127.0.0.1:1")];
    SERVER.iter().chain(&keys_and_broker).chain(more).copied().collect()
}

#[tokio::test]
async fn a_port_in_use_ends_the_start_and_leaves_the_database_untouched() {
    let database = TestDatabase::new().await;
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap();
    let (url, port) = (database.url(), taken.port().to_string());
    let output =
        start_and_stop(&[("CRM_DATABASE_URL", url.as_str()), ("CRM_PII_KEYS", PII_KEYS), ("CRM_PORT", port.as_str())]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.error().starts_with(&format!("cannot listen on {taken}: Address already in use")), "{output:?}");
    match &database {
        TestDatabase::Sqlite { directory } => {
            assert_eq!(std::fs::read_dir(directory).unwrap().count(), 0, "files are left behind");
        }
        TestDatabase::Postgres { .. } => {
            let steps = migrate::status(&database.parsed_url()).await.unwrap();
            assert!(steps.iter().all(|step| !step.applied), "the schema was changed");
        }
    }
}

#[test]
fn while_it_waits_for_the_database_it_refuses_connections_and_can_stop() {
    let server = FakeServer::new(Behaviour::Refuse("57P03", "the database system is starting up"));
    let (url, port) = (server.url(), free_port());
    let (port_text, wait) = (port.to_string(), ("CRM_DATABASE_WAIT", "1h"));
    let variables = with(&[("CRM_DATABASE_URL", url.as_str()), ("CRM_PORT", port_text.as_str()), wait]);
    let mut child = command(&["serve"], &variables).stderr(Stdio::null()).spawn().unwrap();
    // It retries until it is stopped.
    while server.connections() < 2 {
        thread::sleep(Duration::from_millis(5));
    }
    let refused = TcpStream::connect(("127.0.0.1", port)).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    signal("-TERM", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn serve_waits_for_a_database_that_starts_late() {
    if on_postgres() {
        let database = TestDatabase::new().await;
        let url = database.url();
        let (_, address) = url.split_once('@').unwrap();
        let (address, _) = address.split_once('/').unwrap();
        let server = FakeServer::new(Behaviour::StartLate(2, address.to_owned()));
        let late = url.replace(address, &format!("127.0.0.1:{}", server.port));
        let output = start_and_stop(&[
            ("CRM_DATABASE_URL", late.as_str()),
            ("CRM_PII_KEYS", PII_KEYS),
            ("CRM_DATABASE_WAIT", "1h"),
        ]);
        assert_eq!(output.code, Some(0), "{output:?}");
        assert!(server.connections() > 2, "it did not connect");
    }
}

#[test]
fn every_command_names_an_unreachable_database_and_the_cause() {
    let (closed, frozen) = (free_port(), FakeServer::new(Behaviour::Hang));
    let full = FakeServer::new(Behaviour::Refuse("53300", "sorry, too many clients already"));
    for (host, port, wait, cause) in [
        ("127.0.0.1", closed, "0s", "connection refused"),
        ("127.0.0.1", full.port, "1s", "sorry, too many clients already"),
        ("127.0.0.1", frozen.port, "1s", "no answer within 1 s"),
        ("nowhere.invalid", closed, "0s", "failed to lookup address information: "),
    ] {
        let url = format!("postgres://somebody:hunter2@{host}:{port}/crm?sslmode=disable");
        for arguments in COMMANDS {
            let output = run_crm(arguments, &with(&[("CRM_DATABASE_URL", url.as_str()), ("CRM_DATABASE_WAIT", wait)]));
            assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""), "{arguments:?}: {output:?}");
            let expected = format!("the database at {host}:{port} cannot be reached: {cause}");
            assert!(output.error().starts_with(&expected), "{arguments:?}: {output:?}");
            assert!(
                !output.stderr.contains("hunter2") && !output.stderr.contains("postgres://"),
                "{arguments:?}: {output:?}"
            );
        }
    }
    assert!(full.connections() > COMMANDS.len(), "it did not retry");
}

#[test]
fn waiting_for_the_database_is_logged_once_with_the_cause() {
    let server = FakeServer::new(Behaviour::Refuse("57P03", "the database system is starting up"));
    let url = server.url();
    let output = run_crm(&["migrate", "up"], &with(&[("CRM_DATABASE_URL", url.as_str()), ("CRM_DATABASE_WAIT", "8s")]));
    assert_eq!(output.code, Some(1), "{output:?}");
    let lines = output.logged("the database cannot be reached yet");
    assert_eq!(lines.len(), 1, "{output:?}");
    assert_eq!((&lines[0]["level"], &lines[0]["host"]), (&json!("WARN"), &json!("127.0.0.1")));
    assert_eq!(
        (&lines[0]["port"], &lines[0]["cause"]),
        (&json!(server.port), &json!("the database system is starting up"))
    );
}

#[test]
fn a_permanent_database_error_ends_every_command_at_once() {
    for (code, message, error) in [
        (
            "28P01",
            "password authentication failed for user \"somebody\"",
            "refuses the connection: password authentication",
        ),
        ("28000", "role \"somebody\" does not exist", "refuses the connection: role \"somebody\" does not exist"),
        ("3D000", "database \"crm\" does not exist", "the database crm does not exist at 127.0.0.1:"),
    ] {
        let server = FakeServer::new(Behaviour::Refuse(code, message));
        let url = server.url();
        for arguments in COMMANDS {
            let output = run_crm(arguments, &with(&[("CRM_DATABASE_URL", url.as_str()), ("CRM_DATABASE_WAIT", "1h")]));
            assert_eq!(output.code, Some(1), "{arguments:?}: {output:?}");
            let told = output.error();
            assert!(told.contains(error) && !output.stderr.contains("hunter2"), "{arguments:?}: {output:?}");
            let make = format!("`createdb -h 127.0.0.1 -p {} -U somebody crm`", server.port);
            assert_eq!(told.contains(&make), code == "3D000", "{arguments:?}: {output:?}");
        }
        assert_eq!(server.connections(), COMMANDS.len(), "it retried");
    }
}

#[tokio::test]
async fn migrations_use_their_own_database_url() {
    if on_postgres() {
        let database = TestDatabase::new().await;
        let (url, port) = (database.url(), free_port());
        let nowhere = format!("postgres://somebody@127.0.0.1:{port}/crm");
        let wait = ("CRM_DATABASE_WAIT", "0s");
        let output = run_crm(&["migrate", "up"], &[("CRM_DATABASE_URL", &nowhere), ("CRM_MIGRATE_URL", &url), wait]);
        assert!(output.code == Some(0) && output.stdout.contains("applied "), "{output:?}");
        let variables = [("CRM_DATABASE_URL", url.as_str()), ("CRM_MIGRATE_URL", nowhere.as_str()), wait];
        let output = start_and_stop(&[&variables[..], &[("CRM_PII_KEYS", PII_KEYS)]].concat());
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.stderr.contains(&format!("the database at 127.0.0.1:{port} cannot be reached")), "{output:?}");
    }
}

/// The migration lock, held as by another process.
enum MigrationLock {
    File(#[expect(dead_code, reason = "dropping it releases the lock")] File),
    Session(sea_orm::DatabaseConnection),
}

impl MigrationLock {
    async fn acquire(database: &TestDatabase) -> Self {
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
async fn a_running_migration_is_waited_for_up_to_the_limit() {
    let database = TestDatabase::new().await;
    let (url, text) = (database.parsed_url(), database.url());
    let lock = MigrationLock::acquire(&database).await;
    let refused = migrate::up(&url, None, Duration::ZERO).await.unwrap_err();
    assert!(matches!(refused, SchemaError::Busy(_)), "{refused}");
    assert!(migrate::status(&url).await.unwrap().iter().all(|step| !step.applied), "the schema was changed");

    let output =
        start_and_stop(&[("CRM_DATABASE_URL", text.as_str()), ("CRM_PII_KEYS", PII_KEYS), ("CRM_DATABASE_WAIT", "8s")]);
    assert_eq!(output.code, Some(1), "{output:?}");
    let error = "another process has been changing the schema for 8s; nothing was changed here";
    assert_eq!(output.error(), error, "{output:?}");
    let lines = output.logged("another process is changing the schema");
    assert_eq!((lines.len(), &lines[0]["level"]), (1, &json!("WARN")), "{output:?}");

    let waiting = tokio::spawn(async move { migrate::up(&url, None, AMPLE).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    lock.release().await;
    waiting.await.unwrap().unwrap();
    migrate::check(&database.parsed_url()).await.unwrap();
}

#[tokio::test]
async fn an_up_to_date_database_is_opened_without_the_migration_lock() {
    let database = TestDatabase::new().await;
    let (url, text) = (database.parsed_url(), database.url());
    migrate::up(&url, None, AMPLE).await.unwrap();
    let lock = MigrationLock::acquire(&database).await;
    for policy in ["auto", "check"] {
        let output =
            start_and_stop(&[("CRM_DATABASE_URL", text.as_str()), ("CRM_PII_KEYS", PII_KEYS), ("CRM_MIGRATE", policy)]);
        assert_eq!(output.code, Some(0), "{output:?}");
    }
    lock.release().await;
}

#[tokio::test]
async fn migrate_status_leaves_no_files_behind() {
    let database = TestDatabase::sqlite();
    let TestDatabase::Sqlite { directory } = &database else { panic!("not on SQLite") };
    let files = || {
        let mut names: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let url = database.url();
    let status = || {
        let output = run_crm(&["migrate", "status"], &[("CRM_DATABASE_URL", url.as_str())]);
        assert_eq!(output.code, Some(0), "{output:?}");
        output.stdout.matches("applied ").count()
    };
    assert_eq!((status(), files().len()), (0, 0), "a missing file was created");

    migrate::up(&database.parsed_url(), None, AMPLE).await.unwrap();
    std::fs::remove_file(directory.path().join("crm.db.lock")).unwrap();
    let all = migrate::status(&database.parsed_url()).await.unwrap().len();
    assert_eq!((status(), files()), (all, vec!["crm.db".into()]));

    let path = directory.path().join("crm.db");
    let service = Service::on(database, &[]).await;
    service.customer().await;
    assert!(path.with_extension("db-wal").exists());
    let output = run_crm(&["migrate", "status"], &[("CRM_DATABASE_URL", service.database.url().as_str())]);
    assert_eq!(output.stdout.matches("applied ").count(), all, "of a database in use: {output:?}");
}

#[tokio::test]
async fn one_line_at_start_says_what_runs_with_what_and_whom_it_trusts() {
    let database = TestDatabase::new().await;
    let url = database.url();
    let issuer = "https://id.example.com/realms/main";
    let variables = [
        ("CRM_DATABASE_URL", url.as_str()),
        ("CRM_PII_KEYS", PII_KEYS),
        ("CRM_EVENTS_URL", "amqp://crm:canary@127.0.0.1:1/events"),
        ("CRM_EVENTS_RELAY", "off"),
        ("CRM_JWT_SECRET", ""),
        ("CRM_OIDC_ISSUER", issuer),
        ("CRM_TENANCY", "token"),
    ];
    for start in ["first", "second"] {
        let output = start_and_stop(&variables);
        assert_eq!(output.code, Some(0), "{output:?}");
        let lines = output.logged("serving");
        assert_eq!(lines.len(), 1, "{output:?}");
        let said = |field: &str| {
            lines[0][field].as_str().unwrap_or_else(|| panic!("{field} is not in {}", lines[0])).to_owned()
        };
        assert_eq!(said("version"), env!("CARGO_PKG_VERSION"));
        assert_eq!(said("contract").len(), 64);
        assert_eq!(said("broker"), "amqp://crm:***@127.0.0.1:1/events");
        assert_eq!(said("tokens"), format!("keys of {issuer}"));
        assert_eq!((said("tenancy").as_str(), said("scopes").as_str()), ("token", "optional"));
        assert_eq!(said("docs"), format!("http://{}/docs", said("address")));
        match on_postgres() {
            true => assert!(said("database").starts_with("postgres://"), "{}", said("database")),
            false => assert_eq!(said("database"), url),
        }
        assert!(!output.stderr.contains("canary"), "{output:?}");
        // Where nothing is migrated, nothing is said of migrations.
        let migrations = output.log().iter().filter(|line| line["target"].to_string().contains("migrat")).count();
        assert_eq!(migrations > 0, start == "first", "{output:?}");
    }
}

#[tokio::test]
async fn postgres_with_synchronous_commit_off_is_refused() {
    if on_postgres() {
        let database = TestDatabase::new().await;
        let connection = database.connect().await;
        let set = format!("ALTER DATABASE {} SET synchronous_commit = off", database.name());
        connection.execute_unprepared(&set).await.unwrap();
        let url = database.url();
        let output = start_and_stop(&[("CRM_DATABASE_URL", url.as_str()), ("CRM_PII_KEYS", PII_KEYS)]);
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.error().starts_with("synchronous_commit is off in PostgreSQL"), "{output:?}");
    }
}

#[test]
fn no_command_prints_the_password_of_an_invalid_url() {
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
    let commands: [&[&str]; 3] = [&["token"], &["doctor"], &["config", "check"]];
    for variable in ["CRM_DATABASE_URL", "CRM_MIGRATE_URL"] {
        for url in urls {
            for arguments in COMMANDS.iter().chain(&commands) {
                let mut variables =
                    with(&[("CRM_DATABASE_URL", "postgres://u@127.0.0.1:1/x"), ("CRM_DATABASE_WAIT", "0s")]);
                variables.push((variable, url));
                let output = run_crm(arguments, &variables);
                assert_eq!(
                    (output.code, output.stdout.as_str()),
                    (Some(1), ""),
                    "{variable}={url} {arguments:?}: {output:?}"
                );
                assert!(
                    output.error().contains(&format!("\n  {variable}: ")),
                    "{variable}={url} {arguments:?}: {output:?}"
                );
                assert!(!output.stderr.contains("hunter2"), "{variable}={url} {arguments:?}: {output:?}");
            }
        }
    }
}
