//! `crm verify`: what the platform asks of a cell, line by line, for whoever accepts one.

mod own;
mod table;

use std::path::PathBuf;

use clap::Args;
use reqwest::Url;
use serde::Serialize;

use super::context::{ExitOutcome, interruptible, print};
use crate::{
    telemetry::StandardError,
    values::build::VERSION,
    verify::{Caller, Documents, Line, Target, Verdict, walk},
};

/// Where the documents of the delivery are, in the project's directory.
const FOLDER: &str = "delivery";

#[derive(Debug, Args)]
#[command(
    after_help = "Without --url, an instance is started for this alone: on a temporary SQLite file, or on a temporary database \
                        that is made beside the one of --database; nothing of the environment is used but TMPDIR, and nothing is \
                        left. At --url nothing is changed, unless --write is given: then a customer is made, changed and \
                        deleted again. The exit code is 1 where a line is broken."
)]
pub(super) struct VerifyArgs {
    /// A running service, with the gateway's prefix if there is one: `https://gateway.example.com/api/v1/crm`
    #[arg(long, requires = "token_file")]
    url: Option<String>,
    /// A file with a token for it; `-` is standard input
    #[arg(long, value_name = "FILE", requires = "url")]
    token_file: Option<PathBuf>,
    /// The tenant to name there, where the token does not
    #[arg(long, requires = "url")]
    tenant: Option<String>,
    /// A customer may be made there, changed and deleted again
    #[arg(long, requires = "url")]
    write: bool,
    /// A PostgreSQL database beside which a temporary one is made, by a role that may: postgres://USER@HOST/NAME. A password
    /// belongs in ~/.pgpass: others can see the command line
    #[arg(long, value_name = "URL", conflicts_with = "url")]
    database: Option<String>,
    /// The folder with delivery.package in a project [default: delivery, if there is one, else what was built in]
    #[arg(long, value_name = "DIR")]
    delivery: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `crm verify --json` prints.
#[derive(Serialize)]
struct Summary<'l> {
    version: &'static str,
    target: &'l str,
    result: Verdict,
    lines: &'l [Line],
}

pub(super) async fn run(args: VerifyArgs, stderr: &StandardError) -> ExitOutcome {
    let documents = match &args.delivery {
        Some(folder) => Documents::Folder(folder.clone()),
        None if PathBuf::from(FOLDER).is_dir() => Documents::Folder(FOLDER.into()),
        None => Documents::BuiltIn,
    };
    let (target, lines) = match &args.url {
        Some(url) => (url.clone(), there(&args, url, documents).await?),
        None => {
            let on = if args.database.is_some() { "PostgreSQL" } else { "SQLite" };
            (format!("an instance of its own on {on}"), own::walked(args.database.as_deref(), documents, stderr).await?)
        }
    };
    let count = |verdict: Verdict| lines.iter().filter(|line| line.result == verdict).count();
    let (broken, left) = (count(Verdict::Broken), count(Verdict::NotChecked));
    let result = if broken == 0 { Verdict::Holds } else { Verdict::Broken };
    if args.json {
        let summary = Summary { version: VERSION, target: &target, result, lines: &lines };
        print(&serde_json::to_string_pretty(&summary)?)?;
    } else {
        print(&table::table(&lines))?;
        let all = lines.len();
        print(&format!("{target}: {} of {all} lines hold, {left} not checked", all - broken - left))?;
    }
    if broken == 0 { Ok(()) } else { Err(format!("{broken} of {} lines are broken", lines.len()).into()) }
}

/// The lines at a running service.
async fn there(
    args: &VerifyArgs,
    url: &str,
    documents: Documents,
) -> Result<Vec<Line>, Box<dyn std::error::Error + Send + Sync>> {
    let is_address = Url::parse(url).is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
    if !is_address {
        return Err("--url must begin with http:// or https:// and the name of a host".into());
    }
    let file = args.token_file.as_ref().ok_or("--token-file names the file with a token")?;
    let token = match file.to_str() {
        Some("-") => std::io::read_to_string(std::io::stdin())?,
        _ => std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?,
    };
    let caller = Caller { token: token.trim().to_owned(), tenant: args.tenant.clone() };
    let target = Target { base: url.to_owned(), caller, may_write: args.write, own: None, documents };
    interruptible(async { Ok(walk(&target).await?) }, "run it again").await
}
