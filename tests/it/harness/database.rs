//! A database for each test, created empty and deleted with it.

use crm::{
    config::DatabaseUrl,
    database::{migrate, roles},
};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection};
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

/// The server where databases are created.
fn postgres_url() -> String {
    variable("TEST_POSTGRES_URL").unwrap_or_else(|| "postgres://postgres@127.0.0.1:5432/postgres".to_owned())
}

/// The role that the service runs as.
const SERVICE_ROLE: &str = "crm_test_service";

pub enum TestDatabase {
    Sqlite { directory: TempDir },
    Postgres { name: String },
}

impl TestDatabase {
    pub async fn new() -> Self {
        if on_postgres() { Self::postgres().await } else { Self::sqlite() }
    }

    pub fn sqlite() -> Self {
        Self::Sqlite { directory: tempfile::tempdir().unwrap() }
    }

    async fn postgres() -> Self {
        #[expect(clippy::disallowed_methods, reason = "a name that no other test has")]
        let name = format!("crm_test_{}", uuid::Uuid::now_v7().simple());
        // A role belongs to the server: the first of several tests makes it.
        on_server(format!(
            "DO $$ BEGIN CREATE ROLE {SERVICE_ROLE} LOGIN PASSWORD '{SERVICE_ROLE}'; \
             EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        ))
        .await;
        on_server(format!("CREATE DATABASE {name}")).await;
        Self::Postgres { name }
    }

    pub fn url(&self) -> String {
        match self {
            Self::Sqlite { directory } => format!("sqlite://{}", directory.path().join("crm.db").display()),
            Self::Postgres { name } => {
                let (server, _) = postgres_url().rsplit_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
                format!("{server}/{name}")
            }
        }
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

    /// Migrates as the owner, and gives the service's role its rights.
    pub async fn migrate(&self) {
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
            let statement = format!("DROP DATABASE {name} WITH (FORCE)");
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
    let server = postgres_url();
    let connection = Database::connect(server.as_str()).await;
    let connection =
        connection.unwrap_or_else(|error| panic!("no PostgreSQL at TEST_POSTGRES_URL ({server}): {error}"));
    connection.execute_unprepared(&statement).await.unwrap();
    connection.close().await.unwrap();
}
