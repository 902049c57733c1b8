//! The commands of the binary, one file each. [`command_line`] parses and dispatches; `context` has what they share.

mod audit;
mod command_line;
mod context;
mod contract;
mod copy;
mod demo;
mod doctor;
mod healthcheck;
mod inbound;
mod keygen;
mod keys;
mod migrate;
mod openapi;
mod outbox;
mod privacy;
mod relay;
mod replay;
mod report;
mod retention;
mod search;
mod serve;
mod service_manager;
mod token;

pub use command_line::main;
