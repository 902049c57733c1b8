//! The write executor: how a unit of work becomes a committed transaction. Every accepted write of the service passes here.
//!
//! **A 2xx of a write means that COMMIT returned.** Why:
//!
//! 1. A unit of work is answered `Ok` in [`sqlite`], and in [`postgres`] by its group or by itself, always behind the `Ok` of
//!    `Connection::commit`. Nothing else makes an `Ok` of it.
//! 2. What the database says is what holds: no count of open transactions decides, ours or the driver's. SQLite's
//!    `BEGIN IMMEDIATE` fails where one is open, and its `COMMIT` where none is. PostgreSQL's `COMMIT` of a transaction that
//!    failed is a `ROLLBACK` that succeeds: so it is sent with a statement that such a transaction refuses. A connection in
//!    the middle of a transaction is never used for another one.
//! 3. After any fault of any step no further statement runs on the connection ([`super::connection`]): it is closed, and a
//!    new one opened. So a transaction that the database ended by itself cannot be taken for an open one.
//! 4. Both databases commit durably: SQLite with `synchronous=FULL`, PostgreSQL with `synchronous_commit`, without which the
//!    service does not start.
//!
//! **Every wait has an end.** A unit of work has a [`Deadline`](super::Deadline): connections, locks, statements and
//! repetitions share it. If it passes before COMMIT was sent, nothing is changed; if it passes during COMMIT, the outcome is
//! unknown, and the error says so.
//!
//! In reading order: [`unit_of_work`] · [`dispatch`] to the database in use · [`sqlite`] · [`postgres`] with
//! [`resource_locks`].

mod dispatch;
mod postgres;
mod resource_locks;
mod sqlite;
mod unit_of_work;

pub(super) use dispatch::Executor;
pub(super) use postgres::PostgresExecutor;
pub(super) use sqlite::SqliteExecutor;
pub(super) use unit_of_work::{Scope, UnitOfWork};
