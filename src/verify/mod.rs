//! `crm verify`: the list by which the platform accepts a cell (its sections 4.1 to 4.4), walked line by line against a running
//! service.
//!
//! Rules: a line is judged by what was answered, never by what is known of this program. What is sent to a service that may not
//! be written to would be refused or find nothing even if the service kept no rule at all; to one that may be, only a customer of
//! the walk's own is written, which it deletes again. A line that cannot be judged says so, and does not hold.
//!
//! Reading order: [`line`](mod@line) what is found of a line · [`target`] the service and the callers · [`client`] requests and replies ·
//! [`operations`] what its contract names · [`boundaries`], [`interface`], [`errors`], [`idempotency`], [`data`], [`delivery`] the lines ·
//! [`documents`] the delivery's documents · [`stored`] what a database of the walk's own holds · [`walk`](mod@walk) the order.

mod boundaries;
mod client;
mod data;
mod delivery;
pub mod documents;
mod errors;
mod idempotency;
mod interface;
pub mod line;
mod operations;
mod sample;
pub mod stored;
mod target;
mod walk;

pub use documents::Documents;
pub use line::{Line, Verdict};
pub use target::{Caller, Own, Target};
pub use walk::walk;
