//! The driver's connection, to SQLite or PostgreSQL: what runs on it, and how.

use futures_util::TryStreamExt;
use sea_orm::{
    DbBackend, ExecResult, QueryResult, Statement,
    sqlx::{self, Connection as _, Executor, PgConnection, SqliteConnection},
};
use sea_query_sqlx::SqlxValues;

use super::arrays::ArrayStatement;

/// A connection of a driver.
pub(super) enum Raw {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
    /// It was dropped.
    Closed,
}

/// A statement with its values, or the text of one or more without.
#[derive(Clone, Copy)]
pub(super) enum Sql<'a> {
    Statement(&'a Statement),
    Text(&'a str),
}

impl Raw {
    pub(super) fn backend(&self) -> DbBackend {
        match self {
            Self::Postgres(_) => DbBackend::Postgres,
            Self::Sqlite(_) | Self::Closed => DbBackend::Sqlite,
        }
    }

    /// Runs it. A `named` statement is prepared once for the connection, not each time anew.
    pub(super) async fn execute(&mut self, sql: Sql<'_>, named: bool) -> Result<ExecResult, sqlx::Error> {
        Ok(match (self, sql) {
            (Self::Sqlite(connection), Sql::Statement(statement)) => {
                sqlx::query_with(sqlx::AssertSqlSafe(statement.sql.as_str()), values(statement))
                    .execute(connection)
                    .await?
                    .into()
            }
            (Self::Sqlite(connection), Sql::Text(sql)) => {
                connection.execute(sqlx::AssertSqlSafe(sql.to_owned())).await?.into()
            }
            (Self::Postgres(connection), Sql::Statement(statement)) => {
                let query = sqlx::query_with(sqlx::AssertSqlSafe(statement.sql.as_str()), values(statement));
                query.persistent(named).execute(connection).await?.into()
            }
            (Self::Postgres(connection), Sql::Text(sql)) => {
                connection.execute(sqlx::AssertSqlSafe(sql.to_owned())).await?.into()
            }
            (Self::Closed, _) => return Err(untrusted()),
        })
    }

    /// The rows of a statement of PostgreSQL whose values are arrays; `named` as for [`Self::execute`].
    pub(super) async fn query_arrays(
        &mut self,
        statement: ArrayStatement,
        named: bool,
    ) -> Result<Vec<QueryResult>, sqlx::Error> {
        let Self::Postgres(connection) = self else { return Err(untrusted()) };
        let (sql, arguments) = statement.into_parts().map_err(sqlx::Error::Encode)?;
        let query = sqlx::query_with(sqlx::AssertSqlSafe(sql), arguments).persistent(named);
        Ok(query.fetch_all(connection).await?.into_iter().map(QueryResult::from).collect())
    }

    /// Runs statements of SQLite until one fails, and notes what came of each.
    pub(super) async fn execute_each(
        &mut self,
        statements: &Statement,
        done: &mut Vec<ExecResult>,
    ) -> Result<(), sqlx::Error> {
        let Self::Sqlite(connection) = self else { return Err(untrusted()) };
        let query = sqlx::query_with(sqlx::AssertSqlSafe(statements.sql.as_str()), values(statements));
        let mut answers = connection.fetch_many(query);
        while let Some(answer) = answers.try_next().await? {
            done.extend(answer.left().map(ExecResult::from));
        }
        Ok(())
    }

    /// The rows of a query; `named` as for [`Self::execute`].
    pub(super) async fn query(&mut self, statement: &Statement, named: bool) -> Result<Vec<QueryResult>, sqlx::Error> {
        let sql = sqlx::AssertSqlSafe(statement.sql.as_str());
        Ok(match self {
            Self::Sqlite(connection) => {
                let rows = sqlx::query_with(sql, values(statement)).fetch_all(connection).await?;
                rows.into_iter().map(QueryResult::from).collect()
            }
            Self::Postgres(connection) => {
                let rows = sqlx::query_with(sql, values(statement)).persistent(named).fetch_all(connection).await?;
                rows.into_iter().map(QueryResult::from).collect()
            }
            Self::Closed => return Err(untrusted()),
        })
    }

    /// Whether the other end still answers.
    pub(super) async fn ping(&mut self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => connection.ping().await,
            Self::Postgres(connection) => connection.ping().await,
            Self::Closed => Err(untrusted()),
        }
    }

    /// Closes it, and waits until that is done.
    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => connection.close().await,
            Self::Postgres(connection) => connection.close().await,
            Self::Closed => Ok(()),
        }
    }
}

/// The error of a connection on which nothing runs any more.
pub(super) fn untrusted() -> sqlx::Error {
    sqlx::Error::Protocol("the connection is not trusted any more".to_owned())
}

fn values(statement: &Statement) -> SqlxValues {
    SqlxValues(statement.values.clone().unwrap_or_else(|| sea_orm::Values(Vec::new())))
}
