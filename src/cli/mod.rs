//! The commands of the binary, one file each. [`command_line`] parses and dispatches; `context` has what they share;
//! `variables` writes the list of variables for people.

mod audit;
mod backup;
mod command_line;
mod config;
mod context;
mod contract;
mod copy;
mod demo;
mod doctor;
mod healthcheck;
mod inbound;
mod keygen;
mod keys;
mod manual;
mod migrate;
mod openapi;
mod outbox;
mod privacy;
mod relay;
mod replay;
mod report;
mod restore;
mod retention;
mod search;
mod seed;
mod serve;
mod service_manager;
mod token;
mod variables;
mod verify;
mod version;

pub use command_line::main;
