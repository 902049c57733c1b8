//! The contract's value types: text, ids, timestamps, optional fields.
//!
//! Each type defines twice what it accepts: as a schema ([`ContractValue::schema_ref`]) and as a parser
//! ([`ContractValue::from_value`]). For text, a property test checks that the two agree. poem-openapi's own `String`,
//! `Option` and integers accept more than their schemas say, and echo the client's value in their messages.
//!
//! Also here: [`clock`] for time and new ids, and what requests consist of: [`page`], [`query`], [`request_id`],
//! [`json`]; [`normal_form`], [`grams`] and [`search_text`] for how text is sorted and searched; [`unknown_name`] for what is said of a field or
//! parameter that does not exist; [`build`] for what the program itself is.
//!
//! Reading order: [`contract`], then [`text`], [`optional`], [`id`], [`timestamp`], [`number`], [`integer_enum`],
//! [`tenant`], [`shown`], [`currency`], [`figure`],
//! [`date`].

pub mod amount;
pub mod build;
pub mod clock;
pub mod contract;
pub mod currency;
pub mod date;
pub mod figure;
pub mod grams;
pub mod id;
pub mod integer_enum;
pub mod json;
pub mod normal_form;
pub mod number;
pub mod optional;
pub mod page;
pub mod query;
pub mod request_id;
pub mod search_text;
pub mod shown;
pub mod tenant;
pub mod text;
pub mod timestamp;
pub mod unknown_name;

pub use amount::AmountCents;
pub use clock::{Clock, IdSource, ManualClock, Stopwatch};
pub(crate) use contract::contract_type;
pub use contract::{ContractValue, Violation};
pub use currency::Currency;
pub use id::Id;
pub use optional::{Clearable, Field, Nullable};
pub use request_id::IdempotencyKey;
pub use search_text::SearchText;
pub use shown::Shown;
pub use tenant::Tenant;
pub use text::{Name, Text, TextRule};
pub use timestamp::Timestamp;
