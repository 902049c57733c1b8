//! What the rows of all resources have in common.

use chrono::{DateTime, Utc};
use sea_orm::{ActiveModelBehavior, ActiveModelTrait, EntityTrait, IntoActiveModel};
use uuid::Uuid;

use super::{AuditField, Kind};
use crate::{
    database::tenancy::{Listed, Tenanted},
    pii::PiiTable,
};

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

    /// The columns with personal data, if any, which key rotation re-encrypts.
    const PII: Option<PiiTable> = None;

    /// The row's id.
    fn id(row: &Self::Model) -> Uuid;

    /// The time of the row's last change.
    fn updated_at(row: &mut Self::Model) -> &mut DateTime<Utc>;

    /// The number of events about the row so far.
    fn version(row: &mut Self::Model) -> &mut i64;

    /// The row's fields for the audit trail, always the same ones in the same order. Its own id, timestamps and
    /// internal columns are left out.
    fn audit_fields(row: &Self::Model) -> Vec<AuditField<'_>>;
}

impl<E: Resource> Tenanted for E {
    const TENANT: E::Column = <E as Resource>::TENANT;
}

impl<E: Resource> Listed for E {
    const ID: E::Column = <E as Resource>::ID;
    const CREATED: E::Column = <E as Resource>::CREATED;
}

/// A resource that belongs, or may belong, to a customer.
pub trait OfCustomer: Resource {
    /// The customer id column.
    const CUSTOMER: Self::Column;
}
