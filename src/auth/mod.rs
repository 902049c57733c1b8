//! Who calls: tokens are verified here. What a token allows is decided by those who ask.
//!
//! | file | what |
//! |---|---|
//! | [`verifier`] | the way of a token through this room, in order |
//! | [`jws`], [`json`] | a token taken apart, within bounds |
//! | [`key`], [`key_set`] | a key and its algorithms · the keys of a time, read from PEM or JSON |
//! | [`key_source`], [`remote_keys`] | where they come from · fetched from the platform |
//! | [`introspection`] | asking the platform about a token |
//! | [`client`], [`breaker`], [`flights`], [`turns`] | how it is asked · not, while it is away · once, however many wait · by so many at once |
//! | [`claims`], [`policy`] | what a token says · what it must say |
//! | [`token_cache`], [`refusal`], [`rejection`] | what was found out · why a token is not accepted · what becomes of it |
//! | [`development`], [`actor`] | tokens for trying the service out · what remains of a caller in audit entries and events |

mod actor;
mod breaker;
mod claims;
mod client;
mod development;
mod flights;
mod introspection;
mod json;
mod jws;
mod key;
mod key_set;
mod key_source;
mod policy;
mod refusal;
mod rejection;
mod remote_keys;
mod token_cache;
mod turns;
mod verifier;

pub use actor::Actor;
pub use claims::{Bearer, Claims};
pub use development::{DevelopmentToken, read_development_secret, sign};
pub use jws::MAX_TOKEN;
pub use policy::LEEWAY;
pub use refusal::Refusal;
pub use rejection::{Refused, Rejection};
pub use verifier::TokenVerifier;
