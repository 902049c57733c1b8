//! A PostgreSQL database for a while: made empty on the server of another one, and dropped at the end.
//!
//! A process that is killed cannot drop its database. The next one does, for those that are not in use: whoever uses one holds a
//! lock by its name, which ends with the process.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement};

use super::connect;
use crate::config::{DatabaseUrl, Secret};

/// Begins the name of each.
const PREFIX: &str = "crm_scratch_";

/// The database.
pub struct ScratchDatabase {
    /// Where it is made and dropped; holds the lock.
    server: DatabaseConnection,
    name: String,
    url: DatabaseUrl,
}

impl ScratchDatabase {
    /// Makes one on the server of the database at `url`, whose role may make databases.
    ///
    /// # Errors
    /// An address whose database's name cannot be told, or a fault of the server.
    pub async fn create(url: &Secret) -> Result<Self, DbErr> {
        let random = getrandom::u64().map_err(|error| DbErr::Custom(error.to_string()))?;
        let name = format!("{PREFIX}{random:016x}");
        let address = beside(url.reveal(), &name).ok_or_else(|| {
            DbErr::Custom("the address must name a database by its path: postgres://USER@HOST/NAME".to_owned())
        })?;
        let server = connect::postgres_session(url).await?;
        drop_left_behind(&server).await?;
        lock(&server, &name).await?;
        server.execute_unprepared(&format!("CREATE DATABASE {name}")).await?;
        Ok(Self { server, name, url: DatabaseUrl::Postgres(Secret::new(address)) })
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &DatabaseUrl {
        &self.url
    }

    /// Drops it.
    ///
    /// # Errors
    /// A fault of the server.
    pub async fn remove(self) -> Result<(), DbErr> {
        self.server.execute_unprepared(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).await?;
        self.server.close().await
    }
}

/// The address of another database on the same server.
fn beside(url: &str, name: &str) -> Option<String> {
    let (address, parameters) = url.split_once('?').map_or((url, None), |(address, rest)| (address, Some(rest)));
    if parameters.is_some_and(|parameters| parameters.split('&').any(|parameter| parameter.starts_with("dbname="))) {
        return None;
    }
    let (scheme, rest) = address.split_once("://")?;
    let server = rest.split('/').next()?;
    let parameters = parameters.map(|parameters| format!("?{parameters}")).unwrap_or_default();
    Some(format!("{scheme}://{server}/{name}{parameters}"))
}

/// Takes the lock of a database by its name, if nobody has it.
async fn lock(server: &DatabaseConnection, name: &str) -> Result<bool, DbErr> {
    let sql = "SELECT pg_try_advisory_lock(hashtext($1))";
    let row = server.query_one_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, [name.into()])).await?;
    row.map_or(Ok(false), |row| row.try_get_by_index(0))
}

/// Drops those whose process is gone. One that somebody is connected to is not dropped.
async fn drop_left_behind(server: &DatabaseConnection) -> Result<(), DbErr> {
    let sql = "SELECT datname::text FROM pg_database WHERE starts_with(datname, $1) AND pg_has_role(datdba, 'USAGE')";
    let left = Statement::from_sql_and_values(DbBackend::Postgres, sql, [PREFIX.into()]);
    for row in server.query_all_raw(left).await? {
        let name: String = row.try_get_by_index(0)?;
        if lock(server, &name).await? {
            let _for_the_next = server.execute_unprepared(&format!("DROP DATABASE IF EXISTS \"{name}\"")).await;
        }
    }
    Ok(())
}
