//! The vocabulary of the contract: what a text, an id, an instant, an optional field may be.
//!
//! Each type here says twice what it accepts, once to the contract ([`ContractValue::schema_ref`]) and once to the
//! reader of a request ([`ContractValue::from_value`]); for texts a property test holds the two together. They exist because the
//! framework's own `String`, `Option` and integers accept more than their schema says and repeat a client's value in
//! their messages.
//!
//! Beside them stand what makes values, [`clock`], and what requests are made of: [`page`], [`query`], [`request_id`], [`json`].
//!
//! Reading order: [`contract`], then [`text`], [`optional`], [`id`], [`timestamp`], [`integer_enum`], [`tenant`],
//! [`currency`].

pub mod clock;
pub mod contract;
pub mod currency;
pub mod id;
pub mod integer_enum;
pub mod json;
pub mod optional;
pub mod page;
pub mod query;
pub mod request_id;
pub mod tenant;
pub mod text;
pub mod timestamp;

pub use clock::{Clock, IdSource};
pub(crate) use contract::contract_type;
pub use contract::{ContractValue, Violation};
pub use currency::Currency;
pub use id::Id;
pub use optional::{Clearable, Field, Nullable};
pub use request_id::RequestId;
pub use tenant::Tenant;
pub use text::{Name, Text, TextRule};
pub use timestamp::Timestamp;
