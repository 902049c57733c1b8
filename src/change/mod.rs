//! One accepted write is one transaction: [`Change`].
//!
//! The transaction does the following, in this order ([`Changes::apply`]):
//! 1. it claims the key of the request in `idempotent`, as the first of what is written, or the id of a platform event in `inbox_events`
//!    ([`claim`]); a duplicate ends here, and learns what the first one did ([`receipt`]);
//! 2. the store writes rows with [`Change::insert`], [`Change::update`] and [`Change::delete`]; a lint forbids SeaORM's
//!    own methods. What the change is about is locked first ([`Change::lock_own`]): a caller who expects another version
//!    of it ends here;
//! 3. it writes what these three did to the audit trail ([`crate::audit`]), one entry per row, and to the outbox
//!    ([`crate::events`]);
//! 4. it commits. A rejection or failure on the way leaves nothing behind, not even the claim.
//!
//! Reading order: [`intent`] · [`changes`] · [`claim`] · [`receipt`] · [`open`] · [`write`](mod@write) · [`removal`] · [`erase`].

mod changes;
mod claim;
mod erase;
mod idempotent;
mod inbox;
mod inbox_event;
mod intent;
mod open;
mod receipt;
mod removal;
mod write;

pub use changes::Changes;
pub(crate) use claim::purge_claims;
pub use intent::{EventClaim, Intent};
pub use open::{Change, Removal, RemovalStep};
pub use receipt::Receipt;
pub use removal::{DELETIONS, Deletion};
