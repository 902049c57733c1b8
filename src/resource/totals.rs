//! The total of a list, from the counters of what is stored: what a deletion hides, until its rows are removed, is subtracted.
//! It is an expression in the statement that reads the page, so that both are of one instant.

#![expect(clippy::disallowed_methods, reason = "here are counted the rows that finders hide")]

use sea_orm::{
    ColumnTrait, Condition, DbBackend, IdenStatic, QueryFilter, QuerySelect, QueryTrait, Select,
    sea_query::{Expr, ExprTrait, Func, SelectStatement},
};
use uuid::Uuid;

use super::{OfCustomer, OnDelete, Resource, deletion};
use crate::{
    database::{
        counts::Counter,
        list::{Criterion, Total},
        tenancy::{Listed, Tenanted},
    },
    values::Tenant,
};

/// The total of the tenant's list of `E`.
#[must_use]
pub fn of_tenant<E: Resource>(backend: DbBackend) -> Total {
    let Some((stored, with_owners)) = counter::<E>(None).zip(counters_by_owner::<E>()) else { return Total::Counted };
    Total::kept(move |tenant| {
        let mut hidden = deleted_themselves::<E>(tenant, |rows| rows);
        // With what they belong to. Of what is deleted by itself besides, `deleted_themselves` leaves out.
        for counter in &with_owners {
            let owners = Condition::all().add(Expr::col("owner_id").in_subquery(deleted(tenant)));
            hidden = hidden.add(counter.stored_where(backend, tenant, &owners));
        }
        stored.stored(backend, tenant, None).sub(unless_nothing_is(tenant, hidden))
    })
}

/// The rows of `E` of one of the tenant's customers, if one is named, and their total.
#[must_use]
pub fn of_customer<E: OfCustomer, C: Listed>(
    backend: DbBackend,
    tenant: &Tenant,
    customer: Option<Uuid>,
) -> (Vec<Criterion<E>>, Total) {
    match customer {
        None => (Vec::new(), of_tenant::<E>(backend)),
        Some(id) => {
            let total = of_owner::<E, C>(backend, E::CUSTOMER, (C::one(tenant, id), id));
            (vec![Criterion::equal(E::CUSTOMER, id)], total)
        }
    }
}

/// The total of the rows of `E` whose reference `column` names this resource. `owner` finds it: where it does not, there are
/// none to be seen.
#[must_use]
pub fn of_owner<E: Resource, O: Listed>(
    backend: DbBackend,
    column: E::Column,
    (owner, id): (Select<O>, Uuid),
) -> Total {
    let Some(counter) = counter::<E>(Some(column)) else { return Total::Counted };
    Total::kept(move |tenant| {
        let is_seen = Expr::exists(owner.clone().select_only().expr(Expr::val(1)).into_query());
        let of_owner = |rows: Select<E>| rows.filter(hidden_from_planner::<E>(column).eq(id));
        let hidden = unless_nothing_is(tenant, deleted_themselves(tenant, of_owner));
        let total = counter.stored(backend, tenant, Some(id)).sub(hidden);
        Expr::case(is_seen, total).finally(0_i64).into()
    })
}

/// The counters of the list of `E` by what its rows are deleted with.
fn counters_by_owner<E: Resource>() -> Option<Vec<Counter>> {
    let with_owners = E::REFERENCES.iter().filter(|reference| reference.on_delete == OnDelete::Delete);
    with_owners.map(|reference| counter::<E>(Some(reference.column))).collect()
}

/// The counter of the list of `E`, or of those by its reference `owner`.
fn counter<E: Resource>(owner: Option<E::Column>) -> Option<Counter> {
    Counter::of(E::default().table_name(), owner.as_ref().map(IdenStatic::as_str))
}

/// How many rows of `E` are deleted, and not with what they belong to.
fn deleted_themselves<E: Resource>(tenant: &Tenant, of: impl FnOnce(Select<E>) -> Select<E>) -> Expr {
    if E::DELETED_AT.is_none() {
        return Expr::val(0_i64);
    }
    // By its key for each that is deleted: a join, the planner might begin with all rows of the tenant.
    let is_deleted = Expr::col((deletion::Entity, deletion::Column::ResourceId));
    let rows = E::stored_of(tenant).filter(<E as Resource>::ID.into_expr().eq(is_deleted));
    let rows = E::REFERENCES
        .iter()
        .filter(|reference| reference.on_delete == OnDelete::Delete)
        .fold(rows, |rows, reference| {
            rows.filter(hidden_from_planner::<E>(reference.column).not_in_subquery(deleted(tenant)))
        });
    let count = Expr::from(of(rows).select_only().expr(<E as Resource>::ID.into_expr().count()).into_query());
    let sum = Func::coalesce([count.sum(), Expr::val(0_i64)]);
    let sum = deletion::Entity::of(tenant).select_only().expr(Expr::from(sum)).into_query();
    Expr::from(sum).cast_as("bigint")
}

/// The column in a form that no index has: the few rows that are deleted are to be found by their ids.
fn hidden_from_planner<E: Resource>(column: E::Column) -> Expr {
    let column = Expr::col((E::default(), column));
    Func::coalesce([column.clone(), column]).into()
}

/// `hidden`, which is not even looked at where nothing is deleted: nearly always.
fn unless_nothing_is(tenant: &Tenant, hidden: Expr) -> Expr {
    Expr::case(Expr::exists(deleted(tenant)), hidden).finally(0_i64).into()
}

/// The ids of what is deleted and whose rows are still there.
fn deleted(tenant: &Tenant) -> SelectStatement {
    deletion::Entity::of(tenant).select_only().column(deletion::Column::ResourceId).into_query()
}
