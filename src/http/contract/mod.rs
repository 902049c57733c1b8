//! The OpenAPI 3.0 contract, emitted from the operations and their types. `crm openapi`, `/openapi.yaml` and the frozen
//! `openapi/api_contract.yaml` have the same content.
//!
//! [`emission`] is the only place that modifies poem-openapi's document: what all operations have in common (headers,
//! errors: [`components`]; names of [`enums`]) is added by rule, so that new operations get it too, and what poem-openapi gets wrong is
//! corrected. No script edits the document afterwards. `description.md` is its introduction. The operations are listed
//! in `service`.

mod components;
mod document;
mod emission;
mod enums;
mod json;

pub use document::Contract;
pub use json::referenced_schemas;
