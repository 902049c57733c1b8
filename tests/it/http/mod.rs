//! What holds for every request, whatever the resource.

mod bodies;
mod connections;
mod errors;
mod headers;
mod lists;
mod probes;
