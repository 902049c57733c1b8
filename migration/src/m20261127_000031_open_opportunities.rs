//! On SQLite, the index of the open opportunities of customers has all that is asked of it. SQLite looks at the columns of a partial
//! index's condition too: without these it would read the rows.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub struct Migration;

const OLD: &str = "opportunities_open_of_customer";
const NEW: &str = "opportunities_open_by_customer";

fn create(name: &str, columns: &str) -> String {
    format!("CREATE INDEX IF NOT EXISTS {name} ON opportunities ({columns}) WHERE status = 0 AND deleted_at IS NULL")
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        if db.get_database_backend() == DbBackend::Sqlite {
            db.execute_unprepared(&create(NEW, "tenant_id, customer_id, status, deleted_at")).await?;
            db.execute_unprepared(&format!("DROP INDEX {OLD}")).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        if db.get_database_backend() == DbBackend::Sqlite {
            db.execute_unprepared(&create(OLD, "tenant_id, customer_id")).await?;
            db.execute_unprepared(&format!("DROP INDEX {NEW}")).await?;
        }
        Ok(())
    }
}
