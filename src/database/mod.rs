//! The one database: SQLite in this process or PostgreSQL, behind the same two methods.
//!
//! Reads take [`Database::read`]. Writes take [`Database::transact`], and [`executor`] shows why an accepted one is on disk.
//! Changes of resources come to it by way of `change/`; the audit trail, the outbox, the relay, the PII keys and the purge of
//! request ids call it themselves. Only migrations, [`clean`] and the trial commits of the health checks bypass it.
//!
//! | file | what |
//! |---|---|
//! | [`handle`], [`snapshot`] | [`Database`]: opening, reading, writing, closing · reading of one instant |
//! | [`executor`] | how a unit of work becomes a committed transaction |
//! | [`transaction`], [`reader`] | what statements run through |
//! | [`at_end`], [`template`] | what is written together, at the end of a transaction · statements whose text is built once |
//! | [`rows`], [`arrays`], [`array`](mod@array), [`seat`] | what is written of rows · on PostgreSQL, by several changes alike, as arrays · the place of one among them |
//! | [`together`], [`merge`] | on SQLite, what changes that are committed together write at once · the statements for those that write alike |
//! | [`lookups`] | rows by their ids on PostgreSQL, for several requests at once |
//! | [`read_cache`] | what was read from SQLite, in memory: rows by their ids, pages of lists |
//! | [`party`], [`fair_queue`], [`turns`] | for whom the database works · a queue served in turn · connections in turn |
//! | [`connection`], [`raw`], [`pool`], [`connect`] | one connection and whether it is trusted · the driver's · the pool · how one is opened |
//! | [`deadline`], [`fault`] | time limits · what an error means |
//! | [`steps`], [`statements`] | for tests: fault injection · which statements are run |
//! | [`span`](mod@span) | spans of what the database is asked for |
//! | [`standby`], [`position`] | a standby that requests are read from · how new what they read must be |
//! | [`health`], [`probe`] | what is known without asking · the health check of PostgreSQL |
//! | [`file`](mod@file), [`wal_guard`] | whether the SQLite file is in place · what keeps its write-ahead log |
//! | [`reach`], [`migrate`], [`retry`] | waiting for PostgreSQL at start · the schema · what both retry by |
//! | [`new_file`], [`on_disk`] | a SQLite file that is not there yet · files that are moved into place when they are whole |
//! | [`roles`] | the rights of the service's role on PostgreSQL |
//! | [`horizon`] | what the retention takes for the time |
//! | [`facts`] | what a database says of itself, for operators |
//! | [`permissions`] | who else on this machine may open the SQLite file |
//! | [`counts`] | how many rows a list has, kept by triggers: folded, checked, mended |
//! | [`pipeline`] | how many opportunities are in which stage, kept by triggers: read, checked, mended |
//! | [`list`] | a page of a list: filtered, sorted, from any place |
//! | [`search`] | the index by which text is found |
//! | [`statistics`] | what SQLite's planner knows of the tables |
//! | [`copy`] | all data, from SQLite to PostgreSQL or back |
//! | [`backup`] | backups of the SQLite file |
//! | [`vacuum`] | removing deleted data from the files |
//! | [`scratch`] | a database on PostgreSQL for a while |
//! | [`tenancy`], [`read`], [`decode`] | how a query stays within its tenant · how a row is read · what may be damaged |

mod array;
mod arrays;
mod at_end;
pub mod backup;
pub mod connect;
mod connection;
pub mod copy;
pub mod counts;
mod deadline;
pub(crate) mod decode;
mod executor;
pub mod facts;
mod fair_queue;
mod fault;
mod file;
mod handle;
mod health;
pub mod horizon;
pub mod list;
mod lookups;
mod merge;
pub mod migrate;
mod new_file;
mod on_disk;
mod pace;
mod party;
pub mod permissions;
pub mod pipeline;
mod pool;
mod position;
mod probe;
mod raw;
pub mod reach;
pub mod read;
mod read_cache;
mod reader;
mod retry;
pub mod roles;
mod rows;
pub mod scratch;
pub mod search;
mod seat;
mod snapshot;
mod span;
pub mod standby;
mod statements;
mod statistics;
mod steps;
mod template;
pub mod tenancy;
mod together;
mod transaction;
mod turns;
mod vacuum;
mod wal_guard;

pub use deadline::{COMMAND, Deadline, REQUEST};
pub use facts::sqlite_version;
pub use handle::Database;
pub use health::{Cause, Health};
pub use position::{Position, Recency};
pub use reader::Reader;
pub use rows::{ForEach, RowUpdate, Rows};
pub use statements::Statements;
pub use steps::{Failure, Steps};
pub use transaction::Transaction;
pub use vacuum::clean;
