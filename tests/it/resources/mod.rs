//! Each resource's own rules.

mod blanks;
mod contacts;
mod customers;
mod follow_ups;
mod opportunities;
mod totals;
