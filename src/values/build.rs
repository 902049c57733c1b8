//! What this program was built from.

/// The release.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit of the sources, where whoever built the program has named it in `CRM_BUILD_COMMIT`.
pub const COMMIT: Option<&str> = match option_env!("CRM_BUILD_COMMIT") {
    Some(commit) if !commit.is_empty() => Some(commit),
    _ => None,
};

/// The SHA-256 of the contract that this program was frozen with, in hexadecimal: `openapi/api_contract.yaml`.
pub const CONTRACT_SHA256: &str = env!("CRM_CONTRACT_SHA256");

/// How many packages this program is built of, its own included.
pub const PACKAGES: &str = env!("CRM_PACKAGES");

/// Those of them that are neither its own nor a registry's, by name; empty as a rule.
pub const FOREIGN_PACKAGES: &str = env!("CRM_FOREIGN_PACKAGES");
