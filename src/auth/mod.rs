//! Who calls: tokens are verified here. What a token allows is decided by those who ask.
//!
//! [`keys`] verifies, [`claims`] reads what a token says, [`development`] makes tokens for trying the service out, [`actor`]
//! is what remains of the caller in audit entries and events.

mod actor;
mod claims;
mod development;
mod keys;

pub use actor::Actor;
pub use claims::{Bearer, Claims, Refusal, Refused};
pub use development::{development_secret, sign};
pub use keys::{Keys, LEEWAY};
