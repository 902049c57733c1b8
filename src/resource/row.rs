//! What the rows of all resources have in common.

use chrono::{DateTime, Utc};
use sea_orm::{ActiveModelBehavior, ActiveModelTrait, EntityTrait, IntoActiveModel};
use uuid::Uuid;

use super::{AuditField, Kind};
use crate::{database::tenancy::SortKey, pii::PiiTable};

/// The entity of a resource, whose rows a change inserts, updates and deletes.
pub trait Resource:
    EntityTrait<
        Model: IntoActiveModel<Self::ActiveModel> + Clone + PartialEq + Send + Sync,
        ActiveModel: ActiveModelTrait<Entity = Self> + ActiveModelBehavior + Send,
    >
{
    /// The resource type.
    const KIND: Kind;

    /// The tenant column.
    const TENANT: Self::Column;
    /// The id column. The primary key is tenant and id.
    const ID: Self::Column;
    /// The creation time column, by which lists are sorted.
    const CREATED: Self::Column;

    /// The columns that lists are filtered by, and those that tell whether a row is shown. An index has them for a sample of the rows.
    const FILTERED: &'static [Self::Column];

    /// What lists can be sorted by.
    const SORTS: &'static [SortKey<Self::Column>];

    /// The columns with personal data, if any, which key rotation re-encrypts.
    const PII: Option<PiiTable> = None;

    /// What the rows refer to.
    const REFERENCES: &'static [Reference<Self>] = &[];

    /// The column with the time of the deletion, in a resource that others refer to: its row stays until they are cleared or
    /// deleted.
    const DELETED_AT: Option<Self::Column> = None;

    /// The column with the id of the customer that a row belongs to; of a customer, its own.
    const OWNER: Self::Column;

    /// The column with the text that the rows are searched by.
    const TEXT: Self::Column;

    /// The column with what the rows are sorted by in place of that text, if lists are sorted by it.
    const TEXT_SORT: Option<Self::Column> = None;

    /// The text that the row is searched by.
    fn text(row: &Self::Model) -> &str;

    /// The row's id.
    fn id(row: &Self::Model) -> Uuid;

    /// The time of the row's last change.
    fn updated_at(row: &mut Self::Model) -> &mut DateTime<Utc>;

    /// The number of events about the row so far.
    fn version(row: &mut Self::Model) -> &mut i64;

    /// Gives up what only one row may have: a deleted one, which stays for a while, must not keep it from another.
    fn vacate(_row: &mut Self::Model) {}

    /// The row's fields for the audit trail, always the same ones in the same order. Its own id, timestamps and
    /// internal columns are left out.
    fn audit_fields(row: &Self::Model) -> Vec<AuditField<'_>>;
}

/// A resource that belongs, or may belong, to a customer.
pub trait OfCustomer: Resource {
    /// The customer id column.
    const CUSTOMER: Self::Column = Self::OWNER;
}

/// A reference from the rows of `E` to another resource of the same tenant.
pub struct Reference<E: EntityTrait> {
    /// The type of the resource that is referred to.
    pub to: Kind,
    /// The column with its id.
    pub column: E::Column,
    /// What becomes of a row when the resource that it refers to is deleted.
    pub on_delete: OnDelete,
}

/// What becomes of a row when a resource that it refers to is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDelete {
    /// It is deleted too.
    Delete,
    /// Its reference is cleared.
    Clear,
}

impl<E: EntityTrait> Reference<E> {
    /// A reference to a resource of `R`.
    #[must_use]
    pub const fn to<R: Resource>(column: E::Column, on_delete: OnDelete) -> Self {
        const { assert!(R::DELETED_AT.is_some(), "the rows of a resource that others refer to can be marked as deleted") };
        Self { to: R::KIND, column, on_delete }
    }
}
