//! What the write executor runs.

use futures_util::future::BoxFuture;

use crate::{database::transaction::Transaction, error::Result};

/// What is done in one transaction: all of it or nothing. It may be run more than once, so it must not have other effects.
pub trait UnitOfWork<T>: for<'t> Fn(&'t Transaction) -> BoxFuture<'t, Result<T>> + Send + Sync + 'static {}

impl<T, F> UnitOfWork<T> for F where F: for<'t> Fn(&'t Transaction) -> BoxFuture<'t, Result<T>> + Send + Sync + 'static {}
