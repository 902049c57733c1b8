//! Events of other systems, consumed.

mod platform_events;
