//! The relay: publishes committed events, at least once, and the events of each resource in order.
//!
//! It reads the outbox by the outbox's own positions, which order the events of all tenants (readers of the feed follow
//! those of their tenant), and keeps in the database how far it came. Several
//! processes may run it; a lease (`ledger`) lets one of them work at a time, so that events are not sent twice. The order
//! does not depend on the lease: an event is sent only once the one before it of the same resource is confirmed.
//!
//! - **Recorded after it is confirmed.** If the relay or the broker dies in between, the event is sent again, with the same
//!   id.
//! - **Nobody bound.** An event that the broker has and no queue wants is published: it is counted and nothing waits.
//! - **Refused** by the broker (too large, no room), or damaged in the database: the event is blocked and tried again, at most [`MAX_ATTEMPTS`] times
//!   with growing pauses, then parked until `crm outbox retry`. Later events of the same resource wait behind it, all others
//!   go on.
//! - **Down.** A broker that cannot be reached counts against no event: the breaker opens, and after a growing pause the
//!   broker is tried again, first with a single event.
//!
//! Reading order: `worker` the steps · `ledger` what is kept · `stored_event` what is sent · `status` what operators see and
//! do · `replay` published events once more · `backoff`.

mod backoff;
mod ledger;
mod replay;
mod status;
mod stored_event;
mod worker;

pub use backoff::Backoff;
pub use ledger::MAX_ATTEMPTS;
pub use replay::{ReplayFrom, ReplayPlan, ReplayReport, ReplayStop, Selection, plan, replay};
pub use status::{ParkedEvent, RelayStatus, oldest_waiting, parked, retry, show, status};
pub use worker::{Relay, Step};
