//! The environment.

mod platform;
mod secrets;
mod shown;
mod variables;
