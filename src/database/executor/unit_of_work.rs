//! What the write executor runs.

use futures_util::future::BoxFuture;
use uuid::Uuid;

use crate::{
    database::{deadline::Deadline, party::Party, position::Recency, transaction::Transaction},
    error::Result,
};

/// For whom a unit of work is, what it changes, and how long it may take.
pub(in crate::database) struct Scope {
    /// Among whom turns are shared out.
    pub(in crate::database) party: Party,
    /// Work on the same resource is done in the order in which it comes.
    pub(in crate::database) resource: Option<Uuid>,
    /// Until when it must be committed.
    pub(in crate::database) deadline: Deadline,
    /// Where it is told how far the database had come by then.
    pub(in crate::database) recency: Recency,
}

/// The span of the time before a unit of work's transaction begins.
pub(super) const WAIT: &str = "wait to write";

/// What is done in one transaction: all of it or nothing. It may be run more than once, so it must not have other effects.
pub trait UnitOfWork<T>: for<'t> Fn(&'t Transaction) -> BoxFuture<'t, Result<T>> + Send + Sync + 'static {}

impl<T, F> UnitOfWork<T> for F where F: for<'t> Fn(&'t Transaction) -> BoxFuture<'t, Result<T>> + Send + Sync + 'static {}
