//! The OpenAPI 3.0 contract: emitted from the operations and their types, the same for `crm openapi`, for `/openapi.yaml` and
//! for the frozen `openapi/api_contract.yaml`.
//!
//! [`emission`] is the one place where the framework's document is corrected: what holds for every operation (headers,
//! errors: [`components`]) is added by rule, so that a new operation has it, and what the framework gets wrong is put right.
//! No script repairs the document afterwards. `description.md` is its introduction. Which operations there are is said in
//! `service`.

mod components;
mod document;
mod emission;
mod json;

pub use document::Contract;
pub use json::referenced_schemas;
