//! `crm keygen pii`: a key, on one line, in the form in which it is configured.

use clap::Subcommand;

use super::context::{ExitOutcome, print};
use crate::config::PiiKey;

#[derive(Debug, Subcommand)]
pub(super) enum Purpose {
    /// Make a key that phone numbers and e-mail addresses are sealed with, for CRM_PII_KEYS
    Pii,
}

pub(super) fn run(purpose: Purpose) -> ExitOutcome {
    match purpose {
        Purpose::Pii => Ok(print(&PiiKey::generate()?)?),
    }
}
