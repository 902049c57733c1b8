//! The schema: brought up to date, taken back, reported. Under a lock, so that several processes may start together.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use migration::Migrator;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr};
use sea_orm_migration::{MigrationStatus, MigratorTrait, SchemaManager};

use super::connect;
use crate::config::{DatabaseUrl, beside};

/// The key of PostgreSQL's advisory lock: "crm" and a number in ASCII.
const LOCK: i64 = 0x63_72_6d_01;

/// Why the schema could not be brought into the state asked for.
#[derive(Debug)]
pub enum SchemaError {
    /// The database has migrations that this program does not know.
    Newer(Vec<String>),
    /// The database lacks migrations, and `CRM_MIGRATE=check` forbids applying them.
    Behind(Vec<String>),
    /// The lock file cannot be used.
    Lock(PathBuf, io::Error),
    /// A fault of the database.
    Database(DbErr),
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newer(names) => write!(
                f,
                "the database is newer than this program: it has the migrations {}, which this program does not know; \
                 run the newer crm",
                names.join(", ")
            ),
            Self::Behind(names) => write!(
                f,
                "the database is behind this program: it lacks the migrations {}; run `crm migrate up`, or set \
                 CRM_MIGRATE=auto",
                names.join(", ")
            ),
            Self::Lock(file, error) => write!(f, "cannot lock {}: {error}", file.display()),
            Self::Database(error) => write!(f, "the database cannot be migrated: {error}"),
        }
    }
}

impl std::error::Error for SchemaError {}

impl From<DbErr> for SchemaError {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

/// A migration and whether the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// Whether it is applied.
    pub applied: bool,
}

/// Applies what is missing: everything, or `steps` migrations.
///
/// # Errors
/// A newer database, or a fault.
pub async fn up(url: &DatabaseUrl, steps: Option<u32>) -> Result<(), SchemaError> {
    let locked = Locked::open(url).await?;
    let done = Migrator::up(&locked.connection, steps).await;
    locked.release().await?;
    Ok(done?)
}

/// Takes back the last `steps` migrations, and the data in what they made.
///
/// # Errors
/// A newer database, or a fault.
pub async fn down(url: &DatabaseUrl, steps: u32) -> Result<(), SchemaError> {
    let locked = Locked::open(url).await?;
    let done = Migrator::down(&locked.connection, Some(steps)).await;
    locked.release().await?;
    Ok(done?)
}

/// What is applied and what is not, oldest first.
///
/// # Errors
/// A newer database, or a fault.
pub async fn status(url: &DatabaseUrl) -> Result<Vec<Step>, SchemaError> {
    let locked = Locked::open(url).await?;
    let steps = Migrator::get_migration_with_status_read_only(&locked.connection).await?;
    locked.release().await?;
    let step = |migration: sea_orm_migration::Migration| Step {
        name: migration.name().to_owned(),
        applied: migration.status() == MigrationStatus::Applied,
    };
    Ok(steps.into_iter().map(step).collect())
}

/// Refuses a database that is not exactly up to date.
///
/// # Errors
/// A newer or older database, or a fault.
pub async fn check(url: &DatabaseUrl) -> Result<(), SchemaError> {
    let missing: Vec<String> =
        status(url).await?.into_iter().filter(|step| !step.applied).map(|step| step.name).collect();
    if missing.is_empty() { Ok(()) } else { Err(SchemaError::Behind(missing)) }
}

/// A connection that holds the lock on the schema.
struct Locked {
    connection: DatabaseConnection,
    /// SQLite's lock; PostgreSQL's is held by the session.
    _file: Option<File>,
}

impl Locked {
    /// Takes the lock, and refuses a database that is newer than this program.
    async fn open(url: &DatabaseUrl) -> Result<Self, SchemaError> {
        let locked = match url {
            DatabaseUrl::Sqlite(path) => {
                let file = lock_file(path).await?;
                Self { connection: connect::sqlite_session(path).await?, _file: Some(file) }
            }
            DatabaseUrl::Postgres(url) => {
                let connection = connect::postgres_session(url).await?;
                connection.execute_unprepared(&format!("SELECT pg_advisory_lock({LOCK})")).await?;
                Self { connection, _file: None }
            }
        };
        locked.refuse_newer().await?;
        Ok(locked)
    }

    async fn refuse_newer(&self) -> Result<(), SchemaError> {
        if !SchemaManager::new(&self.connection).has_table("seaql_migrations").await? {
            return Ok(());
        }
        let known: Vec<String> = Migrator::get_migration_files().iter().map(|file| file.name().to_owned()).collect();
        let applied = Migrator::get_migration_models(&self.connection).await?;
        let unknown: Vec<String> =
            applied.into_iter().map(|model| model.version).filter(|version| !known.contains(version)).collect();
        if unknown.is_empty() { Ok(()) } else { Err(SchemaError::Newer(unknown)) }
    }

    /// Closing the session releases PostgreSQL's lock; dropping the file, SQLite's.
    async fn release(self) -> Result<(), DbErr> {
        self.connection.close().await
    }
}

/// Locks a file beside the database: a lock inside it would be in the way of the migrations themselves.
async fn lock_file(database: &Path) -> Result<File, SchemaError> {
    let path = beside(database, ".lock");
    let locked = {
        let path = path.clone();
        tokio::task::spawn_blocking(move || {
            if let Some(directory) = path.parent() {
                std::fs::create_dir_all(directory)?;
            }
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
            file.lock().map(|()| file)
        })
        .await
    };
    locked.map_err(io::Error::other).and_then(|locked| locked).map_err(|error| SchemaError::Lock(path, error))
}
