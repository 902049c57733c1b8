//! `crm openapi` and `crm asyncapi`: the contract of the API and that of the events, from the types alone.

use std::io::{self, Write};

use super::Outcome;
use crate::{events::document, http::contract::Contract};

pub(super) fn openapi() -> Outcome {
    Ok(io::stdout().lock().write_all(Contract::new().yaml().as_bytes())?)
}

pub(super) fn asyncapi() -> Outcome {
    Ok(io::stdout().lock().write_all(document::yaml().as_bytes())?)
}
