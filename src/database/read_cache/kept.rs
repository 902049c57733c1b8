//! What is kept, and by what it is found.

use std::{any::Any, mem::size_of, sync::Arc};

use quick_cache::Weighter;
use sea_orm::{Iterable, ModelTrait, Value};
use uuid::Uuid;

use crate::{database::tenancy::Listed, values::Tenant};

/// How much is kept of rows, and of pages, in bytes.
pub(super) const CAPACITY: u64 = 16 * 1024 * 1024;
/// How many pages are kept at most.
pub(super) const PAGES: u64 = 1024;

/// By what a row is found: no tenant finds another's.
pub(super) type RowKey = (Tenant, Uuid);

/// By what a page of a list is found: whose it is, and the hash of all that is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::database) struct PageKey {
    pub(super) tenant: Tenant,
    asked: [u8; 32],
}

impl PageKey {
    pub(in crate::database) fn new(tenant: &Tenant, asked: [u8; 32]) -> Self {
        Self { tenant: tenant.clone(), asked }
    }
}

/// A row, or a page, of whatever entity.
#[derive(Clone)]
pub(in crate::database) struct Kept {
    pub(super) read: Arc<dyn Any + Send + Sync>,
    bytes: u64,
}

impl Kept {
    pub(super) fn new(read: impl Any + Send + Sync, bytes: u64) -> Self {
        Self { read: Arc::new(read), bytes }
    }

    pub(super) fn row<E: Listed>(row: &E::Model) -> Self {
        Self::new(row.clone(), bytes::<E>(row))
    }
}

#[derive(Clone)]
pub(super) struct ByBytes;

impl Weighter<RowKey, Kept> for ByBytes {
    fn weight(&self, (tenant, _): &RowKey, kept: &Kept) -> u64 {
        kept.bytes + (size_of::<(RowKey, Kept)>() + tenant.as_str().len()) as u64
    }
}

impl Weighter<PageKey, Kept> for ByBytes {
    fn weight(&self, _: &PageKey, kept: &Kept) -> u64 {
        kept.bytes.max(CAPACITY / PAGES)
    }
}

/// About how much memory a row takes.
pub(super) fn bytes<E: Listed>(row: &E::Model) -> u64 {
    let texts = E::Column::iter().map(|column| match row.get(column) {
        Value::String(Some(text)) => text.len(),
        Value::Bytes(Some(bytes)) => bytes.len(),
        _ => 0,
    });
    (size_of::<E::Model>() + texts.sum::<usize>()) as u64
}
