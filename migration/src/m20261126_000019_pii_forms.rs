//! What phone numbers and e-mail addresses are found by in every spelling: a second blind index of phone numbers, without their
//! extension, and columns that tell which blind indexes are of the present form.
//!
//! The release before fills the first blind index with its own form and does not know these columns. A row is indexed anew
//! where `…_indexed` does not repeat `…_index`: after the upgrade that are all, and afterwards those that such a process has
//! written. An index of the table has them.

use sea_orm_migration::prelude::*;

use crate::index;

#[derive(DeriveMigrationName)]
pub struct Migration;

struct Personal {
    table: &'static str,
    id: &'static str,
    phone: &'static str,
    email: &'static str,
}

const TABLES: [Personal; 2] = [
    Personal { table: "customers", id: "customer_id", phone: "contact_phone", email: "contact_email" },
    Personal { table: "contacts", id: "contact_id", phone: "phone", email: "email" },
];

impl Personal {
    fn columns(&self) -> [String; 3] {
        let Self { phone, email, .. } = self;
        [format!("{phone}_indexed"), format!("{phone}_base_index"), format!("{email}_indexed")]
    }

    /// By which phone numbers with an extension are found without it. Most have none, and are not in it.
    fn by_base(&self) -> IndexCreateStatement {
        let Self { table, id, phone, .. } = self;
        let base = format!("{phone}_base_index");
        let mut by_base = Index::create();
        by_base.name(self.by_base_name()).table(*table).if_not_exists();
        for column in ["tenant_id", &base, id] {
            by_base.col(Alias::new(column));
        }
        by_base.and_where(Expr::col(Alias::new(base)).is_not_null()).to_owned()
    }

    fn by_base_name(&self) -> String {
        format!("{}_by_{}_base", self.table, self.phone)
    }

    /// The rows that are to be indexed anew.
    fn unindexed(&self) -> IndexCreateStatement {
        let Self { table, id, .. } = self;
        let is_unindexed = |name: &str| Expr::cust(format!("{name}_indexed IS DISTINCT FROM {name}_index"));
        let either = Cond::any().add(is_unindexed(self.phone)).add(is_unindexed(self.email));
        let mut unindexed = index(self.unindexed_name(), table, ["tenant_id", *id]);
        unindexed.cond_where(either).if_not_exists().to_owned()
    }

    fn unindexed_name(&self) -> String {
        format!("{}_unindexed", self.table)
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// Each statement by itself: none holds a lock while it waits for that of another table, which a request of a process that
    /// still runs may hold. One that was cut off goes on where it was.
    fn use_transaction(&self) -> Option<bool> {
        Some(false)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for personal in TABLES {
            for column in personal.columns() {
                if !manager.has_column(personal.table, &column).await? {
                    let column = ColumnDef::new(Alias::new(column)).text().to_owned();
                    manager.alter_table(Table::alter().table(personal.table).add_column(column).to_owned()).await?;
                }
            }
            manager.create_index(personal.by_base()).await?;
            manager.create_index(personal.unindexed()).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for personal in TABLES {
            for name in [personal.by_base_name(), personal.unindexed_name()] {
                manager.drop_index(Index::drop().name(name).table(personal.table).to_owned()).await?;
            }
            for column in personal.columns() {
                let column = Alias::new(column);
                manager.alter_table(Table::alter().table(personal.table).drop_column(column).to_owned()).await?;
            }
        }
        Ok(())
    }
}
