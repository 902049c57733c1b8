//! Domain events, as readers of the feed meet them.

mod changes;
mod cursors;
mod feed;
mod million;
mod pages;
mod positions;
mod stored;
mod waits;
