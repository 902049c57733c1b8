//! Hashes the frozen contract, so that the program can say which one it serves without carrying it twice.

use std::{
    error::Error,
    fs,
    io::{Write, stdout},
};

use sha2::{Digest, Sha256};

/// The contract of the API, as it is frozen.
const CONTRACT: &str = "openapi/api_contract.yaml";

fn main() -> Result<(), Box<dyn Error>> {
    let hash: String = Sha256::digest(fs::read(CONTRACT)?).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut cargo = stdout().lock();
    writeln!(cargo, "cargo::rerun-if-changed={CONTRACT}")?;
    writeln!(cargo, "cargo::rustc-env=CRM_CONTRACT_SHA256={hash}")?;
    Ok(())
}
