//! Who calls: tokens are verified here ([`keys`]); what a token allows is decided in [`crate::http::caller`].

pub mod keys;

pub use keys::{Bearer, Claims, Keys, Refusal, Refused, development_secret, sign};
