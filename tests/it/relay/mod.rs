//! Events on their way to the broker.

mod faults;
mod publishing;
mod replay;
