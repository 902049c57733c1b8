//! Parses the command line and dispatches to the command.

use std::{error::Error, io, process::ExitCode};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind};
use listenfd::ListenFd;
use rustix::{fs::Mode, process::umask};

use super::{
    audit, backup, config, contract, copy, demo, doctor, healthcheck, inbound, keygen, keys, manual, migrate, openapi,
    outbox, privacy, relay, report, restore, retention, search, seed, serve, token, variables, verify, version,
};
use crate::{
    config::Config,
    telemetry::{self, LogFormat, StandardError},
};

/// The exit code of a program that ends because nobody reads its output any more, as shells report it: 128 and SIGPIPE.
const NOBODY_READS: u8 = 141;

/// Multi-tenant customer relationship management
#[derive(Debug, Parser)]
#[command(
    name = "crm",
    version,
    after_help = "`crm serve --help` lists the environment variables, and `crm config show` what they are set to."
)]
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
    /// Check the configuration, or show what holds
    #[command(subcommand)]
    Config(config::Task),
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
    /// Verify by requests what the platform asks of a cell: on an instance of its own, or on a running service
    Verify(verify::VerifyArgs),
    /// Look over everything that the service depends on, and say what to do about each
    Doctor(doctor::DoctorArgs),
    /// Write invented customers into the configured database, by requests like anybody's
    Seed(seed::SeedArgs),
    /// Copy all data from SQLite to PostgreSQL or back, and compare it row by row; writes to the source are refused meanwhile
    Copy(copy::CopyArgs),
    /// Back up the SQLite database while it is served, verified and without its keys
    Backup(backup::BackupArgs),
    /// Restore a backup of the SQLite database, verified, in one step
    Restore(restore::RestoreArgs),
    /// Manage what text is found by
    #[command(subcommand)]
    Search(search::Task),
    /// Print the pipeline: as a table, as comma-separated values or as a picture
    #[command(subcommand)]
    Report(report::Task),
    /// Manage what the retention takes for the time
    #[command(subcommand)]
    Retention(retention::Task),
    /// Print what a shell needs to complete the arguments of this program
    Completions(manual::CompletionsArgs),
    /// Print the manual page, or write those of all commands
    Man(manual::ManArgs),
}

impl Command {
    /// Whether this is the service itself, whose standard error is read by machines unless the environment says otherwise.
    fn is_service(&self) -> bool {
        matches!(self, Self::Serve | Self::Relay)
    }
}

/// Runs the command given on the command line.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match parser().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => Some(cli),
        Err(asked) if asked.kind() == ErrorKind::DisplayVersion => None,
        Err(usage) => usage.exit(),
    };
    // What this process makes is for its owner alone: databases, keys, secrets, directories.
    umask(Mode::RWXG | Mode::RWXO);
    // Dropped last, even on panic: dropping it flushes the log.
    let stderr = StandardError::start();
    let command = cli.map(|cli| cli.command.unwrap_or(Command::Serve));
    let is_service = command.as_ref().is_some_and(Command::is_service);
    let outcome = match command {
        Some(command) => run(command, &stderr),
        None => wait(version::run()).map(|()| ExitCode::SUCCESS),
    };
    match outcome {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&*error) => ExitCode::from(NOBODY_READS),
        Err(error) => {
            let usual = if is_service { LogFormat::Json } else { LogFormat::Text };
            match Config::log_format_of_env().unwrap_or(usual) {
                LogFormat::Json => telemetry::logs::fatal(&error.to_string(), &stderr),
                LogFormat::Text => stderr.say(&format!("crm: {error}")),
            }
            ExitCode::FAILURE
        }
    }
}

/// The commands, with the variables in the help of the one that they are for.
fn parser() -> clap::Command {
    Cli::command().mut_subcommand("serve", |serve| serve.after_help(variables::help()))
}

/// Whether an error only says that whoever read standard output has closed it, as `head` does.
fn is_closed_pipe(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    let of_json = || error.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind).or_else(of_json);
    kind == Some(io::ErrorKind::BrokenPipe)
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
        Command::Serve => wait(serve::run(log_all()?, ListenFd::from_env(), stderr)),
        Command::Demo(args) => wait(demo::run(&args, stderr)),
        Command::Verify(args) => wait(verify::run(args, stderr)),
        Command::Migrate(direction) => wait(migrate::run(&log_warnings()?, direction)),
        Command::Openapi => openapi::openapi(),
        Command::Asyncapi => openapi::asyncapi(),
        Command::Config(task) => config::run(&task),
        Command::Token(args) => token::run(&args, stderr),
        Command::Healthcheck => wait(healthcheck::run(Config::endpoint()?)),
        Command::Keygen(purpose) => keygen::run(purpose),
        Command::Keys(task) => wait(keys::run(log_warnings()?, task)),
        Command::Relay => wait(relay::run(log_all()?, stderr)),
        Command::Outbox(task) => wait(outbox::run(log_warnings()?, task)),
        Command::Inbound(task) => wait(inbound::run(log_warnings()?, task)),
        Command::Audit(task) => wait(audit::run(log_warnings()?, task)),
        Command::Privacy(task) => wait(privacy::run(log_warnings()?, task)),
        Command::Doctor(args) => wait(doctor::run(log_warnings()?, args)),
        Command::Seed(args) => wait(seed::run(log_warnings()?, args)),
        Command::Copy(args) => wait(copy::run(log_warnings()?, args)),
        Command::Backup(args) => wait(backup::run(log_warnings()?, args)),
        Command::Restore(args) => wait(restore::run(log_warnings()?, args)),
        Command::Search(task) => wait(search::run(log_warnings()?, task)),
        Command::Report(task) => wait(report::run(log_warnings()?, task)),
        Command::Retention(task) => wait(retention::run(log_warnings()?, task)),
        Command::Completions(args) => manual::completions(&args, parser()),
        Command::Man(args) => manual::pages(&args, parser()),
    };
    outcome.map(|()| ExitCode::SUCCESS)
}

fn wait<T>(
    command: impl Future<Output = Result<T, Box<dyn Error + Send + Sync>>>,
) -> Result<T, Box<dyn Error + Send + Sync>> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(command)
}
