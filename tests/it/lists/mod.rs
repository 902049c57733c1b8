//! Lists that are filtered, sorted and walked: compared with a model that knows nothing of indexes.

mod bound;
mod combinations;
mod cursors;
mod model;
mod totals;
mod walks;
