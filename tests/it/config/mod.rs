//! The environment.

mod variables;
