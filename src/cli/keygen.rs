//! `crm keygen pii`: a key, on one line, in the form in which it is configured.

use clap::Subcommand;

use super::{Outcome, print};
use crate::pii::keys;

#[derive(Debug, Subcommand)]
pub(super) enum Purpose {
    /// Make a key that phone numbers and e-mail addresses are sealed with, for CRM_PII_KEYS
    Pii,
}

pub(super) fn run(purpose: Purpose) -> Outcome {
    match purpose {
        Purpose::Pii => Ok(print(&keys::generate()?)?),
    }
}
