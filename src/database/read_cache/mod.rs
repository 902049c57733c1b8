//! What was read from SQLite, kept in memory: rows by their ids, and pages of lists ([`ReadCache`]).
//!
//! What is answered from it is what the database would answer. The header of SQLite's wal-index changes with each commit, by
//! whatever process, and is what SQLite itself knows by that its pages in memory are out of date ("WAL-mode File Format",
//! section 2.1). Here it is looked at before each answer:
//!
//! - as long as it is the same, so is what was read;
//! - the one writer of this process says what a commit [changed](Changed); if the header counts one commit since the writer's
//!   transaction began, that one was its own, and what it did not change stays. What is done for a tenant changes its rows
//!   alone, and forgets all pages of its lists; what the service does by itself forgets all pages, unless it says that no list
//!   shows it;
//! - otherwise another process has written, or it is not known what a commit came to: all is forgotten.
//!
//! Rows are kept as they are stored, so personal data in them is sealed; in the reply that is kept with a page it is masked. While the disk cannot be read, they are still answered.
//!
//! In reading order: [`kept`] · [`changed`] · [`cache`] · [`writing`].

mod cache;
mod changed;
mod kept;
mod writing;

pub(super) use self::{cache::Looked, changed::Changed, kept::PageKey, writing::Writing};
pub use cache::ReadCache;
