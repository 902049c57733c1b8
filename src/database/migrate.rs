//! The schema: checked, migrated up and down. It is changed under a lock, so that several processes may start together; a
//! check takes no lock and writes nothing, so that it works where nothing can be written.

use std::{
    fmt,
    fs::{File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use migration::Migrator;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbErr, RuntimeErr, Statement, TransactionTrait as _,
    sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};
use sea_orm_migration::{MigratorTrait, SchemaManager};

use super::{connect, new_file::NewFile, retry::Retry, statistics::OPTIMIZE};
use crate::config::{DatabaseUrl, beside};

/// The key of PostgreSQL's advisory lock: "crm" and a number in ASCII.
const LOCK: i64 = 0x63_72_6d_01;
/// How often a lock that another process holds is tried again.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);
/// How long a check waits for another process's lock on the SQLite file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Stands among the migrations of a database while a copy into it is incomplete. By its name no program works on it, whatever its
/// release (see [`migration::is_contraction`]).
pub(super) const INCOMPLETE: &str = "copy_000000_contract_incomplete";

/// Why the schema could not be brought into the state asked for.
#[derive(Debug)]
pub enum SchemaError {
    /// The database has migrations that this program does not know, and one of them takes away what it needs; or it is to
    /// change the schema.
    Newer(Vec<String>),
    /// The database lacks migrations, and `CRM_MIGRATE=check` forbids applying them.
    Behind(Vec<String>),
    /// A copy into this database was begun and not completed.
    Incomplete,
    /// Another process was changing the schema all the time.
    Busy(Duration),
    /// The lock file cannot be used.
    Lock(PathBuf, io::Error),
    /// The database's file cannot be made.
    NewFile(PathBuf, io::Error),
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
            Self::Incomplete => {
                write!(
                    f,
                    "a copy into this database was interrupted: run the same `crm copy` again, it goes on where it was"
                )
            }
            Self::Busy(waited) => write!(
                f,
                "another process has been changing the schema for {}; nothing was changed here",
                humantime::format_duration(*waited)
            ),
            Self::Lock(file, error) => write!(f, "cannot lock {}: {error}", file.display()),
            Self::NewFile(file, error) => write!(f, "cannot make {}: {error}", file.display()),
            Self::Database(error) => write!(f, "the database's schema cannot be read or changed: {error}"),
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
pub struct MigrationStatus {
    /// Its name.
    pub name: String,
    /// Whether it is applied.
    pub applied: bool,
    /// Whether this program knows it; if not, it is one of a newer program.
    pub known: bool,
}

/// Applies what is missing. Only if anything is, it waits for the lock, for `wait` at most.
///
/// # Errors
/// A newer database, another process that is changing the schema, or a fault.
pub async fn up_to_date(url: &DatabaseUrl, wait: Duration) -> Result<(), SchemaError> {
    match check(url).await {
        Err(SchemaError::Behind(_)) => up(url, None, wait).await,
        checked => checked,
    }
}

/// Applies what is missing: everything, or `steps` migrations. Waits for the lock, for `wait` at most.
///
/// # Errors
/// A newer database, another process that is changing the schema, or a fault.
pub async fn up(url: &DatabaseUrl, steps: Option<u32>, wait: Duration) -> Result<(), SchemaError> {
    let lock = SchemaLock::acquire(url, wait).await?;
    let mut done = lock.apply(steps).await;
    if done.is_ok()
        && let DatabaseUrl::Sqlite(_) = url
    {
        // Nothing is known of new indexes yet.
        done = lock.connection.execute_unprepared(OPTIMIZE).await.map(drop);
    }
    lock.release(done).await
}

/// Takes back the last `steps` migrations, and the data in what they made. Waits for the lock, for `wait` at most.
///
/// # Errors
/// A newer database, another process that is changing the schema, or a fault.
pub async fn down(url: &DatabaseUrl, steps: u32, wait: Duration) -> Result<(), SchemaError> {
    let lock = SchemaLock::acquire(url, wait).await?;
    let done = Migrator::down(&lock.connection, Some(steps)).await;
    lock.release(done).await
}

/// What is applied and what is not, oldest first; last, what only a newer program knows.
///
/// # Errors
/// A fault.
pub async fn status(url: &DatabaseUrl) -> Result<Vec<MigrationStatus>, SchemaError> {
    let applied = match url {
        DatabaseUrl::Sqlite(file) => applied_to_file(file).await?,
        DatabaseUrl::Postgres(url) => applied_and_close(connect::postgres_session(url).await?).await?,
    };
    let known = known();
    let newer = unknown(&applied, &known).into_iter().map(|name| MigrationStatus { name, applied: true, known: false });
    let status = |name: &String| MigrationStatus { name: name.clone(), applied: applied.contains(name), known: true };
    Ok(known.iter().map(status).chain(newer).collect())
}

/// Refuses a database that lacks a migration, and one that this program cannot work on any more. A newer one that only has
/// more than it knows is accepted, so that an upgrade can be taken back: see [`migration::is_contraction`].
///
/// # Errors
/// A newer or older database, or a fault.
pub async fn check(url: &DatabaseUrl) -> Result<(), SchemaError> {
    let status = status(url).await?;
    let names = |belongs: &dyn Fn(&&MigrationStatus) -> bool| -> Vec<String> {
        status.iter().filter(belongs).map(|migration| migration.name.clone()).collect()
    };
    let (missing, newer) = (names(&|migration| !migration.applied), names(&|migration| !migration.known));
    if newer.iter().any(|name| name == INCOMPLETE) {
        return Err(SchemaError::Incomplete);
    }
    if !newer.is_empty() && (!missing.is_empty() || newer.iter().any(|name| migration::is_contraction(name))) {
        return Err(SchemaError::Newer(newer));
    }
    if !missing.is_empty() {
        return Err(SchemaError::Behind(missing));
    }
    if !newer.is_empty() {
        let migrations = newer.join(", ");
        tracing::warn!(migrations, "the database is newer than this program, which can work on it");
    }
    Ok(())
}

/// The migrations that this program knows, oldest first.
fn known() -> Vec<String> {
    Migrator::get_migration_files().iter().map(|file| file.name().to_owned()).collect()
}

/// Those that are applied but not known, oldest first.
fn unknown(applied: &[String], known: &[String]) -> Vec<String> {
    let mut unknown: Vec<String> = applied.iter().filter(|name| !known.contains(name)).cloned().collect();
    unknown.sort();
    unknown
}

/// The schema is changed by a program that knows all of it.
fn refuse_newer(applied: &[String]) -> Result<(), SchemaError> {
    let unknown = unknown(applied, &known());
    match unknown.is_empty() {
        true => Ok(()),
        false if unknown.iter().any(|name| name == INCOMPLETE) => Err(SchemaError::Incomplete),
        false => Err(SchemaError::Newer(unknown)),
    }
}

/// The migrations that a database has.
async fn applied(connection: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    if !SchemaManager::new(connection).has_table("seaql_migrations").await? {
        return Ok(Vec::new());
    }
    let names = Statement::from_string(connection.get_database_backend(), "SELECT version FROM seaql_migrations");
    connection.query_all_raw(names).await?.iter().map(|row| row.try_get_by_index(0)).collect()
}

async fn applied_and_close(connection: DatabaseConnection) -> Result<Vec<String>, DbErr> {
    let applied = applied(&connection).await;
    connection.close().await?;
    applied
}

/// Reads a file without writing beside it, as far as SQLite can. A file that does not exist has nothing yet.
async fn applied_to_file(file: &Path) -> Result<Vec<String>, DbErr> {
    if !file.exists() {
        return Ok(Vec::new());
    }
    let options = SqliteConnectOptions::new().filename(file).read_only(true).busy_timeout(BUSY_TIMEOUT);
    // Without a write-ahead log nobody has the file open, and everything is in it: it can be read as immutable, for which
    // SQLite needs no files beside it. Whoever opens it meanwhile makes a log.
    let log = beside(file, "-wal");
    let at_rest = || !log.exists() && !beside(file, "-journal").exists();
    if at_rest()
        && let Ok(applied) = applied_by(options.clone().immutable(true)).await
        && at_rest()
    {
        return Ok(applied);
    }
    applied_by(options).await
}

async fn applied_by(options: SqliteConnectOptions) -> Result<Vec<String>, DbErr> {
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await;
    applied_and_close(pool.map_err(|error| DbErr::Conn(RuntimeErr::SqlxError(error.into())))?.into()).await
}

/// The lock on the schema, and a connection to change it by.
struct SchemaLock {
    connection: DatabaseConnection,
    /// SQLite's file, where the connection makes it.
    new_file: Option<NewFile>,
    /// SQLite's lock; PostgreSQL's belongs to the session.
    _file: Option<File>,
}

impl SchemaLock {
    /// Takes the lock, and refuses a database that is newer than this program.
    async fn acquire(url: &DatabaseUrl, wait: Duration) -> Result<Self, SchemaError> {
        let locked = match url {
            DatabaseUrl::Sqlite(path) => {
                let file = lock_file(path, wait).await?;
                let new_file = NewFile::at(path).map_err(|error| SchemaError::NewFile(path.clone(), error))?;
                let connection = match &new_file {
                    Some(new_file) => new_file.session().await?,
                    None => connect::sqlite_session(path).await?,
                };
                Self { connection, new_file, _file: Some(file) }
            }
            DatabaseUrl::Postgres(url) => {
                let connection = connect::postgres_session(url).await?;
                lock_session(&connection, wait).await?;
                Self { connection, new_file: None, _file: None }
            }
        };
        refuse_newer(&applied(&locked.connection).await?)?;
        Ok(locked)
    }

    /// Applies so many migrations, or all: to a new file in one transaction, because nobody works beside it and no part of it is kept.
    async fn apply(&self, steps: Option<u32>) -> Result<(), DbErr> {
        if self.new_file.is_none() {
            return Migrator::up(&self.connection, steps).await;
        }
        let whole = self.connection.begin().await?;
        Migrator::up(&whole, steps).await?;
        whole.commit().await
    }

    /// Closes the session, which releases PostgreSQL's lock. A new file gets its name where all is done, and then SQLite's lock is
    /// released.
    async fn release(self, mut done: Result<(), DbErr>) -> Result<(), SchemaError> {
        if done.is_ok() && self.new_file.is_some() {
            done = NewFile::settle(&self.connection).await;
        }
        self.connection.close().await?;
        done?;
        let Some(new_file) = self.new_file else { return Ok(()) };
        let place = new_file.place().to_owned();
        new_file.keep().map_err(|error| SchemaError::NewFile(place, error))
    }
}

/// Pauses before a lock that another process holds is tried again.
async fn pause(retry: &mut Retry, wait: Duration) -> Result<(), SchemaError> {
    let log = |seconds| tracing::warn!(seconds, "another process is changing the schema");
    if retry.pause(RETRY_INTERVAL, log).await { Ok(()) } else { Err(SchemaError::Busy(wait)) }
}

/// Takes PostgreSQL's lock. Polls for it, because a session that waits in the server cannot log that it does.
async fn lock_session(connection: &DatabaseConnection, wait: Duration) -> Result<(), SchemaError> {
    let sql = format!("SELECT pg_try_advisory_lock({LOCK})");
    let mut retry = Retry::for_at_most(wait);
    loop {
        let lock = Statement::from_string(connection.get_database_backend(), &sql);
        let row = connection.query_one_raw(lock).await?;
        let taken = row.map_or(Ok(false), |row| row.try_get_by_index::<bool>(0))?;
        if taken {
            return Ok(());
        }
        pause(&mut retry, wait).await?;
    }
}

/// Locks a file beside the database: a lock inside it would be in the way of the migrations themselves.
async fn lock_file(database: &Path, wait: Duration) -> Result<File, SchemaError> {
    let path = beside(database, ".lock");
    let unusable = |error| SchemaError::Lock(path.clone(), error);
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(unusable)?;
    }
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(unusable)?;
    let mut retry = Retry::for_at_most(wait);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => pause(&mut retry, wait).await?,
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
    }
}
