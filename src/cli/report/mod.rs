//! `crm report`: the pipeline for people, in the terminal, for a spreadsheet or as a picture. It reads the database, not the
//! service.

mod csv;
mod figures;
mod svg;
mod table;

use clap::{Args, Subcommand, ValueEnum};

use self::figures::{Funnel, Idle};
use super::context::{ExitOutcome, fault, open_database, print};
use crate::{
    config::Config,
    database::Database,
    values::{Clock, Tenant},
};

#[derive(Debug, Subcommand)]
pub(super) enum Task {
    /// How many opportunities are in each stage, with their amounts: a funnel for each currency
    Pipeline(ReportArgs),
    /// The open opportunities to which nothing has happened for 30 days, the longest first: at most 50
    Stalled(ReportArgs),
}

#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// Of this tenant alone; else of all together
    #[arg(long)]
    tenant: Option<String>,
    /// In which form
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Text for a terminal, in colour unless NO_COLOR is set
    Table,
    /// Comma-separated values (RFC 4180)
    Csv,
    /// A picture
    Svg,
}

pub(super) async fn run(config: Config, task: Task) -> ExitOutcome {
    let (Task::Pipeline(args) | Task::Stalled(args)) = &task;
    let only = match &args.tenant {
        Some(tenant) => Some(Tenant::parse(tenant).ok_or_else(|| format!("--tenant {}", Tenant::EXPECTED))?),
        None => None,
    };
    let format = args.format;
    let database = open_database(&config).await?;
    let text = match task {
        Task::Pipeline(_) => pipeline(&database, only.as_ref(), format).await,
        Task::Stalled(_) => stalled(&database, only.as_ref(), format).await,
    };
    database.close().await?;
    Ok(print(text?.trim_end())?)
}

type Text = Result<String, Box<dyn std::error::Error + Send + Sync>>;

async fn pipeline(database: &Database, only: Option<&Tenant>, format: Format) -> Text {
    let funnels: Vec<Funnel> = figures::funnels(database, only).await.map_err(fault)?;
    Ok(match format {
        Format::Table => table::funnels(&funnels, table::Style::of_terminal()),
        Format::Csv => csv::funnels(&funnels),
        Format::Svg => svg::funnels(&funnels),
    })
}

async fn stalled(database: &Database, only: Option<&Tenant>, format: Format) -> Text {
    let rows: Vec<Idle> = figures::idle(database, only, Clock::System.now().0).await.map_err(fault)?;
    Ok(match format {
        Format::Table => table::idle(&rows, table::Style::of_terminal()),
        Format::Csv => csv::idle(&rows),
        Format::Svg => svg::idle(&rows),
    })
}
