//! Domain events, as readers of the feed meet them.

mod feed;
