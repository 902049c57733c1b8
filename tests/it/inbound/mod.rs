//! Events of other systems, consumed.

mod inbox;
mod platform_events;
mod settlement;
