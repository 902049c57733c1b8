//! What holds for every request, whatever the resource.

mod bodies;
mod connections;
mod errors;
mod headers;
mod in_flight;
mod keep_alive;
mod lists;
mod probes;
mod restarts;
