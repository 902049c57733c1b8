//! `crm keygen pii`: prints a new key, in the format of the configuration.

use clap::Subcommand;

use super::context::{ExitOutcome, print};
use crate::config::PiiKey;

#[derive(Debug, Subcommand)]
pub(super) enum Purpose {
    /// Generate a key that encrypts phone numbers and e-mail addresses, for CRM_PII_KEYS
    Pii,
}

pub(super) fn run(purpose: Purpose) -> ExitOutcome {
    match purpose {
        Purpose::Pii => Ok(print(&PiiKey::generate()?)?),
    }
}
