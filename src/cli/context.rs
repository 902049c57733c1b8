//! What commands have in common.

use std::{
    error::Error as StdError,
    io::{self, Write as _},
    time::Duration,
};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    app::App,
    audit::AuditQueue,
    config::Config,
    database::{
        self, Database, migrate as schema,
        reach::{reach, reach_durable},
    },
    error::Error,
    service::resources::cascades,
    values::{Clock, IdSource},
};

/// What a command ends with: an error is printed for the operator.
pub(super) type ExitOutcome = Result<(), Box<dyn StdError + Send + Sync>>;

/// Looks whether the schema is up to date, once the database can be reached.
pub(super) async fn check_schema(config: &Config) -> ExitOutcome {
    reach(config.schema_url(), config.database_wait).await?;
    Ok(schema::check(config.schema_url()).await?)
}

/// The service's parts on a database that is up to date. Each read and each change of the database has `time_limit`.
pub(super) async fn open(config: Config, time_limit: Duration) -> Result<App, Box<dyn StdError + Send + Sync>> {
    reach_durable(&config.database_url, config.database_wait).await?;
    let clock = Clock::System;
    App::open(config, (clock.clone(), IdSource::random(clock)), AuditQueue::default(), cascades(), time_limit).await
}

/// The database alone, if it is up to date.
pub(super) async fn open_database(config: &Config) -> Result<Database, Box<dyn StdError + Send + Sync>> {
    check_schema(config).await?;
    reach(&config.database_url, config.database_wait).await?;
    Ok(Database::open(config, database::COMMAND).await?)
}

/// What an operator reads of a failure.
pub(super) fn fault(error: Error) -> String {
    error.cause().unwrap_or("the database failed").to_owned()
}

/// Ctrl-C and SIGTERM.
pub(super) struct StopSignal {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignal {
    /// Listens from now on.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one.
    pub(super) async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Prints a line for programs to read.
pub(super) fn print(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
