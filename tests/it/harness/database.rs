//! A database for each test, created empty and deleted with it.

use std::time::UNIX_EPOCH;

use crm::{
    config::DatabaseUrl,
    database::{migrate, roles},
};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement, TransactionTrait};
use tempfile::TempDir;

use super::time::AMPLE;

/// A variable that configures the tests.
#[expect(clippy::disallowed_methods, reason = "the tests are not the service, whose configuration is read once")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Whether the tests run on PostgreSQL, rather than on SQLite.
pub fn on_postgres() -> bool {
    match variable("TEST_DATABASE").as_deref() {
        Some("postgres") => true,
        Some("sqlite") | None => false,
        Some(other) => panic!("TEST_DATABASE must be sqlite or postgres, not {other}"),
    }
}

/// A database on the server where they are created. Unless the address says otherwise it is reached in clear: the handshake of
/// TLS takes a tenth of a second, for each connection of each test.
fn postgres_url(name: &str) -> String {
    let server = variable("TEST_POSTGRES_URL");
    let server = server.unwrap_or_else(|| "postgres://postgres@127.0.0.1:5432/postgres".to_owned());
    let (path, parameters) = server.split_once('?').unwrap_or((&server, "sslmode=disable"));
    let (server, _) = path.rsplit_once('/').unwrap();
    format!("{server}/{name}?{parameters}")
}

/// The role that the service runs as.
const SERVICE_ROLE: &str = "crm_test_service";

/// A file system in memory (tmpfs). A test on SQLite commits some fifty times before its first request, and on a disk each
/// time waits for that; what survives a loss of power, `make disks` tests.
const MEMORY: &str = "/dev/shm";

/// Whether there is such a file system, and place in it for what runs at the same time.
fn memory_has_room() -> bool {
    rustix::fs::statvfs(MEMORY).is_ok_and(|free| free.f_bavail.saturating_mul(free.f_frsize) >= 2 << 30)
}

pub enum TestDatabase {
    Sqlite { directory: TempDir },
    Postgres { name: String },
}

impl TestDatabase {
    /// An empty one.
    pub async fn new() -> Self {
        if on_postgres() { Self::postgres("template1").await } else { Self::sqlite() }
    }

    /// One with the schema.
    pub async fn migrated() -> Self {
        if on_postgres() {
            return Self::postgres(&template().await).await;
        }
        let database = Self::sqlite();
        database.migrate().await;
        database
    }

    pub fn sqlite() -> Self {
        let directory = if memory_has_room() { tempfile::tempdir_in(MEMORY) } else { tempfile::tempdir() };
        Self::Sqlite { directory: directory.unwrap() }
    }

    async fn postgres(template: &str) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a name that no other test has")]
        let name = format!("crm_test_{}", uuid::Uuid::now_v7().simple());
        // A role belongs to the server: the first of several tests makes it.
        on_server(format!(
            "DO $$ BEGIN CREATE ROLE {SERVICE_ROLE} LOGIN PASSWORD '{SERVICE_ROLE}'; \
             EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        ))
        .await;
        on_server(format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        Self::Postgres { name }
    }

    pub fn url(&self) -> String {
        match self {
            Self::Sqlite { directory } => format!("sqlite://{}", directory.path().join("crm.db").display()),
            Self::Postgres { name } => postgres_url(name),
        }
    }

    /// The name, on PostgreSQL.
    pub fn name(&self) -> &str {
        let Self::Postgres { name } = self else { panic!("not on PostgreSQL") };
        name
    }

    /// Where the service connects: on PostgreSQL as a role that may only add to the audit trail.
    pub fn service_url(&self) -> String {
        let url = self.url();
        match self {
            Self::Sqlite { .. } => url,
            Self::Postgres { .. } => {
                let (scheme, rest) = url.split_once("://").unwrap();
                let (_, host) = rest.split_once('@').unwrap();
                format!("{scheme}://{SERVICE_ROLE}:{SERVICE_ROLE}@{host}")
            }
        }
    }

    /// Migrates as the owner, and gives the service's role its rights, unless that is done.
    pub async fn migrate(&self) {
        // As the service's role, which sees the list of migrations once it has its rights.
        if migrate::check(&self.service_url().parse().unwrap()).await.is_ok() {
            return;
        }
        migrate::up(&self.parsed_url(), None, AMPLE).await.unwrap();
        if let Self::Postgres { .. } = self {
            let owner = self.connect().await;
            owner.execute_unprepared(&roles::grants(SERVICE_ROLE, "public")).await.unwrap();
            owner.close().await.unwrap();
        }
    }

    pub fn parsed_url(&self) -> DatabaseUrl {
        self.url().parse().unwrap()
    }

    /// A connection around the service.
    pub async fn connect(&self) -> DatabaseConnection {
        Database::connect(self.url()).await.unwrap()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Self::Postgres { name } = self {
            let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            let dropping = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(on_server(statement));
            });
            if dropping.join().is_err() {
                eprintln!("the database {name} could not be dropped");
            }
        }
    }
}

/// Runs a statement outside the tests' databases.
pub async fn on_server(statement: String) {
    let server = postgres_url("postgres");
    let connection = Database::connect(server.as_str()).await;
    let connection =
        connection.unwrap_or_else(|error| panic!("no PostgreSQL at TEST_POSTGRES_URL ({server}): {error}"));
    connection.execute_unprepared(&statement).await.unwrap();
    connection.close().await.unwrap();
}

/// Begins the name of each template; what follows is when the tests that made it were built, in seconds of the Unix epoch.
const TEMPLATE: &str = "crm_template_";

/// How long templates of other builds are kept, in seconds: such tests may be running.
const KEPT: u64 = 24 * 60 * 60;

/// A migrated database to copy, which the first test of a build makes: most tests would spend most of their time migrating.
async fn template() -> String {
    let built = std::env::current_exe().and_then(std::fs::metadata).and_then(|file| file.modified()).unwrap();
    let built = built.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let name = format!("{TEMPLATE}{built}");
    let server = Database::connect(postgres_url("postgres")).await.unwrap();
    // Each test is a process of its own.
    let lock = server.begin().await.unwrap();
    lock.execute_unprepared(&format!("SELECT pg_advisory_xact_lock(hashtext('{name}'))")).await.unwrap();
    let templates = format!("SELECT datname::text AS name FROM pg_database WHERE starts_with(datname, '{TEMPLATE}')");
    let templates = lock.query_all_raw(Statement::from_string(DbBackend::Postgres, templates)).await.unwrap();
    let templates: Vec<String> = templates.iter().map(|row| row.try_get("", "name").unwrap()).collect();
    if !templates.contains(&name) {
        for template in templates {
            let of: u64 = template.trim_start_matches(TEMPLATE).parse().unwrap();
            if of + KEPT < built {
                on_server(format!("DROP DATABASE {template}")).await;
            }
        }
        let migrated = TestDatabase::postgres("template1").await;
        migrated.migrate().await;
        // It has its name once it is done. By that it is not dropped.
        on_server(format!("ALTER DATABASE {} RENAME TO {name}", migrated.name())).await;
    }
    lock.rollback().await.unwrap();
    server.close().await.unwrap();
    name
}
