//! Each resource's own rules.

mod contacts;
mod customers;
mod follow_ups;
mod opportunities;
