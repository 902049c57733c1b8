//! What the rows of all resources have in common.

use chrono::{DateTime, Utc};
use sea_orm::{ActiveModelBehavior, ActiveModelTrait, EntityTrait, IntoActiveModel};
use uuid::Uuid;

use super::{AuditField, Kind};
use crate::{
    database::tenancy::{Listed, Tenanted},
    pii::PiiTable,
};

/// An entity that backs a resource: what a change makes, changes and deletes.
pub trait Resource:
    EntityTrait<
        Model: IntoActiveModel<Self::ActiveModel> + Clone + PartialEq + Send + Sync,
        ActiveModel: ActiveModelTrait<Entity = Self> + ActiveModelBehavior + Send,
    >
{
    /// What its rows are.
    const KIND: Kind;

    /// The column of the tenant.
    const TENANT: Self::Column;
    /// The column of the row's own id; with the tenant, the primary key.
    const ID: Self::Column;
    /// The column of the instant of creation, by which lists are ordered.
    const CREATED: Self::Column;

    /// The table's columns with personal data, if it has any: those that a rotation of the keys goes through.
    const PII: Option<PiiTable> = None;

    /// The row's own id.
    fn id(row: &Self::Model) -> Uuid;

    /// The instant of the row's last change.
    fn updated_at(row: &mut Self::Model) -> &mut DateTime<Utc>;

    /// How many events the row has had.
    fn version(row: &mut Self::Model) -> &mut i64;

    /// The row's fields as the audit trail sees them, always the same ones in the same order. Ids, instants and what follows
    /// from other fields are left out.
    fn audit_fields(row: &Self::Model) -> Vec<AuditField<'_>>;
}

impl<E: Resource> Tenanted for E {
    const TENANT: E::Column = <E as Resource>::TENANT;
}

impl<E: Resource> Listed for E {
    const ID: E::Column = <E as Resource>::ID;
    const CREATED: E::Column = <E as Resource>::CREATED;
}

/// A resource that belongs to a customer, or may.
pub trait OfCustomer: Resource {
    /// The column of the customer's id.
    const CUSTOMER: Self::Column;
}
