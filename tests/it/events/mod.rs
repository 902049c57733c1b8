//! Domain events, as readers of the feed meet them.

pub mod feed;
