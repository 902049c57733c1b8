//! `crm contract check|freeze`: whether clients of the contracts that were frozen and released can live with those that this
//! program emits.

use std::{
    error::Error,
    fs::Permissions,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Subcommand};
use reqwest::Url;
use serde::Serialize;

use super::context::print;
use crate::service::compatibility::{
    Verdict,
    baseline::{Baseline, RELEASED, Report, emitted},
};

/// Where the contracts are, in the project's directory.
const FOLDER: &str = "openapi";

/// Where a running service has its contracts, of the API and of the events.
const SERVED: [&str; 2] = ["openapi.yaml", "asyncapi.yaml"];

/// How long a running service may take to answer with its contract.
const PATIENCE: Duration = Duration::from_secs(10);

const MAJOR_VERSION: &str = "a breaking change takes a new major version, which is a contract of its own: with a base path \
     of its own, served beside this one for the support time; openapi/README.md says how";

type Outcome = Result<ExitCode, Box<dyn Error + Send + Sync>>;

#[derive(Debug, Subcommand)]
pub(super) enum Task {
    /// Compare the contracts that this program emits with frozen, released and served ones
    ///
    /// Prints one word and then what differs. The word, and the exit code: `identical` (0), `compatible` (3): clients of the
    /// other contract can live with the emitted one; `breaking` (4): they cannot; `untruthful` (5): the service at --url
    /// serves another contract than this program emits. 1 and 2 are errors.
    #[command(verbatim_doc_comment)]
    Check(CheckArgs),
    /// Write the contracts that this program emits, unless they break a released one
    ///
    /// Exit code 4 if they do, and 1 if the version has to be raised first. Then nothing is written.
    #[command(verbatim_doc_comment)]
    Freeze(FreezeArgs),
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// A contract, or a folder with contracts, in YAML or JSON [default: openapi and openapi/released]
    #[arg(long, value_name = "FILE|DIR")]
    against: Vec<PathBuf>,
    /// A running service, which is asked for both contracts, or the address of one contract
    #[arg(long)]
    url: Option<String>,
    /// Exit with 0 for `compatible` too, if the version is high enough
    #[arg(long)]
    accept_compatible: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct FreezeArgs {
    /// The folder with the frozen contracts
    #[arg(long, value_name = "DIR", default_value = FOLDER)]
    folder: PathBuf,
    /// Also keep them as released ones, which no later contract may break
    #[arg(long)]
    release: bool,
}

/// What `crm contract check --json` prints.
#[derive(Serialize)]
struct Summary {
    verdict: Verdict,
    reports: Vec<Report>,
}

pub(super) async fn run(task: Task) -> Outcome {
    match task {
        Task::Check(args) => check(args).await,
        Task::Freeze(args) => freeze(&args),
    }
}

async fn check(args: CheckArgs) -> Outcome {
    let mut reports: Vec<Report> = baselines(&args)?.into_iter().map(Baseline::compared).collect();
    if let Some(url) = &args.url {
        for baseline in served(url).await? {
            let mut report = baseline.compared();
            if report.outcome.verdict != Verdict::Identical {
                report.outcome.verdict = Verdict::Untruthful;
            }
            reports.push(report);
        }
    }
    let verdict = worst(&reports);
    let is_due = reports.iter().any(|report| report.outcome.version_is_due);
    let summary = Summary { verdict, reports };
    if args.json {
        print(&serde_json::to_string_pretty(&summary)?)?;
    } else {
        print(&verdict.to_string())?;
        list(&summary.reports)?;
    }
    let is_accepted = args.accept_compatible && verdict == Verdict::Compatible && !is_due;
    Ok(if is_accepted { ExitCode::SUCCESS } else { code(verdict) })
}

/// What is named on the command line; else what there is in the project's directory.
fn baselines(args: &CheckArgs) -> Result<Vec<Baseline>, String> {
    let mut found = Vec::new();
    for path in &args.against {
        let contracts = Baseline::read_all(path)?;
        if contracts.is_empty() {
            return Err(format!("{}: there is no contract in it", path.display()));
        }
        found.extend(contracts);
    }
    if args.against.is_empty() {
        let folder = Path::new(FOLDER);
        if folder.is_dir() {
            found.extend(Baseline::read_all(folder)?);
        }
        found.extend(released(folder)?);
        if found.is_empty() && args.url.is_none() {
            return Err(format!("there is no contract in {FOLDER}: name one with --against"));
        }
    }
    Ok(found)
}

/// The released contracts beside the frozen ones.
fn released(folder: &Path) -> Result<Vec<Baseline>, String> {
    let folder = folder.join(RELEASED);
    if folder.is_dir() { Baseline::read_all(&folder) } else { Ok(Vec::new()) }
}

/// The contracts that a running service serves, or the one at an address.
async fn served(url: &str) -> Result<Vec<Baseline>, Box<dyn Error + Send + Sync>> {
    let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
    let mut found = Vec::new();
    for address in addresses(url)? {
        let response = client.get(address.clone()).send().await.and_then(reqwest::Response::error_for_status);
        let text = response?.text().await?;
        found.push(Baseline::parse(address, &text)?);
    }
    Ok(found)
}

/// Where the contracts are: at the address itself, if its path names a document, else below it. A query stays.
fn addresses(text: &str) -> Result<Vec<Url>, String> {
    let wanted = || format!("{text}: an address begins with http:// or https:// and the name of a host");
    // What stands before the port of `host:8080` looks like a scheme.
    let url = Url::parse(text).ok().filter(|url| ["http", "https"].contains(&url.scheme())).ok_or_else(wanted)?;
    if [".yaml", ".yml", ".json"].iter().any(|extension| url.path().ends_with(extension)) {
        return Ok(vec![url]);
    }
    let below = |document: &str| {
        let mut address = url.clone();
        address.path_segments_mut().map_err(|()| wanted())?.pop_if_empty().push(document);
        Ok(address)
    };
    SERVED.into_iter().map(below).collect()
}

fn freeze(args: &FreezeArgs) -> Outcome {
    let reports: Vec<Report> = released(&args.folder)?.into_iter().map(Baseline::compared).collect();
    if worst(&reports) == Verdict::Breaking {
        list(&reports)?;
        print(&format!("Nothing was written: {MAJOR_VERSION}."))?;
        return Ok(code(Verdict::Breaking));
    }
    if reports.iter().any(|report| report.outcome.version_is_due) {
        list(&reports)?;
        return Err("nothing was written: the version must be raised first".into());
    }
    for (frozen, release, text) in emitted() {
        write(&args.folder, frozen, &text)?;
        if args.release {
            write(&args.folder.join(RELEASED), &release, &text)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a contract in one step, for everybody to read.
fn write(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    let path = folder.join(name);
    if std::fs::read_to_string(&path).is_ok_and(|known| known == text) {
        return print(&format!("{}: unchanged", path.display()));
    }
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    // The umask of this program is for databases and keys.
    file.as_file().set_permissions(Permissions::from_mode(0o644))?;
    file.write_all(text.as_bytes())?;
    file.persist(&path)?;
    print(&format!("{}: written", path.display()))
}

fn list(reports: &[Report]) -> io::Result<()> {
    for report in reports {
        print(&format!("{}: {}", report.against, report.outcome.verdict))?;
        for difference in &report.outcome.differences {
            print(&format!("  {difference}"))?;
        }
    }
    Ok(())
}

fn worst(reports: &[Report]) -> Verdict {
    reports.iter().map(|report| report.outcome.verdict).max().unwrap_or(Verdict::Identical)
}

fn code(verdict: Verdict) -> ExitCode {
    ExitCode::from(match verdict {
        Verdict::Identical => 0,
        Verdict::Compatible => 3,
        Verdict::Breaking => 4,
        Verdict::Untruthful => 5,
    })
}
