//! The commands of the binary: one file each.

mod audit;
mod healthcheck;
mod keygen;
mod keys;
mod migrate;
mod openapi;
mod outbox;
mod relay;
mod serve;
mod token;

use std::{
    error::Error,
    fmt::Write as _,
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    app::{App, Clock, Ids, Parts},
    audit::Notes,
    auth::Keys,
    config::Config,
    database::{
        self, Database, migrate as schema,
        reach::{reach, reach_durable},
    },
    error::ApiError,
    events::Outbox,
    pii::registry,
    telemetry::{self, StandardError, metrics::Metrics},
};

/// What a command ends with: an error is printed for the operator.
type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// The CRM cell: customers, contacts, opportunities and follow-ups for many tenants.
#[derive(Debug, Parser)]
#[command(name = "crm", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API (the default)
    Serve,
    /// Change or show the database's schema
    #[command(subcommand)]
    Migrate(migrate::Direction),
    /// Print the OpenAPI contract as YAML
    Openapi,
    /// Print the AsyncAPI document of the events as YAML
    Asyncapi,
    /// Print a development token, signed with the configured secret
    Token(token::Wishes),
    /// Ask the running service for its health: exit code 0 or 1
    Healthcheck,
    /// Make a key
    #[command(subcommand)]
    Keygen(keygen::Purpose),
    /// Look after the keys
    #[command(subcommand)]
    Keys(keys::Task),
    /// Publish events to the broker and take the platform's, apart from `crm serve`
    Relay,
    /// Look after the events that are to be published
    #[command(subcommand)]
    Outbox(outbox::Task),
    /// Verify or export the audit trail
    #[command(subcommand)]
    Audit(audit::Task),
}

/// Runs the command that the command line names.
#[must_use]
pub fn main() -> ExitCode {
    let parser = Cli::command().mut_subcommand("serve", |serve| serve.after_help(variables()));
    let cli = match parser.try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(usage) => usage.exit(),
    };
    // Dropped last, also by a panic: then what was logged is written.
    let stderr = StandardError::start();
    match run(cli.command.unwrap_or(Command::Serve), &stderr) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            stderr.say(&format!("crm: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, stderr: &StandardError) -> Outcome {
    let log = |only: Option<&str>| -> Result<Config, Box<dyn Error + Send + Sync>> {
        let config = Config::from_env()?;
        telemetry::start(only.unwrap_or(&config.log), config.log_format, stderr);
        Ok(config)
    };
    let log_all = || log(None);
    // Of a command whose result is what it prints.
    let log_wrong = || log(Some("warn"));
    match command {
        Command::Serve => wait(serve::run(log_all()?)),
        Command::Migrate(direction) => wait(migrate::run(&log_wrong()?, direction)),
        Command::Openapi => openapi::openapi(),
        Command::Asyncapi => openapi::asyncapi(),
        Command::Token(wishes) => token::run(&Config::from_env()?, &wishes),
        Command::Healthcheck => wait(healthcheck::run(&Config::from_env()?)),
        Command::Keygen(purpose) => keygen::run(purpose),
        Command::Keys(task) => wait(keys::run(log_wrong()?, task)),
        Command::Relay => wait(relay::run(log_all()?)),
        Command::Outbox(task) => wait(outbox::run(log_wrong()?, task)),
        Command::Audit(task) => wait(audit::run(log_wrong()?, task)),
    }
}

/// Looks whether the schema is up to date, once the database can be reached.
async fn check_schema(config: &Config) -> Outcome {
    reach(config.schema_url(), config.database_wait).await?;
    Ok(schema::check(config.schema_url()).await?)
}

/// The service's parts on a database that is up to date, with every key that its data needs. Each read and each change of
/// the database has `patience`.
async fn open(config: Config, patience: Duration) -> Result<App, Box<dyn Error + Send + Sync>> {
    let clock = Clock::System;
    let keys = Keys::from_config(&config)?;
    reach_durable(&config.database_url, config.database_wait).await?;
    let database = Database::open(&config, patience).await?;
    let vault = registry::open(&config, &database, clock.now()).await?;
    Ok(App::new(Parts {
        keys,
        database,
        vault,
        notes: Notes::default(),
        outbox: Outbox::default(),
        metrics: Metrics::default(),
        clock,
        ids: Ids::random(),
        config,
    }))
}

/// The database alone, if it is up to date.
async fn open_database(config: &Config) -> Result<Database, Box<dyn Error + Send + Sync>> {
    check_schema(config).await?;
    reach(&config.database_url, config.database_wait).await?;
    Ok(Database::open(config, database::COMMAND).await?)
}

/// What an operator is told of a failure.
fn fault(error: ApiError) -> String {
    error.cause().unwrap_or("the database failed").to_owned()
}

/// Hears that the process is told to stop: by Ctrl-C or SIGTERM.
struct Told {
    interrupt: Signal,
    terminate: Signal,
}

impl Told {
    fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Ready once it is told, and then once it is told again.
    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

fn wait(command: impl Future<Output = Outcome>) -> Outcome {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(command)
}

/// The list of environment variables for `crm serve --help`.
fn variables() -> String {
    let mut list = "Environment:".to_owned();
    for variable in Config::variables() {
        let _infallible = write!(list, "\n  {:<24} {}", variable.name, variable.meaning);
        if !variable.default.is_empty() {
            let _infallible = write!(list, " [{}]", variable.default);
        }
    }
    list
}

/// Prints a line for programs to read.
fn print(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
