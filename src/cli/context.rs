//! Shared code of the commands.

use std::{
    error::Error as StdError,
    io::{self, Write as _},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    audit::AuditQueue,
    config::Config,
    database::{
        self, Database, migrate as schema,
        reach::{reach, reach_durable},
    },
    error::Error,
    service::resources::removals,
    telemetry::database_metrics::DatabaseMetrics,
    values::{Clock, IdSource},
};

/// The outcome of a command; an error is printed for the operator.
pub(super) type ExitOutcome = Result<(), Box<dyn StdError + Send + Sync>>;

/// Waits for the database, and checks that its schema is up to date.
pub(super) async fn check_schema(config: &Config) -> ExitOutcome {
    reach(config.schema_url(), config.database_wait).await?;
    Ok(schema::check(config.schema_url()).await?)
}

/// Opens the application on an up-to-date database. `time_limit` applies to each read and each write.
pub(super) async fn open(config: Config, time_limit: Duration) -> Result<App, Box<dyn StdError + Send + Sync>> {
    reach_durable(&config.database_url, config.database_wait).await?;
    let clock = Clock::System;
    App::open(config, (clock.clone(), IdSource::random(clock)), AuditQueue::default(), removals(), time_limit).await
}

/// Opens only the database, if its schema is up to date.
pub(super) async fn open_database(config: &Config) -> Result<Database, Box<dyn StdError + Send + Sync>> {
    check_schema(config).await?;
    reach(&config.database_url, config.database_wait).await?;
    Ok(Database::open(config, database::COMMAND, &DatabaseMetrics::default()).await?)
}

/// The cause of a failure, for the operator.
pub(super) fn fault(error: Error) -> String {
    error.cause().unwrap_or("the database failed").to_owned()
}

/// Does a piece of work to its end, or until somebody stops it: what is committed by then stays. `advice` says how to go on.
pub(super) async fn interruptible<T>(
    work: impl Future<Output = Result<T, Box<dyn StdError + Send + Sync>>>,
    advice: &str,
) -> Result<T, Box<dyn StdError + Send + Sync>> {
    let mut stop = StopSignal::listen()?;
    tokio::select! {
        outcome = work => outcome,
        () = stop.received() => Err(format!("interrupted; {advice}").into()),
    }
}

/// Does a piece of work that comes to an end by itself soon after `stop` is cancelled, which a signal does.
pub(super) async fn until_signalled<T>(stop: &CancellationToken, work: impl Future<Output = T>) -> io::Result<T> {
    let mut signal = StopSignal::listen()?;
    tokio::pin!(work);
    tokio::select! {
        outcome = &mut work => Ok(outcome),
        () = signal.received() => {
            stop.cancel();
            Ok(work.await)
        }
    }
}

/// A bar that shows how much of a long piece of work is done, on a terminal alone; `what` is counted.
pub(super) fn progress_bar(total: u64, what: &str) -> Result<ProgressBar, Box<dyn StdError + Send + Sync>> {
    let style = ProgressStyle::with_template(&format!("{{bar:40}} {{pos}} of {{len}} {what}, {{eta}} left"))?;
    Ok(ProgressBar::new(total).with_style(style))
}

/// SIGINT (Ctrl-C) and SIGTERM; for a command that must not go without having tidied up, SIGHUP (its terminal is closed) too.
pub(super) struct StopSignal {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
    /// Whoever in this process ends it, as a signal would.
    asked: CancellationToken,
}

impl StopSignal {
    /// Starts listening.
    pub(super) fn listen() -> io::Result<Self> {
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate, hangup: None, asked: CancellationToken::new() })
    }

    /// Starts listening, also for the end of the terminal.
    pub(super) fn listen_with_hangup() -> io::Result<Self> {
        Ok(Self { hangup: Some(signal(SignalKind::hangup())?), ..Self::listen()? })
    }

    /// Listens to somebody in this process too.
    pub(super) fn or_asked(self, asked: CancellationToken) -> Self {
        Self { asked, ..self }
    }

    /// Waits for the next signal.
    pub(super) async fn received(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hangup => {}
            () = self.asked.cancelled() => {}
        }
    }
}

/// Prints a line to standard output.
pub(super) fn print(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
