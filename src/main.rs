//! The `crm` binary: calls [`crm::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    crm::cli::main()
}
