//! `crm config check|show`: what the environment says, for operators.

use clap::Subcommand;
use serde::Serialize;

use super::{
    context::{ExitOutcome, print},
    variables,
};
use crate::{
    config::{Config, Variable},
    pii::key_registry,
};

#[derive(Debug, Subcommand)]
pub(super) enum Task {
    /// Check the environment; exit code 1 where the service would not start with it
    Check,
    /// Show each variable's value, and where it comes from; secrets are shown as ***
    Show {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the table of the variables in Markdown
    #[command(hide = true)]
    Table,
}

/// What `crm config show --json` prints of a variable.
#[derive(Serialize)]
struct Shown<'v> {
    name: &'v str,
    value: Option<&'v str>,
    source: String,
    about: &'v str,
}

pub(super) fn run(task: &Task) -> ExitOutcome {
    match task {
        Task::Check => check(),
        Task::Show { json } => show(*json),
        Task::Table => Ok(print(&variables::markdown())?),
    }
}

fn check() -> ExitOutcome {
    let config = Config::from_env()?;
    for warning in &config.warnings {
        print(&format!("warning: {warning}"))?;
    }
    key_registry::check_source(&config)?;
    Ok(print("the configuration is valid")?)
}

/// Also what is not valid is shown, by its name; then the command fails.
fn show(is_json: bool) -> ExitOutcome {
    let (config, variables) = Config::inspect();
    match is_json {
        true => print(&serde_json::to_string_pretty(&variables.iter().map(shown).collect::<Vec<_>>())?)?,
        false => print(&table(&variables))?,
    }
    for warning in &config?.warnings {
        print(&format!("warning: {warning}"))?;
    }
    Ok(())
}

fn shown(variable: &Variable) -> Shown<'_> {
    let Variable { task, name, value, source, .. } = variable;
    Shown { name, value: value.as_deref(), source: source.to_string(), about: task }
}

fn table(variables: &[Variable]) -> String {
    let text = |variable: &Variable| match (&variable.value, &variable.source) {
        (Some(value), _) if value.is_empty() => "(empty)".to_owned(),
        (Some(value), _) => value.clone(),
        (None, crate::config::Source::NotSet) => "-".to_owned(),
        (None, _) => "(not valid)".to_owned(),
    };
    let names = variables.iter().map(|variable| variable.name.len()).max().unwrap_or_default();
    let values = variables.iter().map(|variable| text(variable).chars().count()).max().unwrap_or_default();
    let (mut lines, mut task) = (Vec::new(), "");
    for variable in variables {
        if variable.task != task {
            task = variable.task;
            lines.push(format!("{}{task}:", if lines.is_empty() { "" } else { "\n" }));
        }
        let (name, value, source) = (variable.name, text(variable), &variable.source);
        lines.push(format!("  {name:names$}  {value:values$}  {source}"));
    }
    lines.join("\n")
}
