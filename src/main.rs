//! The `crm` binary: reads the command line and hands over to [`crm::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    crm::cli::main()
}
