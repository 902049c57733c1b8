//! The counters of lists: how many rows a list has, without counting them.
//!
//! Triggers keep them, in the transaction of whatever changes the rows: no code has to remember it, and a process of the
//! release before does it too. They count the rows that are stored, those that a deletion hides among them; whoever reads a
//! total subtracts these, in the same statement.
//!
//! On PostgreSQL a change of a counter is a row of its own in `list_count_deltas`: on a shared row, all writers of a tenant
//! would wait for each other. They are folded into the counters in the background ([`fold`]), and a counter is the sum of both.

pub mod check;
pub mod fold;

use sea_orm::{
    DbBackend,
    sea_query::{Condition, Expr, ExprTrait, Func, Query},
};
use uuid::Uuid;

use crate::values::Tenant;

/// A list that has counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    /// The name in the column `list`.
    pub list: &'static str,
    /// The table with its rows.
    pub table: &'static str,
    /// The column by which its rows are told apart, each value of which has a counter; none for the list of a whole tenant.
    pub owner: Option<&'static str>,
}

/// The lists that have counters.
pub const COUNTERS: [Counter; 8] = [
    Counter { list: "customers", table: "customers", owner: None },
    Counter { list: "contacts", table: "contacts", owner: None },
    Counter { list: "contacts_of_customer", table: "contacts", owner: Some("customer_id") },
    Counter { list: "opportunities", table: "opportunities", owner: None },
    Counter { list: "opportunities_of_customer", table: "opportunities", owner: Some("customer_id") },
    Counter { list: "follow_ups", table: "follow_ups", owner: None },
    Counter { list: "follow_ups_of_customer", table: "follow_ups", owner: Some("customer_id") },
    Counter { list: "follow_ups_of_opportunity", table: "follow_ups", owner: Some("opportunity_id") },
];

/// The tables whose columns `count` are summed up.
fn kept_in(backend: DbBackend) -> &'static [&'static str] {
    match backend {
        DbBackend::Postgres => &["list_counts", "list_count_deltas"],
        _ => &["list_counts"],
    }
}

impl Counter {
    /// The counter of the rows of `table` by the column `owner`, if it has one.
    #[must_use]
    pub fn of(table: &str, owner: Option<&str>) -> Option<Self> {
        COUNTERS.into_iter().find(|counter| counter.table == table && counter.owner == owner)
    }

    /// How many rows are stored, as an expression: of this owner, or of the whole tenant.
    #[must_use]
    pub fn stored(self, backend: DbBackend, tenant: &Tenant, owner: Option<Uuid>) -> Expr {
        let owner = Expr::col("owner_id").eq(owner.unwrap_or_default());
        self.stored_where(backend, tenant, &Condition::all().add(owner))
    }

    /// How many rows are stored, as an expression: of those owners that the condition on `owner_id` names.
    #[must_use]
    pub fn stored_where(self, backend: DbBackend, tenant: &Tenant, owners: &Condition) -> Expr {
        let sum_of = |table: &'static str| {
            let sum = Func::coalesce([Expr::col("count").sum(), Expr::val(0_i64)]);
            let kept = Query::select()
                .expr(sum)
                .from(table)
                .and_where(Expr::col("tenant_id").eq(tenant.as_str()))
                .and_where(Expr::col("list").eq(self.list))
                .cond_where(owners.clone())
                .take();
            Expr::from(kept)
        };
        let sums = kept_in(backend).iter().map(|table| sum_of(table));
        sums.reduce(ExprTrait::add).unwrap_or_else(|| Expr::val(0_i64)).cast_as("bigint")
    }
}
