//! What holds for every request, whatever the resource.

mod bodies;
mod browsers;
mod connections;
mod documents;
mod errors;
mod evictions;
mod headers;
mod in_flight;
mod keep_alive;
mod lists;
mod pages;
mod probes;
mod rates;
mod restarts;
mod service_manager;
mod spellings;
mod unknown_names;
