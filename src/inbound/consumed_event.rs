//! What a type of event declares: how it is applied, and what the events' document says of it.

use futures_util::future::BoxFuture;
use poem_openapi::registry::MetaSchemaRef;

use super::envelope::Envelope;
use crate::{
    change::Changes,
    error::Result,
    values::{ContractValue, IdSource},
};

/// A type of event of the platform.
pub struct ConsumedEvent {
    /// The type: `erp.contract.signed`.
    pub event_type: &'static str,
    /// What it causes.
    pub summary: &'static str,
    /// The fields of `data` that are required.
    pub required: &'static [&'static str],
    /// The fields of `data` that are read.
    pub data: fn() -> Vec<DataField>,
    pub(super) apply: Apply,
}

/// Applies an event whose type is known.
pub(super) type Apply = for<'a> fn(&'a Changes, &'a IdSource, &'a Envelope) -> BoxFuture<'a, Result<()>>;

/// A field of an event's `data`.
#[derive(Debug, Clone)]
pub struct DataField {
    /// Its name.
    pub name: &'static str,
    /// What it means.
    pub description: &'static str,
    /// Whether it may be `null`.
    pub nullable: bool,
    /// The schema of its type, without the two above.
    pub schema: MetaSchemaRef,
}

impl DataField {
    /// A field that is not `null`.
    #[must_use]
    pub fn of<T: ContractValue>(name: &'static str, description: &'static str) -> Self {
        Self { name, description, nullable: false, schema: T::schema_ref() }
    }

    /// A field that may be `null`.
    #[must_use]
    pub fn nullable<T: ContractValue>(name: &'static str, description: &'static str) -> Self {
        Self { nullable: true, ..Self::of::<T>(name, description) }
    }
}
