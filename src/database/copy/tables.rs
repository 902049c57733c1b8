//! What there is to copy: the tables that both databases have, with their columns.

use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, QueryResult, Statement};

use super::{error::CopyError, state::STATE};

/// Maximum number of rows that are copied in a transaction.
const ROWS: usize = 1000;
/// Maximum number of values in a statement: SQLite's is 32,766, PostgreSQL's is 65,535.
const VALUES: usize = 32_000;
/// Tables of the migrations' and of the databases' own, and what is kept of a copy.
const NOT_COPIED: [&str; 2] = ["seaql_migrations", STATE];

/// Totals that PostgreSQL keeps as a row and its changes, which are added up to be copied.
pub(super) struct Summed {
    pub(super) table: &'static str,
    /// A temporary table with the sums.
    pub(super) stand_in: &'static str,
    pub(super) changes: &'static str,
    pub(super) key: &'static str,
    pub(super) sums: &'static [&'static str],
}

pub(super) const SUMMED: [Summed; 2] = [
    Summed {
        table: "list_counts",
        stand_in: "copied_list_counts",
        changes: "list_count_deltas",
        key: "tenant_id, list, owner_id",
        sums: &["count"],
    },
    Summed {
        table: "pipeline_totals",
        stand_in: "copied_pipeline_totals",
        changes: "pipeline_total_deltas",
        key: "tenant_id, owner_id, measure, day, currency, stage, next_stage",
        sums: &["count", "amount_high", "amount_low", "from_seconds", "to_seconds"],
    },
];

/// What is added up on a database.
fn summed(backend: DbBackend) -> &'static [Summed] {
    if backend == DbBackend::Postgres { &SUMMED } else { &[] }
}

/// How the values of a column are read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Uuid,
    Instant,
    Boolean,
    Integer,
    Text,
}

#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// A table to copy.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) name: String,
    /// What it is read from: itself, or what stands for it on the source.
    pub(super) read_from: String,
    pub(super) columns: Vec<Column>,
    /// The columns of the primary key, as places in `columns`.
    pub(super) key: Vec<usize>,
}

impl Table {
    /// How many rows are copied at once.
    pub(super) fn batch(&self) -> usize {
        ROWS.min(VALUES / self.columns.len().max(1))
    }

    pub(super) fn key_columns(&self) -> impl Iterator<Item = &Column> {
        self.key.iter().filter_map(|place| self.columns.get(*place))
    }
}

/// The tables of both, those first that others refer to, with the columns of both. What only one of them has is how that database
/// keeps something: changes of totals that are not added up yet (PostgreSQL), numbers and the files of an index (SQLite).
pub(super) async fn of(source: &DatabaseTransaction, target: &DatabaseConnection) -> Result<Vec<Table>, CopyError> {
    let (from, to) = (names(source).await?, names(target).await?);
    let summed = summed(source.get_database_backend());
    let mut tables = Vec::new();
    for name in from.iter().filter(|name| to.contains(name)) {
        let (here, there) = (columns(source, name).await?, columns(target, name).await?);
        let common: Vec<Found> =
            here.into_iter().filter(|column| there.iter().any(|other| other.name == column.name)).collect();
        let mut key: Vec<(i64, usize)> =
            common.iter().enumerate().filter_map(|(place, column)| Some((column.key?, place))).collect();
        key.sort_unstable();
        let mut columns = Vec::new();
        for Found { name: column, declared, .. } in common {
            let kind = kind(&declared).ok_or_else(|| {
                CopyError::Source(format!("{name}.{column} has the type {declared}, which is unknown"))
            })?;
            columns.push(Column { name: column, kind });
        }
        let mut key: Vec<usize> = key.into_iter().map(|(_, place)| place).collect();
        if key.is_empty() {
            // Its primary key is a number that only one of the two has: the documents of the search have another key.
            key = ["tenant_id", "resource_id"]
                .iter()
                .filter_map(|wanted| columns.iter().position(|column| column.name == *wanted))
                .collect();
        }
        let read_from =
            summed.iter().find(|summed| summed.table == name).map_or(name.as_str(), |summed| summed.stand_in);
        tables.push(Table { name: name.clone(), read_from: read_from.to_owned(), columns, key });
    }
    Ok(tables)
}

/// The tables of a database, in the order in which they were made: no table refers to a later one.
pub(super) async fn names(db: &impl ConnectionTrait) -> Result<Vec<String>, DbErr> {
    let sql = match db.get_database_backend() {
        DbBackend::Postgres => {
            "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace \
             ORDER BY oid"
        }
        _ => {
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' \
             AND name NOT LIKE 'search_index%' ORDER BY rowid"
        }
    };
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
    let names: Result<Vec<String>, DbErr> = rows.iter().map(|row| row.try_get_by_index(0)).collect();
    Ok(names?.into_iter().filter(|name| !NOT_COPIED.contains(&name.as_str())).collect())
}

/// A column as a database describes it, and its place in the primary key.
struct Found {
    name: String,
    declared: String,
    key: Option<i64>,
}

async fn columns(db: &impl ConnectionTrait, table: &str) -> Result<Vec<Found>, DbErr> {
    let sql = match db.get_database_backend() {
        DbBackend::Postgres => {
            "SELECT a.attname::text, t.typname::text, \
             CAST(array_position(i.indkey::int2[], a.attnum) AS bigint) \
             FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
             LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary \
             WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
        }
        _ => "SELECT name, lower(type), NULLIF(pk, 0) FROM pragma_table_info($1)",
    };
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, [table.into()]);
    let found = |row: &QueryResult| {
        Ok(Found { name: row.try_get_by_index(0)?, declared: row.try_get_by_index(1)?, key: row.try_get_by_index(2)? })
    };
    db.query_all_raw(statement).await?.iter().map(found).collect()
}

/// By the type that a column has in one of the databases.
fn kind(declared: &str) -> Option<Kind> {
    match declared.split('(').next().unwrap_or_default() {
        "uuid" | "uuid_text" => Some(Kind::Uuid),
        "timestamptz" | "timestamp_with_timezone_text" => Some(Kind::Instant),
        "bool" | "boolean" => Some(Kind::Boolean),
        "int2" | "int4" | "int8" | "integer" | "bigint" | "smallint" => Some(Kind::Integer),
        "text" | "varchar" | "bpchar" => Some(Kind::Text),
        _ => None,
    }
}
