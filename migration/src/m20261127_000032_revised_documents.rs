//! The document of a resource can be revised together with its text, in place of being deleted and written again.
//!
//! Whoever revises it does so before the row changes, and notes the version that the row will have: the triggers keep a document of that
//! version. The release before notes none, so that its changes delete the document as before.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

use super::current_schema;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// The tables whose rows are searched, each with its id, its text, and its resource type.
const TABLES: [[&str; 4]; 4] = [
    ["customers", "customer_id", "name", "customer"],
    ["contacts", "contact_id", "name", "contact"],
    ["opportunities", "opportunity_id", "title", "opportunity"],
    ["follow_ups", "follow_up_id", "content", "followUp"],
];

/// Whether the row's document is the one of its new text. A change that leaves the version as it is says nothing by it.
fn is_revised(id: &str) -> String {
    format!(
        "NEW.version > OLD.version AND EXISTS (SELECT 1 FROM search_documents d WHERE d.tenant_id = NEW.tenant_id \
         AND d.resource_id = NEW.{id} AND d.version = NEW.version)"
    )
}

/// Deletes the document, and notes that another one is missing.
fn replace(id: &str, resource_type: &str) -> String {
    format!(
        "DELETE FROM search_documents WHERE tenant_id = OLD.tenant_id AND resource_id = OLD.{id}; \
         INSERT INTO search_queue (tenant_id, resource_id, resource_type) \
         VALUES (NEW.tenant_id, NEW.{id}, '{resource_type}') ON CONFLICT (tenant_id, resource_id) DO NOTHING;"
    )
}

/// The triggers anew: with regard to revisions, or as they were before.
async fn make_triggers(db: &SchemaManagerConnection<'_>, revisions: bool) -> Result<(), DbErr> {
    let schema = match db.get_database_backend() {
        DbBackend::Postgres => Some(current_schema(db).await?),
        _ => None,
    };
    for [table, id, text, resource_type] in TABLES {
        let replace = replace(id, resource_type);
        let statements = match &schema {
            Some(schema) => vec![format!(
                "CREATE OR REPLACE FUNCTION search_update_{table}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER \
                 SET search_path = pg_catalog, {schema}, pg_temp AS $$ BEGIN {}{replace} RETURN NULL; END $$",
                if revisions { format!("IF {} THEN RETURN NULL; END IF; ", is_revised(id)) } else { String::new() }
            )],
            None => vec![
                format!("DROP TRIGGER search_{table}_update"),
                format!(
                    "CREATE TRIGGER search_{table}_update AFTER UPDATE OF {text} ON {table} \
                     WHEN OLD.{text} IS NOT NEW.{text}{} BEGIN {replace} END",
                    if revisions { format!(" AND NOT ({})", is_revised(id)) } else { String::new() }
                ),
            ],
        };
        for statement in statements {
            db.execute_unprepared(&statement).await?;
        }
    }
    Ok(())
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        db.execute_unprepared("ALTER TABLE search_documents ADD COLUMN version bigint").await?;
        make_triggers(db, true).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        make_triggers(db, false).await?;
        db.execute_unprepared("ALTER TABLE search_documents DROP COLUMN version").await?;
        Ok(())
    }
}
