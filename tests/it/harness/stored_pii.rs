//! What the database holds, looked at and broken around the service.

use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};

use super::{TestDatabase, on_postgres};

/// Where a phone number or an e-mail address lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub table: &'static str,
    pub column: &'static str,
    pub id: String,
}

impl Place {
    pub fn new(table: &'static str, column: &'static str, id: &str) -> Self {
        Self { table, column, id: id.to_owned() }
    }

    /// The resource's address.
    pub fn path(&self) -> String {
        format!("/{}/{}", self.table, self.id)
    }

    /// The field in the contract.
    pub fn field(&self) -> &'static str {
        match self.column {
            "contact_phone" => "contactPhone",
            "contact_email" => "contactEmail",
            column => column,
        }
    }

    /// What is stored.
    pub async fn read(&self, connection: &DatabaseConnection) -> Option<String> {
        let Self { table, column, .. } = self;
        cell(connection, &format!("SELECT {column} FROM {table} {}", self.here(connection))).await
    }

    /// The blind index beside it.
    pub async fn index(&self, connection: &DatabaseConnection) -> Option<String> {
        let Self { table, column, .. } = self;
        cell(connection, &format!("SELECT {column}_index FROM {table} {}", self.here(connection))).await
    }

    /// Stores something else, whatever it is.
    pub async fn write(&self, connection: &DatabaseConnection, value: &str) {
        let Self { table, column, .. } = self;
        let value = value.replace('\'', "''");
        let update = format!("UPDATE {table} SET {column} = '{value}' {}", self.here(connection));
        assert_eq!(connection.execute_unprepared(&update).await.unwrap().rows_affected(), 1, "{update}");
    }

    fn here(&self, connection: &DatabaseConnection) -> String {
        let key = if self.table == "customers" { "customer_id" } else { "contact_id" };
        match connection.get_database_backend() {
            sea_orm::DbBackend::Postgres => format!("WHERE {key} = '{}'", self.id),
            _ => format!("WHERE {key} = x'{}'", self.id.replace('-', "")),
        }
    }
}

/// The one text that a query finds.
pub async fn cell(connection: &DatabaseConnection, sql: &str) -> Option<String> {
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let row = connection.query_one_raw(statement).await.unwrap();
    row.unwrap_or_else(|| panic!("no row: {sql}")).try_get_by_index(0).unwrap()
}

/// Every byte that the database keeps: the files of SQLite, all rows of PostgreSQL.
pub async fn everything(database: &TestDatabase) -> Vec<u8> {
    if let TestDatabase::Sqlite { directory } = database {
        let files = std::fs::read_dir(directory.path()).unwrap();
        return files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    }
    assert!(on_postgres());
    let connection = database.connect().await;
    let all = |sql: String| {
        let statement = Statement::from_string(connection.get_database_backend(), sql);
        let connection = &connection;
        async move {
            let rows = connection.query_all_raw(statement).await.unwrap();
            rows.iter().map(|row| row.try_get_by_index::<String>(0).unwrap()).collect::<Vec<_>>()
        }
    };
    let mut bytes = Vec::new();
    for table in all("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'".to_owned()).await {
        for row in all(format!("SELECT t::text FROM \"{table}\" t")).await {
            bytes.extend(row.into_bytes());
            bytes.push(b'\n');
        }
    }
    bytes
}
