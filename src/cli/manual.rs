//! `crm completions` and `crm man`: what shells and readers of manuals want to know of the command line, made from it.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::Args;
use clap_complete::Shell;
use clap_mangen::Man;

use super::{
    context::{ExitOutcome, print},
    variables,
};

#[derive(Debug, Args)]
#[command(after_help = "For bash, for example: crm completions bash > ~/.local/share/bash-completion/completions/crm")]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "To read it: crm man | man -l -")]
pub(super) struct ManArgs {
    /// Write the pages of all commands into this directory, which is made when missing
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

pub(super) fn completions(args: &CompletionsArgs, mut parser: clap::Command) -> ExitOutcome {
    // Into memory first: the library does not expect that nobody reads it.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut parser, "crm", &mut script);
    Ok(io::stdout().lock().write_all(&script)?)
}

pub(super) fn pages(args: &ManArgs, parser: clap::Command) -> ExitOutcome {
    let parser = parser.after_long_help(variables::help());
    let Some(directory) = &args.directory else {
        let mut page = Vec::new();
        Man::new(parser).render(&mut page)?;
        return Ok(io::stdout().lock().write_all(&page)?);
    };
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(parser, directory)?;
    let count = std::fs::read_dir(directory)?.count();
    Ok(print(&format!("{count} pages in {}", directory.display()))?)
}
