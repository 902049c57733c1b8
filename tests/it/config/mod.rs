//! The environment.

mod platform;
mod secrets;
mod variables;
