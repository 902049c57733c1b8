//! The `crm` binary: calls [`crm::cli`].

use std::process::ExitCode;

/// Gives memory back after a burst, as the system's own does not.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    crm::cli::main()
}
