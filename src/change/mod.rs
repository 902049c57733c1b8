//! One accepted write is one transaction: [`Change`].
//!
//! In the transaction, in this order ([`Changes::apply`]):
//! 1. the request id is claimed in `idempotent` ([`claim`]), an event of the platform in `inbox`; a second one with the same
//!    id ends here;
//! 2. the store changes the rows, by [`Change::insert`], [`Change::update`] and [`Change::delete`] and by nothing else: a lint
//!    forbids the framework's own;
//! 3. what these three did is written into the audit trail ([`crate::audit`]), an entry for each row, and into the outbox
//!    ([`crate::events`]);
//! 4. it commits. Whatever is refused or fails on the way leaves nothing, not even the claim.
//!
//! Reading order: [`intent`] · [`changes`] · [`claim`] · [`open`] · [`write`].

mod changes;
mod claim;
mod idempotent;
mod inbox;
mod intent;
mod open;
mod write;

pub use changes::Changes;
pub(crate) use claim::purge_claims;
pub use intent::Intent;
pub use open::{Cascade, Change};
