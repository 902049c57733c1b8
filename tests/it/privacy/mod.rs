//! Erasure, export, and tenants that leave.

mod canaries;
mod commands;
mod erasure;
mod export;
