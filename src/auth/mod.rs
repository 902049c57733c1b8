//! Who calls: tokens are verified here ([`keys`]); what a token allows is decided in [`crate::http::caller`].

pub mod keys;

pub use keys::{Claims, Keys, Refusal, development_secret, sign};
