//! What a database holds in clear, looked for around the service: in all its bytes, or in all its rows. For a database of the
//! walk's own alone, which is small.

use std::{fs, io};

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr, Statement};

use crate::config::{DatabaseUrl, Secret, beside};

/// The first of these texts that the database holds.
///
/// # Errors
/// A database that cannot be read, in words.
pub async fn clear_text<'n>(url: &DatabaseUrl, needles: &[&'n str]) -> Result<Option<&'n str>, String> {
    let unread = |error: String| format!("the database cannot be looked into: {error}");
    match url {
        DatabaseUrl::Sqlite(file) => {
            let mut stored = fs::read(file).map_err(|error| unread(error.to_string()))?;
            // Nobody may have written what is not in the file yet.
            stored.extend(log(fs::read(beside(file, "-wal"))).map_err(|error| unread(error.to_string()))?);
            let holds = |needle: &&&str| stored.windows(needle.len()).any(|bytes| bytes == needle.as_bytes());
            Ok(needles.iter().find(holds).copied())
        }
        DatabaseUrl::Postgres(url) => in_rows(url, needles).await.map_err(|error| unread(error.to_string())),
    }
}

fn log(read: io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

async fn in_rows<'n>(url: &Secret, needles: &[&'n str]) -> Result<Option<&'n str>, DbErr> {
    let mut options = ConnectOptions::new(url.reveal().to_owned());
    options.max_connections(1).sqlx_logging(false);
    let database = Database::connect(options).await?;
    let found = first_in_rows(&database, needles).await;
    database.close().await?;
    found
}

async fn first_in_rows<'n>(database: &DatabaseConnection, needles: &[&'n str]) -> Result<Option<&'n str>, DbErr> {
    let tables = "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = current_schema()";
    for table in database.query_all_raw(Statement::from_string(DbBackend::Postgres, tables)).await? {
        let table: String = table.try_get_by_index(0)?;
        for needle in needles {
            let sql = format!("SELECT 1 FROM {table} AS t WHERE strpos(t::text, $1) > 0 LIMIT 1");
            let look = Statement::from_sql_and_values(DbBackend::Postgres, sql, [(*needle).into()]);
            if database.query_one_raw(look).await?.is_some() {
                return Ok(Some(needle));
            }
        }
    }
    Ok(None)
}
