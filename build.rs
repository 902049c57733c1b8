//! Hashes the frozen contract, so that the program can say which one it serves without carrying it twice; and counts what it is
//! built of, so that `crm verify` can say where that is from.

use std::{
    error::Error,
    fs,
    io::{Write, stdout},
};

use sha2::{Digest, Sha256};

/// The contract of the API, as it is frozen.
const CONTRACT: &str = "openapi/api_contract.yaml";
/// The packages that the program is built of.
const PACKAGES: &str = "Cargo.lock";
/// Those of this project.
const OWN: [&str; 2] = ["crm", "migration"];

fn main() -> Result<(), Box<dyn Error>> {
    let hash: String = Sha256::digest(fs::read(CONTRACT)?).iter().map(|byte| format!("{byte:02x}")).collect();
    let locked = fs::read_to_string(PACKAGES)?;
    let packages: Vec<&str> = locked.split("[[package]]").skip(1).collect();
    let foreign: Vec<&str> =
        packages.iter().filter(|package| !is_known(package)).map(|package| field(package, "name")).collect();
    let mut cargo = stdout().lock();
    for file in [CONTRACT, PACKAGES] {
        writeln!(cargo, "cargo::rerun-if-changed={file}")?;
    }
    writeln!(cargo, "cargo::rustc-env=CRM_CONTRACT_SHA256={hash}")?;
    writeln!(cargo, "cargo::rustc-env=CRM_PACKAGES={}", packages.len())?;
    writeln!(cargo, "cargo::rustc-env=CRM_FOREIGN_PACKAGES={}", foreign.join(", "))?;
    Ok(())
}

/// Whether a package is this project's, or a registry's that everybody can fetch it from.
fn is_known(package: &str) -> bool {
    let source = field(package, "source");
    if source.is_empty() { OWN.contains(&field(package, "name")) } else { source.starts_with("registry+") }
}

/// What stands behind a key.
fn field<'p>(package: &'p str, key: &str) -> &'p str {
    let value = |line: &'p str| line.strip_prefix(key)?.strip_prefix(" = ");
    package.lines().find_map(value).unwrap_or_default().trim_matches('"')
}
