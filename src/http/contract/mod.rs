//! The OpenAPI 3.0 contract, emitted from the operations and their types. `crm openapi`, `/openapi.yaml` and the frozen
//! `openapi/api_contract.yaml` have the same content.
//!
//! [`emission`] is the only place that modifies poem-openapi's document. What all operations have in common is added by rule,
//! so that new operations get it too ([`operation`], by its [`traits`]): headers ([`components`]), errors ([`errors`]),
//! [`examples`], names of [`enums`]. What poem-openapi gets wrong is corrected. No script edits the document afterwards. `introduction.md` is its
//! introduction, and `description.md` says what holds for all operations. The operations are listed in `service`.

mod components;
mod document;
mod emission;
mod enums;
mod errors;
mod examples;
mod json;
mod operation;
mod paths;
mod schemas;
mod shared_examples;
mod supplement;
mod traits;

pub use document::Contract;
pub use examples::example_id;
pub use json::{referenced_schemas, yaml};
pub use paths::Paths;
pub use supplement::{NamedExample, OpenEnum, Supplement};
