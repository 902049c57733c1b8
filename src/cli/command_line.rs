//! Parses the command line and dispatches to the command.

use std::{error::Error, fmt::Write as _, process::ExitCode};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use listenfd::ListenFd;
use rustix::{fs::Mode, process::umask};

use super::{
    audit, contract, copy, demo, doctor, healthcheck, inbound, keygen, keys, migrate, openapi, outbox, privacy, relay,
    report, retention, search, serve, token,
};
use crate::{
    config::Config,
    telemetry::{self, StandardError},
};

/// Multi-tenant customer relationship management
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
    /// Serve a temporary database of invented customers, and print tokens to try it with: all is forgotten at the end
    Demo(demo::DemoArgs),
    /// Migrate the database schema, or show its status
    #[command(subcommand)]
    Migrate(migrate::Direction),
    /// Print the OpenAPI contract as YAML
    Openapi,
    /// Print the AsyncAPI document of the events as YAML
    Asyncapi,
    /// Check that clients of the frozen and released contracts can live with this program's, or freeze those
    #[command(subcommand)]
    Contract(contract::Task),
    /// Print a development token, signed with the configured secret
    Token(token::TokenArgs),
    /// Check the health of the running service: exit code 0 or 1
    Healthcheck,
    /// Generate a key
    #[command(subcommand)]
    Keygen(keygen::Purpose),
    /// Manage the encryption keys
    #[command(subcommand)]
    Keys(keys::Task),
    /// Publish events to the broker and consume the platform's, separately from `crm serve`
    Relay,
    /// Manage the events that are to be published
    #[command(subcommand)]
    Outbox(outbox::Task),
    /// Manage the platform's events that are consumed
    #[command(subcommand)]
    Inbound(inbound::Task),
    /// Verify or export the audit trail
    #[command(subcommand)]
    Audit(audit::Task),
    /// Erase personal data
    #[command(subcommand)]
    Privacy(privacy::Task),
    /// Check that what the service keeps of its data is right, while it runs
    #[command(subcommand)]
    Doctor(doctor::Task),
    /// Copy all data from SQLite to PostgreSQL or back, and compare it row by row; writes to the source are refused meanwhile
    Copy(copy::CopyArgs),
    /// Manage what text is found by
    #[command(subcommand)]
    Search(search::Task),
    /// Print the pipeline: as a table, as comma-separated values or as a picture
    #[command(subcommand)]
    Report(report::Task),
    /// Manage what the retention takes for the time
    #[command(subcommand)]
    Retention(retention::Task),
}

/// Runs the command given on the command line.
#[must_use]
pub fn main() -> ExitCode {
    let parser = Cli::command().mut_subcommand("serve", |serve| serve.after_help(variables()));
    let cli = match parser.try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(usage) => usage.exit(),
    };
    // What this process makes is for its owner alone: databases, keys, secrets, directories.
    umask(Mode::RWXG | Mode::RWXO);
    // Dropped last, even on panic: dropping it flushes the log.
    let stderr = StandardError::start();
    match run(cli.command.unwrap_or(Command::Serve), &stderr) {
        Ok(code) => code,
        Err(error) => {
            stderr.say(&format!("crm: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, stderr: &StandardError) -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    let log = |only: Option<&str>| -> Result<Config, Box<dyn Error + Send + Sync>> {
        let config = Config::from_env()?;
        telemetry::start(only.unwrap_or(&config.log), config.log_format, stderr);
        config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        Ok(config)
    };
    let log_all = || log(None);
    // For commands whose result is their output.
    let log_warnings = || log(Some("warn"));
    let outcome = match command {
        Command::Contract(task) => return wait(contract::run(task)),
        // Taken while no other thread can read the environment: what was handed over is removed from it.
        Command::Serve => wait(serve::run(log_all()?, ListenFd::from_env())),
        Command::Demo(args) => wait(demo::run(&args, stderr)),
        Command::Migrate(direction) => wait(migrate::run(&log_warnings()?, direction)),
        Command::Openapi => openapi::openapi(),
        Command::Asyncapi => openapi::asyncapi(),
        Command::Token(args) => token::run(&Config::from_env()?, &args),
        Command::Healthcheck => wait(healthcheck::run(&Config::from_env()?)),
        Command::Keygen(purpose) => keygen::run(purpose),
        Command::Keys(task) => wait(keys::run(log_warnings()?, task)),
        Command::Relay => wait(relay::run(log_all()?)),
        Command::Outbox(task) => wait(outbox::run(log_warnings()?, task)),
        Command::Inbound(task) => wait(inbound::run(log_warnings()?, task)),
        Command::Audit(task) => wait(audit::run(log_warnings()?, task)),
        Command::Privacy(task) => wait(privacy::run(log_warnings()?, task)),
        Command::Doctor(task) => wait(doctor::run(log_warnings()?, task)),
        Command::Copy(args) => wait(copy::run(log_warnings()?, args)),
        Command::Search(task) => wait(search::run(log_warnings()?, task)),
        Command::Report(task) => wait(report::run(log_warnings()?, task)),
        Command::Retention(task) => wait(retention::run(log_warnings()?, task)),
    };
    outcome.map(|()| ExitCode::SUCCESS)
}

fn wait<T>(
    command: impl Future<Output = Result<T, Box<dyn Error + Send + Sync>>>,
) -> Result<T, Box<dyn Error + Send + Sync>> {
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
