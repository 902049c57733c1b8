//! Backups of the SQLite file, taken while it is written to: `crm backup`, `crm restore`.
//!
//! A backup is a directory with the database and `backup.json`, which says how many bytes and rows it has, its hash, and which keys
//! it needs; never the keys. It is written under another name (`….partial`), synced, and moved into place whole: what has its name
//! is complete. The copy is `VACUUM INTO`: one reader's snapshot, so that every change that was acknowledged before it began is in
//! it and none in part, and nobody's write waits. SQLite's own backup functions begin anew whenever another process writes.
//! While the snapshot is open, the write-ahead log cannot be emptied and grows with what is written, and erasures are not complete.
//!
//! Reading order: [`manifest`](mod@manifest) what a backup says of itself · [`draft`] taking one · [`check`] whether a file is whole ·
//! [`restore`] bringing it back.

pub mod check;
pub mod draft;
mod error;
mod files;
pub mod manifest;
pub mod restore;

pub use self::{
    draft::Draft,
    error::BackupError,
    manifest::{Head, Manifest},
    restore::Restore,
};
