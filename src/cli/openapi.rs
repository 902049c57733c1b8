//! `crm openapi`: the contract, from the types alone.

use std::io::{self, Write};

use super::Outcome;
use crate::http::contract::Contract;

pub(super) fn run() -> Outcome {
    io::stdout().lock().write_all(Contract::new().yaml().as_bytes())?;
    Ok(())
}
