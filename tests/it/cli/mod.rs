//! The binary: its commands, its start and its end.

mod commands;
mod contracts;
mod crash;
mod demo;
mod replay;
mod startup;
