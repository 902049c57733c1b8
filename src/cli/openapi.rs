//! `crm openapi` and `crm asyncapi`: print the contracts of the API and of the events, emitted from the types alone.

use std::io::{self, Write};

use super::context::ExitOutcome;
use crate::service::{asyncapi, contract::contract};

pub(super) fn openapi() -> ExitOutcome {
    Ok(io::stdout().lock().write_all(contract().yaml().as_bytes())?)
}

pub(super) fn asyncapi() -> ExitOutcome {
    Ok(io::stdout().lock().write_all(asyncapi::yaml().as_bytes())?)
}
