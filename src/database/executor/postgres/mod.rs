//! PostgreSQL: what is written at the same time is committed together, by one transaction for several units of work.
//!
//! A unit of work that does no more than to lock rows by their ids and to leave writes to its end has a place in a [`group`]: its rows
//! are locked, what all of the group write is written by statements that have an array for each column, and one COMMIT makes it durable.
//! A group waits for nobody's lock, and its units depend on nothing of each other: none has a row that another one has locked, unless
//! both keep it from being deleted.
//!
//! Every other unit runs [`alone`], in a transaction of its own, which is run again where it gave way to another one or lost its
//! connection. So does each of a group of which anything failed before COMMIT was sent: that nothing was committed is known then. Who
//! finds a row locked or missing is so judged by itself. Whose claim is there already is refused, and the group goes on.
//!
//! In reading order: [`executor`] · [`member`] · [`group`] · [`alone`] · [`committer`] · [`waiting`].

mod alone;
mod committer;
mod executor;
mod group;
mod member;
mod waiting;

pub(in crate::database) use executor::PostgresExecutor;
