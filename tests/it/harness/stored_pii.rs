//! Phone numbers and e-mail addresses as the database stores them, read and replaced around the service.

use crm::service::resources::pii_tables;
use sea_orm::{ConnectionTrait, DatabaseConnection};

use super::{
    TestDatabase,
    contract_walk::lower_camel,
    on_postgres,
    sql::{column, scalar, uuid_literal},
};

/// The column and row of one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPii {
    pub table: &'static str,
    pub column: &'static str,
    pub id: String,
}

impl StoredPii {
    pub fn new(table: &'static str, column: &'static str, id: &str) -> Self {
        Self { table, column, id: id.to_owned() }
    }

    /// The path of its resource.
    pub fn path(&self) -> String {
        format!("/{}/{}", self.table, self.id)
    }

    /// Its name in the contract.
    pub fn field(&self) -> String {
        lower_camel(self.column)
    }

    pub async fn read(&self, connection: &DatabaseConnection) -> Option<String> {
        let Self { table, column, .. } = self;
        scalar(connection, &format!("SELECT {column} FROM {table} {}", self.condition())).await
    }

    pub async fn blind_index(&self, connection: &DatabaseConnection) -> Option<String> {
        let Self { table, column, .. } = self;
        scalar(connection, &format!("SELECT {column}_index FROM {table} {}", self.condition())).await
    }

    pub async fn write(&self, connection: &DatabaseConnection, value: &str) {
        let Self { table, column, .. } = self;
        let value = value.replace('\'', "''");
        let update = format!("UPDATE {table} SET {column} = '{value}' {}", self.condition());
        assert_eq!(connection.execute_unprepared(&update).await.unwrap().rows_affected(), 1, "{update}");
    }

    fn condition(&self) -> String {
        let key = pii_tables().into_iter().find(|table| table.name == self.table).unwrap().id;
        format!("WHERE {key} = {}", uuid_literal(&self.id))
    }
}

/// All that the database stores: SQLite's files, the rows of PostgreSQL's tables as text.
pub async fn stored_bytes(database: &TestDatabase) -> Vec<u8> {
    if let TestDatabase::Sqlite { directory } = database {
        let files = std::fs::read_dir(directory.path()).unwrap();
        return files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    }
    assert!(on_postgres());
    let connection = database.connect().await;
    let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'";
    let mut bytes = Vec::new();
    for table in column::<String>(&connection, tables).await {
        for row in column::<String>(&connection, &format!("SELECT t::text FROM \"{table}\" t")).await {
            bytes.extend(row.into_bytes());
            bytes.push(b'\n');
        }
    }
    bytes
}
