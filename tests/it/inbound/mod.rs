//! Events of other systems, consumed.

mod faults;
mod inbox;
mod platform_events;
mod settlement;
