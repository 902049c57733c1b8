//! An index for each column that lists are filtered or sorted by, followed by the order of a list: rows that have the same value
//! in it are read newest first without being sorted.

use sea_orm_migration::prelude::*;

use super::{drop_index_beside_writers, index, index_beside_writers};

#[derive(DeriveMigrationName)]
pub struct Migration;

/// A table, its id, and the columns that get an index.
struct Listed {
    table: &'static str,
    id: &'static str,
    columns: &'static [&'static str],
}

const TABLES: [Listed; 4] = [
    Listed { table: "customers", id: "customer_id", columns: &["status", "updated_at"] },
    Listed { table: "contacts", id: "contact_id", columns: &["is_primary", "updated_at"] },
    Listed {
        table: "opportunities",
        id: "opportunity_id",
        columns: &["stage", "currency", "amount_cents", "updated_at"],
    },
    Listed { table: "follow_ups", id: "follow_up_id", columns: &["follow_up_type", "updated_at"] },
];

impl Listed {
    fn indexes(&self) -> impl Iterator<Item = (String, IndexCreateStatement)> {
        let Self { table, id, columns } = self;
        columns.iter().map(move |column| {
            let name = format!("{table}_by_{column}");
            (name.clone(), index(name, table, ["tenant_id", *column, "created_at", *id]))
        })
    }
}

/// The open opportunities: of a customer, and by when they were last changed. Closed ones, which become ever more, are not in
/// the way of who looks for these.
fn open_opportunities() -> [(String, IndexCreateStatement); 2] {
    let open = |name: &str, column| {
        let mut open = index(name, "opportunities", ["tenant_id", column]);
        open.and_where(Expr::cust("status = 0 AND deleted_at IS NULL"));
        (name.to_owned(), open)
    };
    [open("opportunities_open_of_customer", "customer_id"), open("opportunities_open_by_updated_at", "updated_at")]
}

fn all() -> impl Iterator<Item = (String, IndexCreateStatement)> {
    TABLES.iter().flat_map(Listed::indexes).chain(open_opportunities())
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// Each index by itself: one that was cut off goes on with the next.
    fn use_transaction(&self) -> Option<bool> {
        Some(false)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, index) in all() {
            index_beside_writers(manager, &name, index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, _) in all() {
            drop_index_beside_writers(manager, &name).await?;
        }
        Ok(())
    }
}
