//! The `deletions` table: the resources that are deleted and whose rows are still there, with who deleted them. Finders
//! hide these rows, and all that goes with them, from the moment of the deletion ([`is_not_deleted`]).

use sea_orm::{
    Condition, IdenStatic, Iterable, QuerySelect, QueryTrait,
    entity::prelude::*,
    sea_query::{Expr, ExprTrait},
};

use super::{OnDelete, Reference};
use crate::{database::tenancy::Tenanted, values::Tenant};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "deletions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub resource_id: Uuid,
    pub resource_type: String,
    pub deleted_at: DateTimeUtc,
    pub actor: String,
    pub client: Option<String>,
    pub request_id: String,
    pub trace_id: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const TENANT: Column = Column::TenantId;
}

/// The rows that are not deleted, neither by themselves, which the column `own` of their ids tells, nor with what they belong
/// to.
pub(super) fn is_not_deleted<E: EntityTrait>(
    tenant: &Tenant,
    own: Option<E::Column>,
    references: &[Reference<E>],
) -> Condition {
    is_kept(tenant, own.into_iter().chain(columns(references, OnDelete::Delete)))
}

/// The rows with empty references where these name what is deleted.
pub(super) fn without_cleared<E: EntityTrait>(
    tenant: &Tenant,
    rows: Select<E>,
    references: &[Reference<E>],
) -> Select<E> {
    let cleared: Vec<E::Column> = columns(references, OnDelete::Clear).collect();
    if cleared.is_empty() {
        return rows;
    }
    E::Column::iter().fold(rows.select_only(), |rows, column| {
        let is_cleared = cleared.iter().any(|cleared| cleared.as_str() == column.as_str());
        match is_cleared {
            true => rows.expr_as(Expr::case(is_kept(tenant, [column]), column.into_expr()), column.as_str()),
            false => rows.column(column),
        }
    })
}

/// The rows of which something that is deleted is cleared already, as they are shown, but not yet as they are stored; `None` if
/// nothing of such rows is ever cleared.
pub(super) fn being_cleared<E: EntityTrait>(tenant: &Tenant, references: &[Reference<E>]) -> Option<Condition> {
    let cleared: Vec<E::Column> = columns(references, OnDelete::Clear).collect();
    (!cleared.is_empty()).then(|| is_kept(tenant, cleared).not())
}

/// The columns of the references of which this becomes.
fn columns<E: EntityTrait>(references: &[Reference<E>], on_delete: OnDelete) -> impl Iterator<Item = E::Column> {
    references.iter().filter(move |reference| reference.on_delete == on_delete).map(|reference| reference.column)
}

/// The rows whose reference `column` names this resource, unless that is deleted.
#[must_use]
pub fn refers_to<C: ColumnTrait>(tenant: &Tenant, column: C, id: Uuid) -> Condition {
    Condition::all().add(column.eq(id)).add(is_kept(tenant, [column]))
}

/// Whether there is a resource that is deleted and whose rows are still there.
pub(super) fn something_is_deleted(tenant: &Tenant) -> Expr {
    Expr::exists(Entity::of(tenant).select_only().column(Column::ResourceId).into_query())
}

/// The rows in which none of these columns names a resource that is deleted.
fn is_kept<C: ColumnTrait>(tenant: &Tenant, columns: impl IntoIterator<Item = C>) -> Condition {
    let deleted = || Entity::of(tenant).select_only().column(Column::ResourceId).into_query();
    // Nearly always nothing is: looked at once, this spares a look at each row.
    let nothing_is_deleted = something_is_deleted(tenant).not();
    let kept = columns
        .into_iter()
        .fold(Condition::all(), |kept, column| kept.add(column.is_null().or(column.not_in_subquery(deleted()))));
    Condition::any().add(nothing_is_deleted).add(kept)
}
