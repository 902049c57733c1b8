//! The platform's events that this service acts on, each applied once.
//!
//! An event is applied like a request: its id is claimed in `inbox_events` in the transaction of the change it causes, so that
//! it may be delivered any number of times. It is acknowledged after the commit, and waits for no other. An event that names
//! something that the tenant does not have yet is delayed for a minute. One that cannot be applied becomes a dead letter with
//! the reason, and is never tried again by itself; while the database is down, an event is tried until it works. Unknown
//! fields are ignored. What an event says is quoted nowhere: see `reason`.
//!
//! - `contract_signed`: the customer is signed; the opportunity, if one is named, is won.
//! - `task_completed`: the follow-up gains a last line; without a follow-up, one is recorded.
//!
//! A new type of event is a file like those two and an entry in [`consumed`].
//!
//! Reading order: `consumer` · `envelope` · `names` · `reason` · `consumed_event` what a type of event declares · the types of events ·
//! `dead_letters` what operators see of them.

mod consumed_event;
mod consumer;
mod contract_signed;
mod dead_letters;
mod envelope;
mod names;
mod reason;
mod task_completed;

pub use consumed_event::{ConsumedEvent, DataField};
pub use consumer::{ApplyOutcome, Inbound, consumed, event_types};
pub use dead_letters::DeadLetterSummary;
pub use envelope::{EventId, EventTimestamp};
